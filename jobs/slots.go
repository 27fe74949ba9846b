package jobs

import (
	"context"
	"sync"
	"sync/atomic"

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
