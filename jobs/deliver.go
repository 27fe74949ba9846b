package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"carillon/channels"
	"carillon/internal/zones"
	"carillon/models"
)

const (
	visitFor = 5 * time.Second        // then the page goes to the tail of the queue, if anything waits there
	shortest = time.Second            // the same where another campaign has no place on the channel and should have
	soon     = 200 * time.Millisecond // a page whose campaign does not run comes back so much later
	rewrite  = 250 * time.Millisecond // between two tries to write a chunk's outcomes

	noChannel = 10 * time.Second // a page that came to a worker without its channel comes back so much later
)

// visit is one worker's turn: on the page that the task names and then, as long as nobody else waits for the slot,
// on the same page again or on one new page of the campaign after the other. A page that went through Redis each time
// would wait for the poll of an idle queue.
func (w *Worker) visit(ctx context.Context, t models.PageTask) error {
	claimedAt := time.Now()
	v, err := w.store.ClaimPage(ctx, t)
	if err != nil || v == nil {
		return err
	}
	c := v.Campaign
	ch := w.channels[c.Channel]
	if ch == nil {
		w.log.Error("this worker is not set up for the campaign's channel", "campaign", c.ID, "channel", c.Channel)
		w.tell(ctx, &c, models.LimitedByNoWorkers, noChannel+time.Second)
		return w.store.WriteChunk(ctx, v.Close(models.Chunk{State: models.PageWaiting, ReadyIn: noChannel}))
	}
	if c.Priority == models.PriorityBulk {
		if v, err = w.enter(ctx, v); err != nil || v == nil {
			return err
		}
		defer w.pacer.Places.Release(c)
	}
	if err := w.control.attach(ctx, c.ID); err != nil {
		return err
	}
	defer w.control.detach(c.ID)
	for v != nil {
		goOn, parked, err := w.deliverOrPark(ctx, v, ch, claimedAt)
		if err != nil || !goOn {
			return err
		}
		if parked {
			v = nil // it is not this turn's any more
		}
		claimedAt = time.Now()
		if v, err = w.next(ctx, c, v); err != nil {
			return err
		}
	}
	return w.windows.advance(ctx, c.ID)
}

// enter finds a place for a claimed page. When there is none it gives the page back, and then, for a slow campaign that has none here,
// waits a little in the slot and claims it again. A page that went through Redis meanwhile would come back to any of the
// processes, and at each its wait would begin anew, for a campaign that needs a place for a moment only, and a new one for each
// token. It returns nil when the page found no place, or moved meanwhile.
func (w *Worker) enter(ctx context.Context, v *models.Visit) (*models.Visit, error) {
	c := v.Campaign
	instead, ok := w.pacer.Places.Acquire(c)
	if ok {
		return v, nil
	}
	if instead.State == models.PageWaiting {
		w.tell(ctx, &c, models.LimitedByTurn, time.Second)
	}
	waits := instead.State == models.PageWaiting && w.pacer.Places.BeginSlotWait(c)
	if waits {
		defer w.pacer.Places.EndSlotWait(c)
		instead.ReadyIn = w.pacer.SlotWait // until then no other process takes it, and then one does should this one be gone
	}
	if err := w.store.WriteChunk(ctx, v.Close(instead)); err != nil || !waits || v.State != models.PageWaiting || !w.pacer.Places.AcquireInSlot(w.drain, c) {
		return nil, err
	}
	v, err := w.store.ClaimAgain(ctx, v)
	if err != nil || v == nil {
		w.pacer.Places.Release(c)
	}
	return v, err
}

// tell notes why a page of c was given back.
func (w *Worker) tell(ctx context.Context, c *models.Campaign, by models.LimitedBy, keep time.Duration) {
	if err := w.pacer.Rates.Note(ctx, c, by, keep); err != nil {
		w.log.Debug("what holds a campaign back could not be noted", "campaign", c.ID, "err", err)
	}
}

