package jobs

import (
	"log/slog"
	"time"

	"carillon/channels"
	"carillon/internal/metrics"
	"carillon/internal/pacing"
	"carillon/internal/tracing"
	"carillon/models"
)

// Options are the settings of one process.
type Options struct {
	Channels []channels.Channel
	// Rates are recipients per second by channel, over all processes. 0 or none = no limit.
	Rates       map[string]int
	MaxAttempts int           // per recipient
	Backoff     time.Duration // before the second attempt; doubles with each further one
	BulkSlots   int           // bulk pages that a worker process holds at once
	TransSlots  int           // transactional pages that it holds beside them
	// ChunkSize is how many recipients are sent between two writes. 0 = 250 to 500, as whole
	// requests of the channel.
	ChunkSize    int
	DrainTimeout time.Duration // how long Stop waits for what is in flight
	Metrics      *metrics.Metrics
	Tracer       *tracing.Tracer // nil = no traces
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
	if o.Metrics == nil { // nobody looks at them
		o.Metrics = metrics.New("")
	}
	return o
}

// Shared is what the worker and the reconciler of one process have in common.
type Shared struct {
	store   *models.Store
	queue   *Queue
	opts    Options
	pacer   *pacing.Pacer
	windows *windows
	contact *contact
	log     *slog.Logger
}

// NewShared connects to nothing: store and queue are open already.
func NewShared(store *models.Store, queue *Queue, opts Options, log *slog.Logger) *Shared {
	opts = opts.Defaults()
	return &Shared{
		store: store, queue: queue, opts: opts, log: log,
		pacer:   pacing.New(queue.rdb, pacing.Defaults(), opts.Rates, opts.BulkSlots, log),
		windows: newWindows(store, queue, opts.BulkSlots, log),
		contact: newContact(store, queue.rdb, log),
	}
}
