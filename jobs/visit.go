package jobs

import (
	"context"
	"errors"
	"time"

	"carillon/models"
)

const (
	// noChannelRetry is when a page comes back that met a worker without its channel.
	noChannelRetry = 10 * time.Second
	// keepNoPlace is how long the note lasts that a campaign found no place on its channel.
	keepNoPlace = time.Second
)

// visit runs a page task. It visits the task's page and then, as long as nobody else needs the
// slot, further pages of the same campaign. Sending those pages through Redis would cost each the
// poll of an idle queue.
func (w *Worker) visit(ctx context.Context, t models.PageTask) error {
	claimedAt := time.Now()
	v, err := w.store.ClaimPage(ctx, t)
	if err != nil || v == nil {
		return err
	}
	c := v.Campaign
	ctx = w.opts.Tracer.Under(ctx, c.Traceparent)
	ch := w.channels[c.Channel]
	if ch == nil {
		w.log.Error("this worker is not set up for the campaign's channel", "campaign", c.ID, "channel", c.Channel)
		w.noteLimitedBy(ctx, &c, models.LimitedByNoWorkers, noChannelRetry+time.Second)
		return w.store.WriteChunk(ctx, v.Close(models.Chunk{State: models.PageWaiting, ReadyIn: noChannelRetry}))
	}
	if c.Priority == models.PriorityBulk {
		v, err = w.acquirePlace(ctx, v)
		if err != nil || v == nil {
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
		claimedAt = time.Now()
		if parked {
			v, err = w.nextNewPage(ctx, c)
		} else {
			v, err = w.nextPage(ctx, c, v)
		}
		if err != nil {
			return err
		}
	}
	return w.windows.advance(ctx, c.ID)
}

// acquirePlace finds a place on the channel for a claimed page. It returns nil when the page found
// no place, or moved meanwhile: then the page is given back.
//
// A page of a slow campaign that has no place in this process waits for one in the slot, and is
// claimed again. Sending the page through Redis instead would move it to another process, where it
// starts waiting from zero. A slow campaign needs a place only briefly, once per token, so it would
// never catch up.
func (w *Worker) acquirePlace(ctx context.Context, v *models.Visit) (*models.Visit, error) {
	c := v.Campaign
	places := w.pacer.Places
	instead, ok := places.Acquire(c)
	if ok {
		return v, nil
	}
	full := instead.State == models.PageWaiting
	if full {
		w.noteLimitedBy(ctx, &c, models.LimitedByTurn, keepNoPlace)
	}
	waits := full && places.BeginSlotWait(c)
	if waits {
		defer places.EndSlotWait(c)
		// Until then no other process takes the page. After it another one does, should this
		// process be gone.
		instead.ReadyIn = w.pacer.SlotWait
	}
	if err := w.store.WriteChunk(ctx, v.Close(instead)); err != nil {
		return nil, err
	}
	if !waits || v.State != models.PageWaiting || !places.AcquireInSlot(w.drain, c) {
		return nil, nil
	}
	v, err := w.store.ClaimAgain(ctx, v)
	if err != nil || v == nil {
		places.Release(c)
	}
	return v, err
}

// noteLimitedBy notes for readers why a page of c was given back.
func (w *Worker) noteLimitedBy(ctx context.Context, c *models.Campaign, by models.LimitedBy, keep time.Duration) {
	if err := w.pacer.Rates.Note(ctx, c, by, keep); err != nil {
		w.log.Debug("what holds a campaign back could not be noted", "campaign", c.ID, "err", err)
	}
}

// nextPage claims what the slot goes on with after the visit v.
//   - A page that still has recipients goes on with another visit. A page whose retries are late
//     comes first.
//   - After a page that is done, or left the window, it is a new page.
//   - If a task waits for this slot, if another campaign waits for this place, or if the campaign
//     does not run, nextPage returns nil. A page of a running campaign that still has recipients is
//     then queued at once; the reconciler would do so only later.
func (w *Worker) nextPage(ctx context.Context, c models.Campaign, v *models.Visit) (*models.Visit, error) {
	if v.State != models.PageWaiting {
		return w.nextNewPage(ctx, c)
	}
	now, fresh := w.control.get(c.ID)
	if !fresh || now.Status != models.StatusRunning {
		return nil, nil
	}
	stay, err := w.slots.mayStay(ctx, c)
	if err != nil {
		return nil, err
	}
	if !stay {
		return nil, w.handOn(ctx, v)
	}
	late, err := w.store.ClaimLate(ctx, c)
	if err == nil && late == nil {
		return w.store.ClaimAgain(ctx, v)
	}
	return late, errors.Join(err, w.handOn(ctx, v))
}

// nextNewPage claims a new page of c, if the window has room and nobody else needs the slot.
// Otherwise it returns nil.
func (w *Worker) nextNewPage(ctx context.Context, c models.Campaign) (*models.Visit, error) {
	now, fresh := w.control.get(c.ID)
	if !fresh || now.Status != models.StatusRunning {
		return nil, nil
	}
	stay, err := w.slots.mayStay(ctx, c)
	if err != nil || !stay {
		return nil, err
	}
	inside, err := w.store.Inside(ctx, c.ID)
	c.RatePerSecond = now.RatePerSecond
	if err != nil || w.windows.room(c, inside) <= 0 {
		return nil, err
	}
	return w.store.ClaimNext(ctx, c)
}
