package jobs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

// A visit that can only wait for late answers parks. Its slot goes on with another page, and the
// visit waits beside the slot. maxParked bounds such visits of one process, because each holds the
// members of its page in memory.
const maxParked = 128

// workerSlots says who may stay in a slot of this process, and which visits may wait beside the
// slots.
type workerSlots struct {
	queue   *Queue
	places  *pacing.Places
	contact *contact
	drain   context.Context

	parked  atomic.Int64
	parking sync.WaitGroup
}

// mayStay reports whether a visit to c may keep its slot. It may not in these cases:
//   - The process is to end, or has no contact with the database.
//   - Another campaign waits for the place on the channel.
//   - A task waits for the slot.
func (s *workerSlots) mayStay(ctx context.Context, c models.Campaign) (bool, error) {
	if s.drain.Err() != nil || s.places.MustYield(c) || s.contact.away() != nil {
		return false, nil
	}
	waiting, err := s.queue.waiting(ctx, c.Priority)
	return waiting == 0, err
}

// contended reports whether a transactional campaign that waits for tokens holds a slot that a task
// waits for.
func (s *workerSlots) contended(ctx context.Context, c models.Campaign) bool {
	if c.Priority != models.PriorityTransactional {
		return false
	}
	waiting, err := s.queue.waiting(ctx, c.Priority)
	return err == nil && waiting > 0
}

// takeParking takes one of the process' parking places. leaveParking must follow if it returns
// true.
func (s *workerSlots) takeParking() bool {
	if s.parked.Add(1) <= maxParked {
		return true
	}
	s.parked.Add(-1)
	return false
}

func (s *workerSlots) leaveParking() { s.parked.Add(-1) }

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