// next claims what a turn goes on with after page v of c, nil when v parked: the same one when only its visit was over, or a new one when it is done
// and the window has room. It claims nothing when a task waits for the slot or another campaign for the place on the channel; a
// page with more to send is queued then and there, as the reconciler would find it only later. Nor when the campaign does not run.
func (w *Worker) next(ctx context.Context, c models.Campaign, v *models.Visit) (*models.Visit, error) {
	now, fresh := w.control.get(c.ID)
	if !fresh || now.Status != models.StatusRunning {
		return nil, nil
	}
	stay, err := w.stay(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case v != nil && v.State == models.PageWaiting:
		var late *models.Visit // a slow campaign stays on one page for long: retries that are late come in between
		if stay {
			if late, err = w.store.ClaimLate(ctx, c); err == nil && late == nil {
				return w.store.ClaimAgain(ctx, v)
			}
		}
		return late, errors.Join(err, w.handOn(ctx, v))
	case !stay:
		return nil, nil
	}
	inside, err := w.store.Inside(ctx, c.ID)
	c.RatePerSecond = now.RatePerSecond
	if err != nil || w.windows.room(c, inside) <= 0 {
		return nil, err
	}
	return w.store.ClaimNext(ctx, c)
}

// handOn queues a page with more to send for whoever comes next.
func (w *Worker) handOn(ctx context.Context, v *models.Visit) error {
	tasks, err := w.store.HandOn(ctx, v)
	if err != nil {
		return err
	}
	return w.queue.Pages(ctx, tasks)
}

// stay says that no task waits for the slot, no other campaign for the place on the channel, and the process is not to end.
func (w *Worker) stay(ctx context.Context, c models.Campaign) (bool, error) {
	if w.drain.Err() != nil || w.pacer.Places.MustYield(c) || w.contact.away() != nil {
		return false, nil
	}
	waiting, err := w.queue.waiting(ctx, c.Priority)
	return waiting == 0, err
}

// deliver goes chunk by chunk through a claimed page: takes tokens, sends, and writes the outcomes, until nothing is left
// to send now or the visit is over. What it leaves behind is true at every instant: a page that is done, or one
// that waits until a given time. goOn says that the worker may go on: the page is done or has left the window, or has
// more to send and only the visit is over.
func (w *Worker) deliver(ctx context.Context, v *models.Visit, ch channels.Channel, claimedAt time.Time, park func()) (goOn bool, err error) {
	log := w.log.With("campaign", v.CampaignID, "page", v.No)
	l := holdLease(w.store, models.PageTask{Campaign: v.CampaignID, Page: v.No, Epoch: v.Epoch}, claimedAt, log)
	defer l.release()
	loc, known := zones.Of(v.Zone, v.Campaign.Zone)
	if !known && v.Campaign.Zoned() {
		log.Warn("the time zone of a page is not known to this program, so the campaign's counts", "zone", v.Zone, "instead", loc.String())
	}
	d := &delivery{Worker: w, v: v, ch: ch, lease: l, log: log, since: claimedAt, size: chunkSize(w.opts.ChunkSize, ch.Traits().MaxBatch), zone: loc, jitter: rand.Float64(), park: park}
	d.late, d.arrived = map[string]bool{}, make(chan []models.RecipientOutcome, maxLate)
	defer d.abandonLate()
	err = d.run(ctx)
	if e := d.settle(); err == nil {
		err = e
	}
	if errors.Is(err, models.ErrFenced) {
		log.Warn("the page was taken over by another worker")
		return false, nil
	}
	return v.State == models.PageDone || v.State == models.PageNew || d.over, err
}

// delivery is the state of one visit to one page.
type delivery struct {
	*Worker
	v      *models.Visit // as it stands once what is behind is written
	ch     channels.Channel
	lease  *lease
	log    *slog.Logger
	since  time.Time
	over   bool             // it ended with more to send: its time was up, or the process is to end
	size   int              // recipients of a chunk
	known  map[string]int64 // the page's members in the directory; nil when all are, or it does not matter
	zone   *time.Location   // of the page's members
	behind chan error       // the write of the chunk before, while it is under way
	lost   error            // the page could not be parked: it is not this worker's any more
	park   func()           // gives up the worker's slot; nil when that is done

	late    map[string]bool                // members whose request is out, and who have a row that waits
	going   int                            // chunks that they are of
	arrived chan []models.RecipientOutcome // their rows, chunk by chunk
	jitter  float64                        // 0 to 1; of the visit's backoffs
	watch   *watch                         // of the last chunk sent; nil = the guard does not look at the campaign
	single  bool                           // the tokens were granted for one request although the provider fails, to see whether it still does
}

