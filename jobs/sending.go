package jobs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

// sending is one chunk on its way through the channel.
type sending struct {
	delivery *delivery
	chunk    []member
	trial    *pacing.Trial
	watch    *watch
	ended    chan struct{} // closed when every answer is there
	counted  atomic.Bool   // the time of a request was

	mu       sync.Mutex
	outcomes []channels.Outcome // by place in chunk
	answered []bool             // whose outcome is in outcomes
	missing  int                // how many are not
}

// send sends the chunk and returns its rows. A member whose answer is late gets a pending row
// meanwhile. In an at-most-once campaign it keeps the row of its claim.
func (d *delivery) send(ctx context.Context, chunk []member) []models.RecipientOutcome {
	rows := make([]models.RecipientOutcome, len(chunk))
	var sent []member
	var places []int // of sent, in the chunk
	for i, m := range chunk {
		var over bool
		rows[i], over = d.passedOver(m)
		if !over {
			sent, places = append(sent, m), append(places, i)
		}
	}
	if len(sent) == 0 {
		return rows
	}
	s, late := d.sendTo(ctx, sent)
	d.stopIllegible(ctx)
	d.failRefused(ctx)
	var answered []int
	for i, m := range sent {
		if slices.Contains(late, i) {
			rows[places[i]] = models.RecipientOutcome{
				UserID: m.id, Status: models.RecipientPending, Attempts: m.attempts, FailingSince: m.failingSince, RetryIn: lateHold, HasRow: m.hasRow,
				MaybeSent: true, // its request is out
			}
		} else {
			answered = append(answered, i)
		}
	}
	for k, row := range s.rows(ctx, answered) {
		rows[places[answered[k]]] = row
	}
	if len(late) == 0 {
		return rows
	}
	d.late.letGo(ctx, s, late)
	if d.visit.Campaign.Delivery == models.AtMostOnce {
		rows = slices.DeleteFunc(rows, func(r models.RecipientOutcome) bool { return d.late.members[r.UserID] })
	}
	return rows
}

// sendTo hands members to the channel. It returns when each has an outcome, or all but the late
// ones, which are places in chunk.
func (d *delivery) sendTo(ctx context.Context, chunk []member) (s *sending, late []int) {
	c, n := &d.visit.Campaign, len(chunk)
	now, _ := d.control.get(c.ID)
	s = &sending{
		delivery: d, chunk: chunk, ended: make(chan struct{}),
		trial:    d.pacer.Health.NewTrial(c, d.probe, recipients(chunk)),
		watch:    d.guard.watch(c, now, chunk),
		outcomes: make([]channels.Outcome, n), answered: make([]bool, n), missing: n,
	}
	d.watch = s.watch
	go func() {
		defer close(s.ended)
		began := time.Now()
		out := d.channel.Send(ctx, s.batch())
		if !s.counted.Load() { // the channel has no provider
			s.count(out, time.Since(began))
		}
		s.take(0, out)
	}()
	tick := time.NewTicker(lateTick)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return s, nil
		case <-tick.C:
		}
		late = s.lateOnes()
		switch {
		case len(late) == 0:
		case !d.probe && len(d.late.members)+len(late) <= maxLate: // guard: late-answers
			return s, late
		default:
			d.leaveSlot(ctx)
		}
	}
}

// mayStart is asked by the channel directly before each request.
func (d *delivery) mayStart() bool {
	now, fresh := d.control.get(d.visit.CampaignID)
	return fresh && now.Status == models.StatusRunning && !d.legible.stopped(d.visit.CampaignID) &&
		d.refused.of(d.visit.CampaignID) == "" && // guard: refused-as-a-whole
		d.lease.held() && // guard: no-lease-no-send
		d.drain.Err() == nil // guard: drain
}

// batch is the chunk as the channel gets it.
func (s *sending) batch() channels.Batch {
	d := s.delivery
	c := &d.visit.Campaign
	b := channels.Batch{CampaignID: c.PublicID, OperationID: c.OperationID, Message: &c.Message, AtMostOnce: c.Delivery == models.AtMostOnce}
	b.MayStart = func() bool { return d.mayStart() && s.trial.MayStart() && s.watch.mayStart() }
	b.Answered = func(from int, of []channels.Outcome, took time.Duration) {
		s.count(of, took)
		d.legible.note(c.ID, of, took)
		d.refused.note(c.ID, of)
		s.trial.Record(from, of, took)
		s.watch.answered(from, of)
		s.take(from, of)
	}
	b.Recipients = make([]channels.Recipient, len(s.chunk))
	for i, m := range s.chunk {
		r := channels.Recipient{UserID: m.id, ClientMsgID: models.ClientMsgID(c.PublicID, c.Kind, m.id), Attempt: m.attempts + 1, MaybeSent: m.maybeSent}
		if c.Kind == models.KindGroup {
			r.UserID, r.GroupID = "", m.id
		}
		b.Recipients[i] = r
	}
	return b
}

// count counts the time of one request that was made.
func (s *sending) count(of []channels.Outcome, took time.Duration) {
	if len(of) == 0 || of[0].Result == channels.NotTried {
		return
	}
	s.delivery.counts.Sending.Observe(took.Seconds())
	if !s.counted.Load() {
		s.counted.Store(true)
	}
}

// take keeps the outcomes of the members from a place on. The first outcome of a member counts.
func (s *sending) take(from int, of []channels.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range of {
		at := from + i
		if !s.answered[at] {
			s.answered[at], s.outcomes[at] = true, o
			s.missing--
		}
	}
}

// lateOnes are the places of members without an answer, if they are few.
func (s *sending) lateOnes() (places []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing > max(1, len(s.chunk)/lateShare) {
		return nil
	}
	for i, ok := range s.answered {
		if !ok {
			places = append(places, i)
		}
	}
	return places
}

// rows turns the answers of the members at some places into rows.
func (s *sending) rows(ctx context.Context, at []int) []models.RecipientOutcome {
	trial, outcomes, rows := s.trial.Part(at), make([]channels.Outcome, len(at)), make([]models.RecipientOutcome, len(at))
	s.mu.Lock()
	for k, i := range at {
		outcomes[k] = s.outcomes[i]
	}
	s.mu.Unlock()
	d := s.delivery
	blames, err := trial.Judge(ctx, outcomes)
	if err != nil {
		d.log.Warn("what became of a chunk could not be told to the other workers", "err", err)
	}
	for k, o := range outcomes {
		rows[k] = d.attempts.row(s.chunk[at[k]], o, trial.Excuses(blames[k], k, o), blames[k] == pacing.BlameUnknown)
	}
	s.watch.ended(at, outcomes, rows)
	return rows
}

// letGo has the rows of late members come through arrived.
func (l *lateAnswers) letGo(ctx context.Context, s *sending, late []int) {
	for _, i := range late {
		l.members[s.chunk[i].id] = true
	}
	l.chunks++
	go func() {
		<-s.ended
		rows := s.rows(ctx, late)
		for i := range rows {
			rows[i].HasRow = true
		}
		l.arrived <- rows
	}()
}
