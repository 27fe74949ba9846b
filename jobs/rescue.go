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
	steady   *steadiness
	inFlight func(channel string) int // see Options.inFlight
}

// takeOver queues the pages whose lease has ended. It does so only in steady contact with the
// database.
func (r rescuer) takeOver(ctx context.Context) error {
	if !r.steady.holds(time.Now()) { // guard: lease-ended
		return nil
	}
	take := func(ctx context.Context, p models.Page, c models.Campaign) (task models.PageTask, moved bool, err error) {
		if !r.steady.holds(time.Now()) {
			return task, false, nil
		}
		return r.store.TakeOver(ctx, p, c, r.inFlight(c.Channel))
	}
	return errors.Join(r.requeue(ctx, models.PageRunning, take), r.requeue(ctx, models.PageParked, take))
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
	return r.requeue(ctx, models.PageQueued, func(ctx context.Context, p models.Page, c models.Campaign) (task models.PageTask, moved bool, err error) {
		state, err := r.queue.look(c.Priority, p)
		switch {
		case err != nil:
			return task, false, err
		case state == taskPending:
			return task, false, r.store.ExtendQueued(ctx, p)
		case state == taskActive && now-p.DueAt <= unclaimedFor:
			return task, false, nil
		}
		return r.again(ctx, p, c)
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
