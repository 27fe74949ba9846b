package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"carillon/channels"
	"carillon/internal/pacing"
	"carillon/models"
)

// Options are a worker process's settings.
type Options struct {
	Channels     []channels.Channel
	Rates        map[string]int // recipients per second by channel, over all processes; 0 or none = no limit
	MaxAttempts  int            // per recipient
	Backoff      time.Duration  // before the second attempt; doubles with each further one
	BulkSlots    int            // pages this process holds at once
	TransSlots   int            // the same for transactional campaigns, beside the bulk ones
	ChunkSize    int            // recipients sent between two writes; 0 = 250 to 500, as whole requests of the channel
	DrainTimeout time.Duration  // how long Stop waits for what is in flight
}

// Defaults fills in what is zero.
func (o Options) Defaults() Options {
	set := func(field *int, def int) {
		if *field == 0 {
			*field = def
		}
	}
	set(&o.MaxAttempts, 5)
	set(&o.BulkSlots, 16)
	set(&o.TransSlots, 8)
	if o.Backoff == 0 {
		o.Backoff = 2 * time.Second
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = channels.MaxTimeout + time.Second // a request may take that long
	}
	return o
}

// Worker takes tasks out of Redis and runs them, on one asynq server per priority: queue weights are fixed at
// a server's start and it fetches with a single goroutine, so a shared one would let bulk hold up the rest.
type Worker struct {
	store    *models.Store
	queue    *Queue
	pace     *pacing.Pacer
	legible  *legible
	guard    *guard
	opts     Options
	channels map[string]channels.Channel
	log      *slog.Logger

	slots   atomic.Int64   // pages that all worker processes together can hold
	parked  atomic.Int64   // visits that wait beside the slots; see park.go
	parking sync.WaitGroup // the same
	control *controls
	contact contact
	marks   marks
	loops   loops
	servers []*asynq.Server
	drain   context.Context // ended by Stop: begin no send
	begin   context.CancelFunc
	stop    sync.Once
}

// NewWorker makes a worker that takes nothing until Start.
func NewWorker(store *models.Store, queue *Queue, opts Options, log *slog.Logger) *Worker {
	w := &Worker{store: store, queue: queue, opts: opts.Defaults(), channels: map[string]channels.Channel{}, log: log}
	for _, c := range opts.Channels {
		w.channels[c.Name()] = c
	}
	w.slots.Store(int64(w.opts.BulkSlots))
	w.pace = pacing.New(queue.rdb, pacing.Defaults(), w.opts.Rates, w.opts.BulkSlots, log)
	w.control = newControls(store, log)
	w.legible = newLegible()
	w.guard = newGuard(queue.rdb)
	w.marks = marks{store, queue.rdb, w.contact.lost}
	w.drain, w.begin = context.WithCancel(context.Background())
	return w
}

// Start begins to take tasks.
func (w *Worker) Start() error {
	w.contact.lost() // it takes no task before it knows the ledger
	if err := w.keepContact(context.Background()); err != nil {
		w.log.Debug("tasks are not taken yet", "err", err) // the loop says so
	}
	w.control.start()
	w.loops.start(w.log,
		loop{w.pace.PublishEvery, "tell how the providers do", w.pace.Health.Publish},
		loop{contactEvery, "reach the database to take tasks", w.keepContact},
	)
	// An idle asynq server asks for work at this interval: it is most of the delay between POST and send.
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

// Stop begins no further send, lets those in flight end and be written, and returns. It may be called twice.
func (w *Worker) Stop() {
	w.stop.Do(func() {
		w.begin()
		var wg sync.WaitGroup
		for _, srv := range w.servers {
			wg.Go(srv.Shutdown)
		}
		wg.Wait()
		w.parking.Wait()
		w.control.stop()
		w.loops.stop()
	})
}

// handle runs one task. The context that asynq gives ends with its own shutdown, before the outcomes of what
// was sent are written, so the work goes by the page's lease and by drain instead.
func (w *Worker) handle(_ context.Context, task *asynq.Task) error {
	p, err := DecodePayload(task.Payload())
	if err != nil {
		w.log.Warn("a task was left to the reconciler", "err", err)
		return nil
	}
	ctx := context.Background()
	if w.contact.away() != nil {
		w.putBack(ctx, task.Type(), p)
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
		w.later(ctx, task.Type(), p)
	case errors.Is(err, models.ErrFenced): // it is another's, or gone: that is an end
		w.log.Debug("a task was taken over", "campaign", p.Campaign, "page", p.Page, "kind", task.Type())
	case models.IsUnavailable(err):
		if w.contact.away() == nil { // else it is known, and to ask once more would keep the task from the others
			_ = w.keepContact(ctx) // which tells a database that is away from one that was busy for a moment
		}
		w.log.Warn("a task is put back: the database does not serve", "campaign", p.Campaign, "page", p.Page, "kind", task.Type(), "err", err)
		w.putBack(ctx, task.Type(), p)
	default:
		w.log.Error("a task failed and is left to the reconciler", "campaign", p.Campaign, "page", p.Page, "kind", task.Type(), "err", err)
	}
	return nil
}

// quietLog gives asynq's own messages to slog, of warnings and errors at most one in ten seconds: while Redis is away
// it has several a second, and the reconciler says so once.
type quietLog struct {
	log  *slog.Logger
	last *atomic.Int64 // unix seconds
}

func (q quietLog) spare(level slog.Level, args []any) {
	now := time.Now().Unix()
	if last := q.last.Load(); now-last >= 10 && q.last.CompareAndSwap(last, now) {
		q.log.Log(context.Background(), level, fmt.Sprint(args...), "from", "asynq")
	}
}

func (q quietLog) Debug(args ...any) { q.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (q quietLog) Info(args ...any)  { q.log.Info(fmt.Sprint(args...), "from", "asynq") }
func (q quietLog) Warn(args ...any)  { q.spare(slog.LevelWarn, args) }
func (q quietLog) Error(args ...any) { q.spare(slog.LevelError, args) }
func (q quietLog) Fatal(args ...any) {
	q.log.Error(fmt.Sprint(args...), "from", "asynq", "fatal", true)
}
