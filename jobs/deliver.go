package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

const (
	visitFor  = 5 * time.Second        // then the page goes to the tail of the queue
	maxSleep  = 500 * time.Millisecond // no slot waits longer for a token; the page waits instead
	soon      = 200 * time.Millisecond // a page that met a full process comes back so much later
	rewrite   = 250 * time.Millisecond // between two tries to write a chunk's outcomes
	maxErrMsg = 255                    // characters of a stored text
	maxRetry  = 5 * time.Minute        // the longest backoff
)

// visit is one worker's turn on one page: claim it, then chunk by chunk take tokens, send, and write the
// outcomes, until nothing is left to send now or the turn is over. What it leaves behind is true at every
// instant: a page that is done, or one that waits until a given time.
func (w *Worker) visit(ctx context.Context, t models.PageTask, log *slog.Logger) error {
	claimedAt := time.Now()
	v, err := w.store.ClaimPage(ctx, t)
	if err != nil || v == nil {
		return err
	}
	l := holdLease(w.store, t, claimedAt, log)
	defer l.release()

	ch := w.channels[v.Campaign.Channel]
	if ch == nil {
		log.Error("this worker is not set up for the campaign's channel", "channel", v.Campaign.Channel)
		return w.end(ctx, v, l, 10*time.Second)
	}
	if v.Campaign.Priority == models.PriorityBulk {
		if !w.share.enter(v.Campaign, w.opts.BulkSlots) {
			return w.end(ctx, v, l, soon)
		}
		defer w.share.leave(v.Campaign)
	}
	if err := w.control.enter(ctx, v.CampaignID); err != nil {
		return err
	}
	defer w.control.leave(v.CampaignID)
	d := &delivery{Worker: w, v: v, ch: ch, lease: l, log: log, until: claimedAt.Add(visitFor), zone: zoneOf(v.Zone)}
	err = d.run(ctx)
	if errors.Is(err, models.ErrFenced) {
		log.Warn("the page was taken over by another worker")
		return nil
	}
	if err == nil && v.State == models.PageDone {
		err = w.advance(ctx, v.CampaignID)
	}
	return err
}

// end leaves the page to be queued again after the given time.
func (w *Worker) end(ctx context.Context, v *models.Visit, l *lease, in time.Duration) error {
	return w.write(ctx, v, l, models.Chunk{State: models.PageWaiting, ReadyIn: in})
}

// delivery is the state of one visit.
type delivery struct {
	*Worker
	v     *models.Visit
	ch    channels.Channel
	lease *lease
	log   *slog.Logger
	until time.Time
	known map[string]int64 // the page's members in the directory; nil when it does not matter
	zone  *time.Location   // of the page's members
	// single: the tokens were granted for one request although the provider fails, to see whether it still does.
	single bool
}

// member is one recipient of the next chunk.
type member struct {
	id       string
	attempts int  // made before
	again    bool // its row stands already
}

func (d *delivery) run(ctx context.Context) error {
	if err := d.lookUp(ctx); err != nil {
		return err
	}
	for d.v.State == models.PageRunning {
		now, fresh := d.control.get(d.v.CampaignID)
		switch {
		case fresh && (now.Status == models.StatusCancelled || now.Status == models.StatusExpired || now.Status == models.StatusFailed):
			return d.store.CloseVisit(ctx, d.v, now.Status)
		case !fresh || now.Status != models.StatusRunning:
			return d.end(ctx, d.v, d.lease, soon) // it is not queued again before the campaign runs
		case d.drain.Err() != nil || time.Now().After(d.until) || !d.lease.held():
			return d.end(ctx, d.v, d.lease, 0)
		}
		if end, quiet := quietUntil(&d.v.Campaign, d.zone, d.v.Now()); quiet {
			// Back among the new pages, so that the end of the night does not put them all into Redis at once.
			return d.write(ctx, d.v, d.lease, models.Chunk{State: models.PageNew, ReadyIn: time.Duration(end-d.v.Now()) * time.Millisecond})
		}
		d.v.Campaign.RatePerSecond = now.RatePerSecond
		chunk := d.next()
		if len(chunk) == 0 {
			return d.end(ctx, d.v, d.lease, d.untilDue())
		}
		chunk, wait, err := d.tokens(ctx, chunk)
		if err != nil {
			// No Redis, no sends.
			d.log.Warn("the rate limiter does not answer", "err", err)
			return d.end(ctx, d.v, d.lease, time.Second)
		}
		if len(chunk) == 0 {
			if wait > maxSleep {
				return d.end(ctx, d.v, d.lease, wait)
			}
			d.sleep(wait)
			continue
		}
		if d.v.Campaign.Delivery == models.AtMostOnce {
			if chunk, err = d.claim(ctx, chunk); err != nil {
				return err
			}
		}
		outcomes, rest := d.send(ctx, chunk)
		if err := d.write(ctx, d.v, d.lease, models.Chunk{Outcomes: outcomes, State: models.PageRunning}); err != nil {
			return err
		}
		if rest > 0 {
			return d.end(ctx, d.v, d.lease, rest)
		}
	}
	return nil
}

