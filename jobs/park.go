package jobs

import (
	"context"
	"time"

	"carillon/channels"
	"carillon/models"
)

// A visit that has nothing to do but to wait for late answers parks: the slot goes on with another page, and the visit waits
// beside it. maxParked bounds such visits of one process, each of which holds a page's members in memory.
const maxParked = 128

// deliverOrPark is deliver, and returns early when the visit parks: then its slot may go on with another page.
func (w *Worker) deliverOrPark(ctx context.Context, v *models.Visit, ch channels.Channel, claimedAt time.Time) (goOn, isParked bool, err error) {
	campaign, page := v.CampaignID, v.No
	type end struct {
		goOn bool
		err  error
	}
	parked, ended := make(chan struct{}), make(chan end, 1)
	go func() {
		goOn, err := w.deliver(ctx, v, ch, claimedAt, func() { close(parked) })
		ended <- end{goOn, err}
	}()
	select {
	case e := <-ended:
		return e.goOn, false, e.err
	case <-parked:
	}
	w.control.attachKnown(campaign)
	w.parking.Go(func() {
		defer w.parked.Add(-1)
		defer w.control.detach(campaign)
		e := <-ended
		if e.err == nil && e.goOn {
			e.err = w.handOver(ctx, v)
		}
		if e.err != nil {
			w.log.Error("a page failed and is left to the reconciler", "campaign", campaign, "page", page, "err", e.err)
		}
	})
	return true, true, nil
}

// handOver gives a page that has more to send to whoever comes next, and the campaign room for another one.
func (w *Worker) handOver(ctx context.Context, v *models.Visit) error {
	if v.State != models.PageWaiting {
		return w.windows.advance(ctx, v.CampaignID)
	}
	return w.handOn(ctx, v)
}

// mayPark takes one of the process's parking places.
func (w *Worker) mayPark() bool {
	if w.parked.Add(1) <= maxParked {
		return true
	}
	w.parked.Add(-1)
	return false
}

// leaveSlot parks the visit, if it has not yet and there is room. The ledger learns it first: a parked page is outside the window.
func (d *delivery) leaveSlot(ctx context.Context) {
	if d.park == nil || d.lost != nil || d.drain.Err() != nil || !d.mayPark() {
		return
	}
	if err := d.write(ctx, models.Chunk{State: models.PageParked}); err != nil {
		d.lost = err
		d.parked.Add(-1)
		return
	}
	d.v.State = models.PageRunning // which the next chunk writes
	d.park()
	d.park = nil
}
