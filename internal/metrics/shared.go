package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/models"
)

// Queue is one class of tasks in Redis.
type Queue struct {
	Class           string // the priority of the campaigns
	Pending, Active int64  // tasks that wait for a worker, and tasks that a worker holds
	Oldest          time.Duration
}

// Provider is what all processes together know of a channel's provider.
type Provider struct {
	Channel string
	Open    bool          // the breaker is open
	Rest    time.Duration // how much longer the provider asked to be left alone; 0 = it did not
	Ceiling float64       // recipients a second; 0 = there is none
}

// Backlog is what the event webhook has still to deliver.
type Backlog struct {
	Events  int64
	Oldest  time.Duration // the age of the oldest of them; 0 = there is none
	GivenUp int64         // events that were given up, ever
}

// Stalled is the running campaign that has stood still for the longest time.
type Stalled struct {
	Campaign int64 // internal number; 0 = none stands still
	For      time.Duration
}

// Sources read what all processes share. A source that is nil is not shown.
type Sources struct {
	Ledger    func(context.Context) (models.Figures, error)
	Ended     func(context.Context) (map[models.Status]int64, error) // campaigns that are over, by state
	Stalled   func(context.Context) (Stalled, error)                 // see carillon_shared_campaign_stalled_seconds
	Queues    func(context.Context) ([]Queue, error)
	Providers func(context.Context) ([]Provider, error)
	Backlog   func(context.Context) (Backlog, error)
	// Database and Redis are errors when this process cannot write there.
	Database, Redis func(context.Context) error
}

// Watch shows what the sources say, at most a few seconds old. A source that does not answer is left
// out of the scrape.
func (m *Metrics) Watch(s Sources) {
	c := &shared{}
	add(c, s.Ledger, readEvery, showLedger)
	add(c, s.Ended, endedEvery, showEnded)
	add(c, s.Stalled, readEvery, func(e emit, longest Stalled) { e(sharedStalled, longest.For.Seconds()) })
	add(c, s.Queues, readEvery, showQueues)
	add(c, s.Providers, readEvery, showProviders)
	add(c, s.Backlog, readEvery, func(e emit, b Backlog) {
		e(sharedEventBacklog, float64(b.Events))
		e(sharedEventAge, b.Oldest.Seconds())
		e(sharedEventsGivenUp, float64(b.GivenUp))
	})
	c.addStore("database", s.Database)
	c.addStore("redis", s.Redis)
	m.registry.MustRegister(c)
}

const (
	// endedEvery is for the one reading whose cost grows with the ledger.
	endedEvery = 15 * time.Second
	// restShare: a reading takes at most this part of the time.
	restShare = 20
)

// emit shows one value.
type emit func(d *Metric, value float64, labels ...string)

// shared collects what all processes share, and which stores this process reaches.
type shared struct{ parts []func(emit) }

// add adds a source and how its value is shown.
func add[T any](c *shared, read func(context.Context) (T, error), every time.Duration, show func(emit, T)) {
	if read == nil {
		return
	}
	r := &reading[T]{read: read, every: every, share: restShare}
	c.parts = append(c.parts, func(e emit) {
		value, ok := r.get()
		if ok {
			show(e, value)
		}
	})
}

// addStore adds a store that is up as long as try succeeds in time.
func (c *shared) addStore(name string, try func(context.Context) error) {
	if try == nil {
		return
	}
	r := &reading[bool]{read: func(ctx context.Context) (bool, error) { return true, try(ctx) }, every: readEvery}
	c.parts = append(c.parts, func(e emit) {
		value := 0.0
		if _, ok := r.get(); ok {
			value = 1
		}
		e(storeUp, value, name)
	})
}

// Describe names nothing beforehand: what is shown depends on the sources that answer.
func (c *shared) Describe(chan<- *prometheus.Desc) {}

// Collect asks all sources at the same time.
func (c *shared) Collect(out chan<- prometheus.Metric) {
	show := func(d *Metric, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if d.Kind == Counter {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(d.desc(), kind, value, labels...)
	}
	var wg sync.WaitGroup
	for _, part := range c.parts {
		wg.Go(func() { part(show) })
	}
	wg.Wait()
}

func showLedger(e emit, f models.Figures) {
	for _, status := range []models.Status{models.StatusScheduled, models.StatusRunning, models.StatusPaused} {
		e(sharedCampaigns, float64(f.Open[status]), string(status))
	}
	for _, why := range usualReasons[models.StatusPaused] {
		e(sharedPaused, float64(f.Paused[why]), string(why))
	}
	for state, name := range models.PageStateNames {
		e(sharedPages, float64(f.Pages[state]), name)
	}
	e(sharedOverdue, float64(f.SlotOverdue)/1000, kindSchedule)
	e(sharedOverdue, float64(f.StartOverdue)/1000, kindCampaign)
}

func showEnded(e emit, ended map[models.Status]int64) {
	for _, status := range []models.Status{models.StatusCompleted, models.StatusFailed, models.StatusExpired, models.StatusCancelled} {
		e(sharedCampaigns, float64(ended[status]), string(status))
	}
}

func showQueues(e emit, queues []Queue) {
	for _, q := range queues {
		e(sharedQueueTasks, float64(q.Pending), q.Class, "pending")
		e(sharedQueueTasks, float64(q.Active), q.Class, "active")
		e(sharedQueueAge, q.Oldest.Seconds(), q.Class)
	}
}

func showProviders(e emit, providers []Provider) {
	for _, p := range providers {
		open := 0.0
		if p.Open {
			open = 1
		}
		e(sharedBreaker, open, p.Channel)
		e(sharedRest, p.Rest.Seconds(), p.Channel)
		if p.Ceiling > 0 {
			e(sharedCeiling, p.Ceiling, p.Channel)
		}
	}
}
