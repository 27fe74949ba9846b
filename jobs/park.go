package jobs

import (
	"context"
	"time"

	"carillon/channels"
	"carillon/models"
)

// deliverOrPark is deliver, and returns early when the visit parks: then the slot may go on with
// another page.
func (w *Worker) deliverOrPark(ctx context.Context, v *models.Visit, ch channels.Channel, claimedAt time.Time) (goOn, isParked bool, err error) {
	campaign, page := v.CampaignID, v.No
	type result struct {
		goOn bool
		err  error
	}
	parked, ended := make(chan struct{}), make(chan result, 1)
	go func() {
		goOn, err := w.deliver(ctx, v, ch, claimedAt, func() { close(parked) })
		ended <- result{goOn, err}
	}()
	select {
	case r := <-ended:
		return r.goOn, false, r.err
	case <-parked:
	}
	w.control.attachKnown(campaign)
	w.slots.parking.Go(func() {
		defer w.slots.leaveParking()
		defer w.control.detach(campaign)
		r := <-ended
		if r.err == nil && r.goOn {
			r.err = w.afterParking(ctx, v)
		}
		if r.err != nil {
			w.log.Error("a page failed and is left to the reconciler", "campaign", campaign, "page", page, "err", r.err)
		}
	})
	return true, true, nil
}

// afterParking queues a page that still has recipients. After a page without, the campaign's window
// has room for another.
func (w *Worker) afterParking(ctx context.Context, v *models.Visit) error {
	if v.State != models.PageWaiting {
		return w.windows.advance(ctx, v.CampaignID)
	}
	return w.handOn(ctx, v)
}

// handOn queues a page that still has recipients for any worker.
func (w *Worker) handOn(ctx context.Context, v *models.Visit) error {
	tasks, err := w.store.HandOn(ctx, v)
	if err != nil {
		return err
	}
	return w.queue.Pages(ctx, tasks)
}