func (d *delivery) run(ctx context.Context) error {
	if err := d.lookUp(ctx); err != nil {
		return err
	}
	for d.v.State == models.PageRunning {
		chunk, leave, err := d.ready(ctx)
		switch {
		case err != nil:
			return err
		case leave != nil && d.going > 0: // then all is looked at anew
			err = d.awaitLate(ctx, leave.in)
		case leave != nil:
			return leave.end(ctx)
		case len(chunk) > 0:
			err = d.sendChunk(ctx, chunk)
		}
		if err == nil {
			err = d.collectLate(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaving is how a visit ends.
type leaving struct {
	end func(context.Context) error
	in  time.Duration // the reason lasts for so long; 0 = until something comes
}

// ready is the next chunk to send, with its tokens, or how the visit ends. Neither: it has waited, and all is to be looked at anew.
func (d *delivery) ready(ctx context.Context) ([]member, *leaving, error) {
	now, fresh := d.control.get(d.v.CampaignID)
	switch {
	case fresh && (now.Status == models.StatusCancelled || now.Status == models.StatusExpired || now.Status == models.StatusFailed):
		return nil, &leaving{end: func(ctx context.Context) error {
			if err := d.settle(); err != nil {
				return err
			}
			return d.store.CloseVisit(ctx, d.v, now.Status)
		}}, nil
	case !fresh || now.Status != models.StatusRunning: // guard: control-before-chunk
		return nil, d.wait(soon), nil // it is not queued again before the campaign runs
	case d.drain.Err() != nil || d.overdue(ctx) || !d.lease.held():
		return nil, &leaving{end: func(ctx context.Context) error {
			d.over = true
			return d.end(ctx, 0)
		}}, nil
	}
	if end, quiet := quietUntil(&d.v.Campaign, d.zone, d.v.Now()); quiet {
		// Back among the new pages, so that the end of the night does not put them all into Redis at once.
		return nil, d.goBack(time.Duration(end-d.v.Now()) * time.Millisecond), nil
	}
	d.v.Campaign.RatePerSecond = now.RatePerSecond
	chunk := d.next()
	if len(chunk) == 0 {
		// Only recipients are left that wait for their next attempt. The page gives up its place in the window: pages with
		// recipients that are ready must not wait for it.
		return nil, d.goBack(d.untilDue()), nil // guard: window-left
	}
	chunk, g, err := d.tokens(ctx, chunk)
	switch {
	case err != nil:
		// No Redis, no sends.
		d.log.Warn("the rate limiter does not answer", "err", err)
		return nil, d.wait(time.Second), nil
	case len(chunk) > 0:
		return chunk, nil, nil
	case g.Wait > d.pacer.SlotWait || d.hurried(ctx):
		leave := d.wait(d.pacer.Rates.PageWait(g))
		leave.in = g.Wait
		return nil, leave, nil
	}
	d.sleep(g.Wait)
	return nil, nil, nil
}

// wait leaves the page to be queued again after the given time.
func (d *delivery) wait(in time.Duration) *leaving {
	return &leaving{end: func(ctx context.Context) error { return d.end(ctx, in) }}
}

// goBack leaves the page among the new ones, outside the window, until its time comes.
func (d *delivery) goBack(in time.Duration) *leaving {
	return &leaving{end: func(ctx context.Context) error { return d.write(ctx, models.Chunk{State: models.PageNew, ReadyIn: in}) }}
}

// sendChunk sends a chunk, and writes its outcomes while the next one is sent.
func (d *delivery) sendChunk(ctx context.Context, chunk []member) (err error) {
	if d.v.Campaign.Delivery == models.AtMostOnce { // guard: claim-first
		if chunk, err = d.claim(ctx, chunk); err != nil {
			return err
		}
	}
	outcomes := d.send(ctx, chunk)
	if d.lost != nil {
		return d.lost
	}
	if err := d.writeBehind(ctx, models.Chunk{Outcomes: outcomes, State: models.PageRunning}); err != nil {
		return err
	}
	return d.guarded(ctx)
}

// guarded pauses the campaign when the guard says so after a chunk.
func (d *delivery) guarded(ctx context.Context) error {
	trip, err := d.watch.judge(ctx)
	if err != nil {
		d.log.Warn("the guard's outcomes could not be told to the other workers", "err", err)
	}
	if trip == nil {
		return nil
	}
	if err := d.settle(); err != nil { // the ledger is asked who was sent and who is pending
		return err
	}
	paused, someSent, err := d.store.Guard(ctx, d.v.CampaignID, *trip)
	switch {
	case paused:
		d.log.Warn("the campaign paused itself: too many failed", "id", d.v.Campaign.PublicID, "kinds", trip.Kinds, "by", "guard")
	case someSent:
		d.watch.sentSome()
	}
	if err == nil {
		err = d.control.refresh(ctx, []int64{d.v.CampaignID})
	}
	if err != nil { // then nothing more is sent before the guard is asked again
		d.log.Warn("the guard could not reach the ledger", "err", err)
	}
	return nil
}

// overdue says that the visit's time is up. One that would have to wait for late answers first goes on as long as nobody else
// waits for its slot: the rest of its page must not wait with it.
func (d *delivery) overdue(ctx context.Context) bool {
	lasted := time.Since(d.since)
	if lasted <= visitFor && (lasted <= shortest || !d.pacer.Places.MustYield(d.v.Campaign)) {
		return false
	}
	if d.going > 0 && d.park != nil {
		if stay, err := d.stay(ctx, d.v.Campaign); err == nil && stay {
			d.since = time.Now()
			return false
		}
	}
	return true
}

// claim writes down who is about to be sent, before an at-most-once send: whoever finds the claim later knows
// that the request may have gone out. It returns the chunk as its rows now stand.
func (d *delivery) claim(ctx context.Context, chunk []member) ([]member, error) {
	c := models.Chunk{State: models.PageRunning}
	claimed := make([]member, len(chunk))
	for i, m := range chunk {
		c.Outcomes = append(c.Outcomes, models.RecipientOutcome{UserID: m.id, Status: models.RecipientClaimed, Attempts: m.attempts, HasRow: m.again})
		claimed[i] = m
		claimed[i].again = true
	}
	return claimed, d.write(ctx, c)
}

func (d *delivery) sleep(wait time.Duration) {
	select {
	case <-d.drain.Done():
	case <-time.After(wait):
	}
}

// hurried says whether a transactional campaign that waits for tokens holds a slot that another one needs.
func (d *delivery) hurried(ctx context.Context) bool {
	if d.v.Campaign.Priority != models.PriorityTransactional {
		return false
	}
	waiting, err := d.queue.waiting(ctx, d.v.Campaign.Priority)
	return err == nil && waiting > 0
}

// end leaves the page to be queued again after the given time.
func (d *delivery) end(ctx context.Context, in time.Duration) error {
	return d.write(ctx, models.Chunk{State: models.PageWaiting, ReadyIn: in})
}

// write closes a chunk and returns when it is written.
func (d *delivery) write(ctx context.Context, c models.Chunk) error {
	if err := d.writeBehind(ctx, c); err != nil {
		return err
	}
	return d.settle()
}

// writeBehind closes a chunk and writes it while the next one is sent. The one before is written first, so never
// more than one chunk's outcomes are known to this process alone while another is sent. At-most-once chunks do not overlap:
// the claim of the next one is a write too, and comes before its send.
func (d *delivery) writeBehind(ctx context.Context, c models.Chunk) error {
	if err := d.settle(); err != nil {
		return err
	}
	closed, behind := d.v.Close(c), make(chan error, 1)
	d.behind = behind
	go func() { behind <- d.put(ctx, closed) }()
	return nil
}

// settle waits for the write of the chunk before.
func (d *delivery) settle() error {
	if d.behind == nil {
		return nil
	}
	err := <-d.behind
	d.behind = nil
	return err
}

// put writes a chunk, whatever it takes: a database that is away is waited for, until another worker has the page or this process ends.
func (d *delivery) put(ctx context.Context, c models.ClosedChunk) error {
	var giveUp <-chan time.Time
	for {
		err := d.store.WriteChunk(ctx, c)
		if err == nil {
			d.lease.moved()
			return nil
		}
		if errors.Is(err, models.ErrFenced) {
			d.lease.lose()
			return err
		}
		d.log.Warn("a chunk's outcomes could not be written yet", "err", err)
		if d.drain.Err() != nil && giveUp == nil {
			giveUp = time.After(d.opts.DrainTimeout)
		}
		select {
		case <-giveUp:
			return err
		case <-time.After(rewrite):
		}
	}
}
