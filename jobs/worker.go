package jobs

import (
	"context"
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

// Worker takes tasks out of Redis and runs them, on one asynq server for each priority. An asynq
// server fixes its queues' weights at its start and fetches tasks with a single goroutine. So on a
// shared server bulk tasks would hold up the transactional tasks.
type Worker struct {
	store    *models.Store
	queue    *Queue
	windows  *windows
	contact  *contact
	pacer    *pacing.Pacer
	legible  *legible
	refused  *refused
	guard    *guard
	control  *controls
	opts     Options
	channels map[string]channels.Channel
	log      *slog.Logger

	slots   *workerSlots
	loops   loops
	servers []*asynq.Server
	drain   context.Context // ended by Stop: no send starts any more

	startDrain context.CancelFunc
	stop       sync.Once
}

// NewWorker makes a worker that takes nothing until Start.
func NewWorker(s *Shared) *Worker {
	w := &Worker{
		store: s.store, queue: s.queue, windows: s.windows, contact: s.contact, pacer: s.pacer, opts: s.opts, log: s.log,
		legible:  newLegible(),
		refused:  newRefused(),
		guard:    newGuard(s.queue.rdb),
		control:  newControls(s.store, s.log),
		channels: map[string]channels.Channel{},
	}
	for _, c := range s.opts.Channels {
		w.channels[c.Traits().Name] = c
	}
	w.drain, w.startDrain = context.WithCancel(context.Background())
	w.slots = &workerSlots{queue: s.queue, places: s.pacer.Places, contact: s.contact, drain: w.drain}
	return w
}

// quietLog gives asynq's own messages to slog. Of warnings and errors it lets at most one in ten
// seconds through: while Redis is away asynq has several a second, and the reconciler logs that
// fact once.
type quietLog struct {
	log  *slog.Logger
	last *atomic.Int64 // unix seconds
}

func (q quietLog) sparingly(level slog.Level, args []any) {
	now := time.Now().Unix()
	last := q.last.Load()
	if now-last >= 10 && q.last.CompareAndSwap(last, now) {
		q.log.Log(context.Background(), level, fmt.Sprint(args...), "from", "asynq")
	}
}

func (q quietLog) Debug(args ...any) { q.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (q quietLog) Info(args ...any)  { q.log.Info(fmt.Sprint(args...), "from", "asynq") }
func (q quietLog) Warn(args ...any)  { q.sparingly(slog.LevelWarn, args) }
func (q quietLog) Error(args ...any) { q.sparingly(slog.LevelError, args) }
func (q quietLog) Fatal(args ...any) {
	q.log.Error(fmt.Sprint(args...), "from", "asynq", "fatal", true)
}
