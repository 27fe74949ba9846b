package jobs

import (
	"context"
	"log/slog"
	"time"

	"carillon/channels"
	"carillon/internal/metrics"
	"carillon/internal/pacing"
	"carillon/models"
)

// delivery is one visit to one page.
type delivery struct {
	visit   *models.Visit // as the page stands once the pending write is done
	channel channels.Channel
	zone    *time.Location // of the page's members
	lease   *lease
	log     *slog.Logger
	counts  *metrics.Channel

	store   *models.Store
	control *controls
	pacer   *pacing.Pacer
	guard   *guard
	legible *legible
	refused *refused
	slots   *workerSlots
	drain   context.Context // ends when no send may start any more
	writer  *pageWriter

	attempts  attemptRules
	late      *lateAnswers
	chunkSize int // recipients
	// directory holds the page's members who stand there. It is nil if all do, or if that does not
	// matter.
	directory map[string]models.KnownUser

	startedAt  time.Time
	endedEarly bool   // see ending.early
	probe      bool   // the chunk is a single request that shows whether a failing provider is back
	watch      *watch // of the last chunk sent; nil = the guard does not look at the campaign
	park       func() // gives up the worker's slot; nil once that is done
	lost       error  // the page could not be parked: it is not this worker's any more
}

// leaveSlot parks the visit, if it is not parked yet and there is room. The ledger learns it first:
// a parked page is outside the window.
func (d *delivery) leaveSlot(ctx context.Context) {
	if d.park == nil || d.lost != nil || d.drain.Err() != nil || !d.slots.takeParking() {
		return
	}
	if err := d.writer.write(ctx, models.Chunk{State: models.PageParked}); err != nil {
		d.lost = err
		d.slots.leaveParking()
		return
	}
	d.visit.State = models.PageRunning // which the next chunk writes
	d.park()
	d.park = nil
}

// stopIllegible pauses the delivery's campaign when its answers cannot be read. After a resume the
// answers are judged anew.
func (d *delivery) stopIllegible(ctx context.Context) {
	c := &d.visit.Campaign
	why, ok := d.legible.toPause(c.ID)
	if !ok {
		return
	}
	paused, err := d.store.PauseUnreadable(ctx, c.ID, models.CutText(illegibleReason+why, models.MaxTextChars))
	switch {
	case err != nil: // until the campaign is paused, no request starts here
		d.log.Warn("the campaign could not be paused, though the provider's answers cannot be read", "err", err)
		d.legible.notPaused(c.ID)
		return
	case paused:
		d.log.Warn("the campaign paused itself: the provider's answers cannot be read", "id", c.PublicID, "why", why, "by", "guard")
	}
	// The process must know of the pause before it judges anew. Otherwise a request could start in
	// between, and its answer would pause the campaign once more after a resume.
	if err := d.control.refresh(ctx, []int64{c.ID}); err != nil {
		d.log.Warn("the campaign's control state cannot be read", "err", err)
	}
	d.legible.renew(c.ID)
}

// askGuard pauses the delivery's campaign when the guard says so after a chunk. An error is that of
// the chunk's write. When the ledger cannot be reached, nothing more is sent before the guard is
// asked again.
func (d *delivery) askGuard(ctx context.Context) error {
	trip, err := d.watch.judge(ctx)
	if err != nil {
		d.log.Warn("the guard's outcomes could not be told to the other workers", "err", err)
	}
	if trip == nil {
		return nil
	}
	if err := d.writer.flush(); err != nil { // the ledger is asked who was sent and who is pending
		return err
	}
	c := &d.visit.Campaign
	paused, someSent, err := d.store.Guard(ctx, c.ID, *trip)
	switch {
	case paused:
		d.log.Warn("the campaign paused itself: too many failed", "id", c.PublicID, "kinds", trip.Kinds, "by", "guard")
	case someSent:
		d.watch.sentSome()
	}
	if err == nil {
		err = d.control.refresh(ctx, []int64{c.ID})
	}
	if err != nil {
		d.log.Warn("the guard could not reach the ledger", "err", err)
	}
	return nil
}