// claim writes down who is about to be sent, before an at-most-once send: whoever finds the claim later knows
// that the request may have gone out. It returns the chunk as its rows now stand.
func (d *delivery) claim(ctx context.Context, chunk []member) ([]member, error) {
	c := models.Chunk{State: models.PageRunning}
	claimed := make([]member, len(chunk))
	for i, m := range chunk {
		c.Outcomes = append(c.Outcomes, models.RecipientOutcome{UserID: m.id, Status: models.RecipientClaimed, Attempts: m.attempts, Again: m.again})
		claimed[i] = member{m.id, m.attempts, true}
	}
	return claimed, d.write(ctx, d.v, d.lease, c)
}

func (d *delivery) sleep(wait time.Duration) {
	select {
	case <-d.drain.Done():
	case <-time.After(wait):
	}
}

// lookUp asks the directory once per visit who of the page still stands in it.
func (d *delivery) lookUp(ctx context.Context) (err error) {
	c := d.v.Campaign
	if c.Kind == models.KindUser && (c.AudienceType == models.AudienceAll || d.ch.KnowsUsers()) {
		d.known, err = d.store.KnownUsers(ctx, d.v.Members)
	}
	return err
}

// next is the next chunk: what is due again first, then the members the cursor has not reached.
func (d *delivery) next() []member {
	var chunk []member
	now := d.v.Now()
	for id, a := range d.v.Attempts {
		if a.NextAttemptAt <= now {
			chunk = append(chunk, member{id, a.Attempts, true})
		}
	}
	if len(chunk) > 0 {
		slices.SortFunc(chunk, func(a, b member) int { // rows are written in key order
			if a.id < b.id {
				return -1
			}
			return 1
		})
		return chunk[:min(len(chunk), d.opts.ChunkSize)]
	}
	for _, id := range d.v.Fresh(d.opts.ChunkSize) {
		chunk = append(chunk, member{id: id})
	}
	return chunk
}

// untilDue is how long until the first stored attempt is due.
func (d *delivery) untilDue() time.Duration {
	now := d.v.Now()
	first := models.Millis(0)
	for _, a := range d.v.Attempts {
		if first == 0 || a.NextAttemptAt < first {
			first = a.NextAttemptAt
		}
	}
	return max(0, time.Duration(first-now)*time.Millisecond)
}

// settled is the outcome of a member that is not sent at all, if it is one.
func (d *delivery) settled(m member) (models.RecipientOutcome, bool) {
	if d.known == nil {
		return models.RecipientOutcome{}, false
	}
	c := d.v.Campaign
	added, here := d.known[m.id]
	o := models.RecipientOutcome{UserID: m.id, Attempts: m.attempts, Again: m.again}
	switch {
	case c.AudienceType == models.AudienceAll && (!here || added > c.Mark):
		o.Status, o.ErrMsg = models.RecipientSkipped, "deleted"
		return o, true
	case !here:
		o.Status, o.ErrCode, o.ErrMsg = models.RecipientFailed, models.CodeRecordNotFound, "the user is not in the directory"
		return o, true
	}
	return o, false
}

// tokens cuts the chunk to what the rates grant now: members that need no token, and as many others as there
// are tokens, in order, since the cursor moves past all of it.
func (d *delivery) tokens(ctx context.Context, chunk []member) ([]member, time.Duration, error) {
	need := 0
	for _, m := range chunk {
		if _, ok := d.settled(m); !ok {
			need++
		}
	}
	if need == 0 {
		return chunk, 0, nil
	}
	c := &d.v.Campaign
	g, single, err := d.pressure.take(c.Channel, need, func(n int) (grant, error) {
		return d.limit.take(ctx, c, d.opts.Rates[c.Channel], n)
	})
	d.single = single
	if g.Open && g.N == 0 { // not all pages at the same instant, and within the two seconds that keep them in the window
		g.Wait += rand.N(2*time.Second - probeEvery)
	}
	if err != nil || g.N >= need {
		return chunk, 0, err
	}
	used := 0
	for i, m := range chunk {
		if _, ok := d.settled(m); ok {
			continue
		}
		if used == g.N {
			return chunk[:i], g.Wait, nil
		}
		used++
	}
	return chunk, g.Wait, nil
}

