package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"carillon/internal/tracing"
	"carillon/models"
)

// Start begins to take tasks.
func (w *Worker) Start() error {
	w.contact.lost() // it takes no task before it knows the ledger
	if err := w.contact.check(context.Background()); err != nil {
		w.log.Debug("tasks are not taken yet", "err", err) // the loop says so
	}
	w.control.start()
	w.loops.start(w.log,
		loop{w.pacer.PublishEvery, "tell how the providers do", w.pacer.Health.Publish},
		loop{contactEvery, "reach the database to take tasks", w.contact.check},
	)
	// An idle asynq server asks for work at this interval: it is most of the delay between POST and
	// send.
	for priority, class := range map[models.Priority]struct {
		slots int
		poll  time.Duration
	}{
		models.PriorityBulk:          {w.opts.BulkSlots, 100 * time.Millisecond},
		models.PriorityTransactional: {w.opts.TransSlots, 20 * time.Millisecond},
	} {
		srv := asynq.NewServerFromRedisClient(w.queue.rdb, asynq.Config{
			Concurrency:       class.slots,
			Queues:            map[string]int{string(priority): 1},
			TaskCheckInterval: class.poll,
			ShutdownTimeout:   w.opts.DrainTimeout,
			Logger:            quietLog{w.log, new(atomic.Int64)},
			LogLevel:          asynq.WarnLevel,
		})
		if err := srv.Start(asynq.HandlerFunc(w.handle)); err != nil {
			return fmt.Errorf("start the %s workers: %w", priority, err)
		}
		w.servers = append(w.servers, srv)
	}
	return nil
}

// Stop begins no further send, lets those in flight end and be written, and returns. It may be
// called twice.
func (w *Worker) Stop() {
	w.stop.Do(func() {
		w.startDrain()
		var wg sync.WaitGroup
		for _, srv := range w.servers {
			wg.Go(srv.Shutdown)
		}
		wg.Wait()
		w.slots.parking.Wait()
		w.control.stop()
		w.loops.stop()
	})
}

// handle runs one task. asynq's context ends with asynq's own shutdown, before the outcomes of what
// was sent are written. So the work goes by the page's lease and by drain instead.
func (w *Worker) handle(_ context.Context, task *asynq.Task) error {
	p, err := DecodePayload(task.Payload())
	if err != nil {
		w.log.Warn("a task was left to the reconciler", "err", err)
		return nil
	}
	ctx := w.opts.Tracer.Under(context.Background(), task.Headers()[tracing.Header])
	if w.contact.away() != nil { // guard: no-contact-no-task
		w.returnTask(ctx, task.Type(), p)
		return nil
	}
	switch task.Type() {
	case KindPlan:
		err = w.plan(ctx, models.PlanTask{Campaign: p.Campaign, Epoch: p.Epoch, Priority: p.Priority})
	case KindPage:
		err = w.visit(ctx, models.PageTask{Campaign: p.Campaign, Page: p.Page, Epoch: p.Epoch, Priority: p.Priority})
	}
	switch {
	case err == nil:
	case errors.Is(err, models.ErrNotYet):
		w.returnTaskLater(ctx, task.Type(), p)
	case errors.Is(err, models.ErrFenced): // the page is another worker's, or gone: nothing is left to do
		w.log.Debug("a task was taken over", "campaign", p.Campaign, "page", p.Page, "kind", task.Type())
	case models.IsUnavailable(err):
		// The check tells a database that is away from a database that was busy for a moment.
		// Without contact the answer is known, and another check would keep the task from the other
		// workers.
		if w.contact.away() == nil {
			_ = w.contact.check(ctx)
		}
		w.log.Warn("a task is put back: the database does not serve", "campaign", p.Campaign, "page", p.Page, "kind", task.Type(), "err", err)
		w.returnTask(ctx, task.Type(), p)
	default:
		w.log.Error("a task failed and is left to the reconciler", "campaign", p.Campaign, "page", p.Page, "kind", task.Type(), "err", err)
	}
	return nil
}

// returnTask gives a task that this worker cannot run to the end of its queue, as a task of its
// own: its ID is taken until the handler returns. Without contact the slot then waits for it, and
// keeps no task meanwhile.
func (w *Worker) returnTask(ctx context.Context, kind string, p Payload) {
	if err := w.queue.enqueueCopy(ctx, kind, p); err != nil {
		w.log.Warn("a task could not be put back and is left to the reconciler", "campaign", p.Campaign, "page", p.Page, "err", err)
	}
	away := w.contact.away()
	if away == nil {
		return
	}
	select {
	case <-away:
	case <-w.drain.Done():
	}
}

// A task whose row does not come is put back eight times, over three seconds. The reconciler finds
// a row that comes later.
const (
	maxReturns    = 8
	maxReturnWait = 500 * time.Millisecond // in the slot, before one return
)

// returnTaskLater puts a task back whose row this database does not have yet. The slot waits a
// little first, so that a queue that holds nothing else does not go round and round.
func (w *Worker) returnTaskLater(ctx context.Context, kind string, p Payload) {
	p.Tries++
	if p.Tries > maxReturns {
		w.log.Debug("a task's row does not come", "campaign", p.Campaign, "page", p.Page)
		return
	}
	select {
	case <-time.After(min(maxReturnWait, 25*time.Millisecond<<p.Tries)):
	case <-w.drain.Done():
	}
	w.returnTask(ctx, kind, p)
}
