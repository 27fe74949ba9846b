package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"carillon/channels"
	"carillon/internal/slots"
	"carillon/internal/zones"
	"carillon/models"
)

const (
	// After this time a page goes to the tail of the queue, if a task waits there.
	visitFor = 5 * time.Second
	// The same, while another campaign needs the place on the channel.
	visitForWhenCrowded = time.Second
	// After this time a page whose campaign does not run may be queued again.
	notRunningRetry = 200 * time.Millisecond
	// After this time a page that got no answer from the limiter is queued again.
	noRedisRetry = time.Second
)

// deliver visits a claimed page: chunk by chunk, until nothing is left to send now, or the visit
// ends. What it leaves is true at every instant: a page that is done, or one that waits until a
// given time.
//
// goOn says that the slot may go on with the campaign. Then the page is done, or has left the
// window, or still has recipients and only the visit ended.
func (w *Worker) deliver(ctx context.Context, v *models.Visit, ch channels.Channel, claimedAt time.Time, park func()) (goOn bool, err error) {
	ctx, span := w.traceVisit(ctx, v)
	defer span.End()
	log := w.log.With("campaign", v.CampaignID, "page", v.No)
	l := holdLease(w.store, models.PageTask{Campaign: v.CampaignID, Page: v.No, Epoch: v.Epoch}, claimedAt, log)
	defer l.release()
	loc, known := zones.Of(v.Zone, v.Campaign.Zone)
	if !known && v.Campaign.Zoned() {
		log.Warn("the time zone of a page is not known to this program, so the campaign's counts", "zone", v.Zone, "instead", loc.String())
	}
	d := &delivery{
		visit: v, channel: ch, zone: loc, lease: l, log: log, counts: w.opts.Metrics.Channel(v.Campaign.Channel),
		store: w.store, control: w.control, pacer: w.pacer, guard: w.guard, legible: w.legible, refused: w.refused, slots: w.slots, drain: w.drain,
		writer:    &pageWriter{store: w.store, visit: v, lease: l, drain: w.drain, drainTimeout: w.opts.DrainTimeout, counts: w.opts.Metrics, log: log},
		attempts:  attemptRules{maxAttempts: w.opts.MaxAttempts, backoff: w.opts.Backoff, pacing: w.pacer.Params, visit: v, asks: ch.Traits().Asks, jitter: rand.Float64()},
		late:      newLateAnswers(),
		chunkSize: chunkSize(w.opts.ChunkSize, ch.Traits().MaxBatch),
		startedAt: claimedAt,
		park:      park,
	}
	defer d.late.abandon()
	err = d.run(ctx)
	flushErr := d.writer.flush()
	if err == nil {
		err = flushErr
	}
	if errors.Is(err, models.ErrFenced) {
		log.Warn("the page was taken over by another worker")
		return false, nil
	}
	return v.State == models.PageDone || v.State == models.PageNew || d.endedEarly, err
}

