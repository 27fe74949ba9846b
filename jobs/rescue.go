package jobs

import (
	"context"
	"errors"
	"time"

	"carillon/models"
)

const (
	rescueEvery = time.Second
	// unclaimedFor: a task that a worker took and did not claim for so long was lost with its
	// worker.
	unclaimedFor models.Millis = 5_000
)

// rescuer moves what a dead worker or an emptied Redis left behind.
type rescuer struct {
	requeuer
	steady *steadiness
}

// takeOver queues the pages whose lease has ended. It does so only in steady contact with the
// database.
func (r rescuer) takeOver(ctx context.Context) error {
	if !r.steady.holds(time.Now()) { // guard: lease-ended
		return nil
	}
	stillSteady := func(models.Page, models.Campaign) (bool, error) { return r.steady.holds(time.Now()), nil }
	return errors.Join(r.requeue(ctx, models.PageRunning, stillSteady), r.requeue(ctx, models.PageParked, stillSteady))
}

// requeueLost asks Redis about the tasks of queued pages that nobody has claimed for a while.
//   - A task that waits in the queue is in order, however long the queue. The page is asked about
//     again later.
//   - A task that is gone was lost with Redis. The page is queued again.
//   - A task that a worker took and did not claim was lost with the worker. The page is queued
//     again.
func (r rescuer) requeueLost(ctx context.Context) error {
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	return r.requeue(ctx, models.PageQueued, func(p models.Page, c models.Campaign) (bool, error) {
		state, err := r.queue.look(c.Priority, p)
		if err != nil {
			return false, err
		}
		switch state {
		case taskPending:
			return false, r.store.ExtendQueued(ctx, p)
		case taskActive:
			return now-p.DueAt > unclaimedFor, nil
		default: // absent
			return true, nil
		}
	})
}

// resumePlans queues the plans that stand still.
func (r rescuer) resumePlans(ctx context.Context) error {
	plans, err := r.store.DuePlans(ctx)
	if err != nil {
		return err
	}
	for _, t := range plans {
		if err := r.queue.Plan(ctx, t); err != nil {
			return err
		}
	}
	return nil
}