// send hands the chunk to the channel and turns what it says into rows. rest > 0: the provider asks for so
// much rest.
func (d *delivery) send(ctx context.Context, chunk []member) (rows []models.RecipientOutcome, rest time.Duration) {
	c := &d.v.Campaign
	rows = make([]models.RecipientOutcome, len(chunk))
	batch := channels.Batch{CampaignID: c.PublicID, OperationID: c.OperationID, Message: &c.Message}
	var sent []int
	try := &trial{p: d.pressure, channel: c.Channel, single: d.single}
	batch.MayStart = func() bool { return d.mayStart() && try.mayStart() }
	batch.Answered = try.answered
	for i, m := range chunk {
		var ok bool
		if rows[i], ok = d.settled(m); ok {
			continue
		}
		r := channels.Recipient{UserID: m.id, ClientMsgID: models.ClientMsgID(c.PublicID, c.Kind, m.id)}
		if c.Kind == models.KindGroup {
			r.UserID, r.GroupID = "", m.id
		}
		batch.Recipients = append(batch.Recipients, r)
		sent = append(sent, i)
		try.chunk = append(try.chunk, m)
	}
	if len(sent) == 0 {
		return rows, 0
	}
	outcomes := d.ch.Send(ctx, batch)
	whose, err := try.judge(ctx, outcomes)
	if err != nil {
		d.log.Warn("what became of a chunk could not be told to the other workers", "err", err)
	}
	for k, o := range outcomes {
		rows[sent[k]] = d.row(chunk[sent[k]], o, whose)
		rest = max(rest, o.RetryAfter)
	}
	if rest > 0 {
		if err := d.limit.pause(ctx, c.Channel, rest); err != nil {
			d.log.Warn("the channel's pause could not be told to the other workers", "err", err)
		}
	}
	return rows, rest
}

// mayStart is asked by the channel directly before each request.
func (d *delivery) mayStart() bool {
	now, fresh := d.control.get(d.v.CampaignID)
	return fresh && now.Status == models.StatusRunning && d.lease.held() && d.drain.Err() == nil
}

// row is a member's row after one try. A failure that is the provider's own costs no attempt; one after which the
// request may have been taken is counted, and still does not end the recipient's attempts.
func (d *delivery) row(m member, o channels.Outcome, whose verdict) models.RecipientOutcome {
	r := models.RecipientOutcome{UserID: m.id, Again: m.again, Attempts: m.attempts + 1, ErrCode: o.ErrCode, ErrMsg: cutText(o.ErrMsg)}
	switch o.Result {
	case channels.Sent:
		r.Status, r.ServerMsgID, r.ErrCode, r.ErrMsg = models.RecipientSent, o.ServerMsgID, 0, ""
	case channels.Failed:
		r.Status = models.RecipientFailed
	case channels.Skipped:
		r.Status = models.RecipientSkipped
	case channels.NotTried:
		r.Status, r.Attempts = models.RecipientPending, m.attempts
	case channels.Retry, channels.Ambiguous:
		switch {
		case o.Result == channels.Ambiguous && d.v.Campaign.Delivery == models.AtMostOnce:
			r.Status = models.RecipientUnknown // otherwise it goes out again under the same clientMsgID
		case o.RetryAfter > 0: // the provider asked for rest, which is no failure of this recipient
			r.Status, r.Attempts, r.RetryIn = models.RecipientPending, m.attempts, o.RetryAfter
		case whose.excuses(m, o):
			r.Status, r.RetryIn = models.RecipientPending, backoff(probeEvery, 1)
			if o.Result == channels.Retry {
				r.Attempts = m.attempts
			}
		case r.Attempts >= d.opts.MaxAttempts:
			r.Status = models.RecipientFailed
		default:
			r.Status, r.RetryIn = models.RecipientPending, backoff(d.opts.Backoff, r.Attempts)
		}
	}
	return r
}

// backoff doubles with each attempt, within a fifth more or less, so that retries do not come in step.
func backoff(base time.Duration, attempts int) time.Duration {
	d := min(base<<min(attempts-1, 20), maxRetry)
	return d*4/5 + rand.N(d*2/5+1)
}

// write closes a chunk, whatever it takes: a COMMIT without an answer is settled by reading the page again,
// and a database that is away is waited for, until another worker has the page or this process ends.
func (w *Worker) write(ctx context.Context, v *models.Visit, l *lease, c models.Chunk) error {
	var giveUp <-chan time.Time
	for {
		err := w.store.CloseChunk(ctx, v, c)
		if err != nil && !errors.Is(err, models.ErrFenced) {
			err = w.store.Reread(ctx, v, c, err)
		}
		if err == nil {
			l.moved()
			return nil
		}
		if errors.Is(err, models.ErrFenced) {
			return err
		}
		w.log.Warn("a chunk's outcomes could not be written yet", "campaign", v.CampaignID, "page", v.No, "err", err)
		if w.drain.Err() != nil && giveUp == nil {
			giveUp = time.After(w.opts.DrainTimeout)
		}
		select {
		case <-giveUp:
			return err
		case <-time.After(rewrite):
		}
	}
}

func cutText(s string) string {
	if utf8.RuneCountInString(s) <= maxErrMsg {
		return s
	}
	return string([]rune(s)[:maxErrMsg])
}