// run goes through the page: members, grant, send, write.
func (d *delivery) run(ctx context.Context) error {
	if err := d.settleClaims(ctx); err != nil {
		return err
	}
	if err := d.readDirectory(ctx); err != nil {
		return err
	}
	for d.visit.State == models.PageRunning {
		if err := d.step(ctx); err != nil {
			return err
		}
		if err := d.collectLate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settleClaims decides on the at-most-once claims of a worker that is gone. A channel that asks is
// given them as attempts. Otherwise nobody will ever know, and they end.
func (d *delivery) settleClaims(ctx context.Context) error {
	if !d.attempts.asks { // guard: claims-of-the-gone
		return d.store.DisownClaims(ctx, d.visit)
	}
	d.visit.AdoptClaims()
	return nil
}

// step sends the next chunk, or waits for its tokens, or ends the visit.
func (d *delivery) step(ctx context.Context) error {
	if end := d.mustEnd(ctx); end != nil {
		return d.endVisit(ctx, end)
	}
	chunk := d.nextChunk()
	if len(chunk) == 0 {
		// All who are left wait for their next attempt. The page leaves the window: pages with
		// recipients that are ready must not wait for it.
		end := d.asNew(d.untilDue()) // guard: window-left
		return d.endVisit(ctx, end)
	}
	chunk, grant, err := d.takeTokens(ctx, chunk)
	if err != nil { // without Redis nothing is sent
		d.log.Warn("the rate limiter does not answer", "err", err)
		return d.endVisit(ctx, d.asWaiting(noRedisRetry))
	}
	if len(chunk) > 0 {
		return d.sendChunk(ctx, chunk)
	}
	d.counts.TokenWait.Observe(grant.Wait.Seconds())
	if grant.Wait > d.pacer.SlotWait || d.slots.contended(ctx, d.visit.Campaign) {
		end := d.asWaiting(d.pacer.Rates.PageWait(grant))
		end.lasts = grant.Wait
		return d.endVisit(ctx, end)
	}
	d.sleep(grant.Wait)
	return nil
}

// ending is how a visit ends.
type ending struct {
	write func(context.Context) error
	lasts time.Duration // how long the reason lasts; 0 = until something happens
	early bool          // with recipients left: the visit's time is up, or the process is to end
}

// endVisit ends the visit. While answers are late it waits for them instead, and then everything is
// looked at again.
func (d *delivery) endVisit(ctx context.Context, end *ending) error {
	if d.late.chunks > 0 {
		return d.awaitLate(ctx, end.lasts)
	}
	d.endedEarly = end.early
	return end.write(ctx)
}

// asWaiting leaves the page in the window, to be queued again after the given time.
func (d *delivery) asWaiting(in time.Duration) *ending {
	return &ending{write: func(ctx context.Context) error {
		return d.writer.write(ctx, models.Chunk{State: models.PageWaiting, ReadyIn: in})
	}}
}

// asNew leaves the page among the new pages, outside the window, until its time comes.
func (d *delivery) asNew(in time.Duration) *ending {
	return &ending{write: func(ctx context.Context) error {
		return d.writer.write(ctx, models.Chunk{State: models.PageNew, ReadyIn: in})
	}}
}

// asClosed closes the page of a campaign that has ended.
func (d *delivery) asClosed(status models.Status) *ending {
	return &ending{write: func(ctx context.Context) error {
		if err := d.writer.flush(); err != nil {
			return err
		}
		return d.store.CloseVisit(ctx, d.visit, status)
	}}
}

// mustEnd is how the visit must end now, whoever is left; nil = the next chunk may be sent.
func (d *delivery) mustEnd(ctx context.Context) *ending {
	now, fresh := d.control.get(d.visit.CampaignID)
	switch {
	case fresh && (now.Status == models.StatusCancelled || now.Status == models.StatusExpired || now.Status == models.StatusFailed):
		return d.asClosed(now.Status)
	case !fresh || now.Status != models.StatusRunning: // guard: control-before-chunk
		return d.asWaiting(notRunningRetry) // it is not queued again before the campaign runs
	case d.drain.Err() != nil || d.visitExpired(ctx) || !d.lease.held():
		end := d.asWaiting(0)
		end.early = true
		return end
	}
	d.visit.Campaign.RatePerSecond = now.RatePerSecond
	until, quiet := slots.QuietUntil(&d.visit.Campaign, d.zone, d.visit.Now())
	if quiet {
		// Among the new pages, so that the end of the night does not put all pages into Redis at
		// once.
		return d.asNew(time.Duration(until-d.visit.Now()) * time.Millisecond)
	}
	return nil
}

// visitExpired reports whether the visit's time is up. A visit that would first have to wait for
// late answers goes on as long as it may stay in its slot: the other recipients of its page must
// not wait too.
func (d *delivery) visitExpired(ctx context.Context) bool {
	lasted := time.Since(d.startedAt)
	if lasted <= visitFor && (lasted <= visitForWhenCrowded || !d.pacer.Places.MustYield(d.visit.Campaign)) {
		return false
	}
	if d.late.chunks == 0 || d.park == nil {
		return true
	}
	stay, err := d.slots.mayStay(ctx, d.visit.Campaign)
	if err != nil || !stay {
		return true
	}
	d.startedAt = time.Now()
	return false
}

// sendChunk sends a chunk, and writes its outcomes while the next chunk is sent.
func (d *delivery) sendChunk(ctx context.Context, chunk []member) error {
	if d.visit.Campaign.Delivery == models.AtMostOnce { // guard: claim-first
		if err := d.claim(ctx, chunk); err != nil {
			return err
		}
	}
	outcomes := d.send(ctx, chunk)
	if d.lost != nil {
		return d.lost
	}
	if err := d.writer.writeBehind(ctx, models.Chunk{Outcomes: outcomes, State: models.PageRunning}); err != nil {
		return err
	}
	return d.askGuard(ctx)
}

// claim writes down who is about to be sent, before an at-most-once send. Whoever finds the claim
// later knows that the request may have gone out. From then on each member has a row.
func (d *delivery) claim(ctx context.Context, chunk []member) error {
	c := models.Chunk{State: models.PageRunning, Outcomes: make([]models.RecipientOutcome, len(chunk))}
	for i, m := range chunk {
		c.Outcomes[i] = models.RecipientOutcome{UserID: m.id, Status: models.RecipientClaimed, Attempts: m.attempts, HasRow: m.hasRow, MaybeSent: m.maybeSent}
		chunk[i].hasRow = true
	}
	return d.writer.write(ctx, c)
}

// awaitLate waits for late answers, beside the slot if it may, and writes them. within bounds the
// wait; 0 = until they come.
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
	case rows := <-d.late.arrived:
		return d.writeLate(ctx, rows)
	case <-enough:
		return nil
	}
}

// collectLate writes the late answers that have come.
func (d *delivery) collectLate(ctx context.Context) error {
	for {
		select {
		case rows := <-d.late.arrived:
			if err := d.writeLate(ctx, rows); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (d *delivery) writeLate(ctx context.Context, rows []models.RecipientOutcome) error {
	d.late.took(rows)
	d.stopIllegible(ctx)
	d.failRefused(ctx)
	if err := d.writer.writeBehind(ctx, models.Chunk{Outcomes: rows, State: models.PageRunning}); err != nil {
		return err
	}
	return d.askGuard(ctx)
}
