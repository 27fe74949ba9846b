package jobs

import (
	"context"
	"slices"
	"sync"
	"time"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

// A provider that takes seconds for one recipient in a thousand would hold up each chunk for as long. So a chunk whose last few
// answers are late lets them go: the visit goes on with the next chunk, and writes those outcomes when they come.
const (
	lateTick  = 300 * time.Millisecond // how often a chunk under way is looked at
	lateShare = 20                     // late answers are few when they are at most one in so many of a chunk, or one
	maxLate   = 16                     // recipients of one visit
	// lateHold is when somebody else may send to a late recipient, should this process be gone: behind the request's time-out.
	lateHold = channels.MaxTimeout + 2*time.Second
)

// sending is one chunk on its way through the channel.
type sending struct {
	*delivery
	chunk []member
	trial *pacing.Trial
	watch *watch
	ended chan struct{} // every answer is there

	mu       sync.Mutex
	out      []channels.Outcome // by place in chunk
	answered []bool             // whose outcome is in out
	left     int                // how many are not
}

// sendTo hands members to the channel, and returns when it has an outcome for each, or for all but the late ones.
func (d *delivery) sendTo(ctx context.Context, chunk []member) (s *sending, late []int) {
	c, n := &d.v.Campaign, len(chunk)
	now, _ := d.control.get(c.ID)
	s = &sending{
		delivery: d, chunk: chunk, ended: make(chan struct{}),
		trial: d.pacer.Health.NewTrial(c, d.single, recipients(chunk)),
		watch: d.guard.watch(c, now, chunk),
		out:   make([]channels.Outcome, n), answered: make([]bool, n), left: n,
	}
	d.watch = s.watch
	go func() {
		defer close(s.ended)
		s.take(0, d.ch.Send(ctx, s.batch()))
	}()
	tick := time.NewTicker(lateTick)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return s, nil
		case <-tick.C:
		}
		late = s.missing()
		switch {
		case len(late) == 0:
		case !d.single && len(d.late)+len(late) <= maxLate: // guard: late-answers
			return s, late
		default:
			d.leaveSlot(ctx)
		}
	}
}

// batch is the chunk as the channel gets it.
func (s *sending) batch() channels.Batch {
	c, trial, watch := &s.v.Campaign, s.trial, s.watch
	b := channels.Batch{CampaignID: c.PublicID, OperationID: c.OperationID, Message: &c.Message}
	b.MayStart = func() bool { return s.mayStart() && trial.MayStart() && watch.mayStart() }
	b.Answered = func(from int, of []channels.Outcome, took time.Duration) {
		s.legible.note(c.ID, of, took)
		trial.Record(from, of, took)
		watch.answered(from, of)
		s.take(from, of)
	}
	b.Recipients = make([]channels.Recipient, len(s.chunk))
	for i, m := range s.chunk {
		r := channels.Recipient{UserID: m.id, ClientMsgID: models.ClientMsgID(c.PublicID, c.Kind, m.id)}
		if c.Kind == models.KindGroup {
			r.UserID, r.GroupID = "", m.id
		}
		b.Recipients[i] = r
	}
	return b
}

// take keeps the outcomes of the members at a place and behind it.
func (s *sending) take(from int, of []channels.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range of {
		if at := from + i; !s.answered[at] {
			s.answered[at], s.out[at] = true, o
			s.left--
		}
	}
}

// missing are the places of those without an answer, if they are few.
func (s *sending) missing() (places []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > max(1, len(s.chunk)/lateShare) {
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
	trial, out, rows := s.trial.Part(at), make([]channels.Outcome, len(at)), make([]models.RecipientOutcome, len(at))
	s.mu.Lock()
	for k, i := range at {
		out[k] = s.out[i]
	}
	s.mu.Unlock()
	blame, err := trial.Judge(ctx, out)
	if err != nil {
		s.log.Warn("what became of a chunk could not be told to the other workers", "err", err)
	}
	for k, o := range out {
		rows[k] = s.row(s.chunk[at[k]], o, trial.Excuses(blame, k, o), blame == pacing.BlameUnknown)
	}
	s.watch.ended(at, out, rows)
	return rows
}

// send sends the chunk and returns its rows. A member whose answer is late gets a pending row meanwhile; at most once it has
// one already, that of its claim.
func (d *delivery) send(ctx context.Context, chunk []member) []models.RecipientOutcome {
	rows := make([]models.RecipientOutcome, len(chunk))
	var sent []member
	var places []int // theirs in the chunk
	for i, m := range chunk {
		var ok bool
		if rows[i], ok = d.settled(m); !ok {
			sent, places = append(sent, m), append(places, i)
		}
	}
	if len(sent) == 0 {
		return rows
	}
	s, late := d.sendTo(ctx, sent)
	d.stopIllegible(ctx)
	var there []int
	for i, m := range sent {
		if slices.Contains(late, i) {
			rows[places[i]] = models.RecipientOutcome{UserID: m.id, Status: models.RecipientPending, Attempts: m.attempts, FailingSince: m.since, RetryIn: lateHold, HasRow: m.again}
		} else {
			there = append(there, i)
		}
	}
	for k, row := range s.rows(ctx, there) {
		rows[places[there[k]]] = row
	}
	if len(late) == 0 {
		return rows
	}
	d.letGo(ctx, s, late)
	if d.v.Campaign.Delivery == models.AtMostOnce {
		rows = slices.DeleteFunc(rows, func(r models.RecipientOutcome) bool { return d.late[r.UserID] })
	}
	return rows
}

// letGo has the outcomes of late members come through d.arrived.
func (d *delivery) letGo(ctx context.Context, s *sending, late []int) {
	for _, i := range late {
		d.late[s.chunk[i].id] = true
	}
	d.going++
	go func() {
		<-s.ended
		rows := s.rows(ctx, late)
		for i := range rows {
			rows[i].HasRow = true
		}
		d.arrived <- rows
	}()
}

// awaitLate waits for late answers, beside the slot if it may, and writes them. within bounds the wait; 0 = until they come.
func (d *delivery) awaitLate(ctx context.Context, within time.Duration) error {
	d.leaveSlot(ctx)
	if d.lost != nil {
		return d.lost
	}
	var enough <-chan time.Time
	if within > 0 {
		enough = time.After(within)
	}
	select {
	case rows := <-d.arrived:
		return d.writeLate(ctx, rows)
	case <-enough:
		return nil
	}
}

// collectLate writes the late answers that have come.
func (d *delivery) collectLate(ctx context.Context) error {
	for {
		select {
		case rows := <-d.arrived:
			if err := d.writeLate(ctx, rows); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (d *delivery) writeLate(ctx context.Context, rows []models.RecipientOutcome) error {
	d.going--
	for _, r := range rows {
		delete(d.late, r.UserID)
	}
	d.stopIllegible(ctx)
	if err := d.writeBehind(ctx, models.Chunk{Outcomes: rows, State: models.PageRunning}); err != nil {
		return err
	}
	return d.guarded(ctx)
}

// abandonLate waits for the late answers of a visit that is over: its page is another worker's, who sends to them again.
func (d *delivery) abandonLate() {
	for ; d.going > 0; d.going-- {
		<-d.arrived
	}
}
