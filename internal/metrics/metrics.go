// Package metrics names and counts everything that a process tells Prometheus.
//
//   - table.go is the one list of names, units and labels. docs/metrics.md shows it.
//   - metrics.go is what the process counts itself.
//   - shared.go is what all processes share, read from the database and Redis at a scrape.
//
// No label holds an ID: a label's values are few, and known beforehand.
package metrics

import (
	"cmp"
	"database/sql"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carillon/models"
)

// Metrics are the metrics of one process. Any goroutine may call it.
type Metrics struct {
	// ChunkWritten is told how long a chunk's write took, in seconds.
	ChunkWritten prometheus.Observer
	// PagesOfLease and PagesOfTask count the pages that were taken over.
	PagesOfLease, PagesOfTask prometheus.Counter
	// SlotLate and StartLate are told how late a slot was fired or a campaign was started, in seconds.
	SlotLate, StartLate prometheus.Observer
	// SlotsFired, SlotsMissed and SlotsSkipped count what became of schedules' slots.
	SlotsFired, SlotsMissed, SlotsSkipped prometheus.Counter
	// EventsDelivered and EventsFailed count the event webhook's requests.
	EventsDelivered, EventsFailed prometheus.Counter

	registry    *prometheus.Registry
	settled     *prometheus.CounterVec
	sending     *prometheus.HistogramVec
	waiting     *prometheus.HistogramVec
	transitions *prometheus.CounterVec
	rates       *prometheus.GaugeVec
	requests    *prometheus.CounterVec
	answers     *prometheus.HistogramVec
	redis       prometheus.Observer
	redisFailed prometheus.Counter
	channels    sync.Map // *Channel by name
}

// New makes the metrics of a process of the given version.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(d *Metric) *prometheus.CounterVec { return register(m, d.counter()) }
	gauge := func(d *Metric) *prometheus.GaugeVec { return register(m, d.gauge()) }
	histogram := func(d *Metric) *prometheus.HistogramVec { return register(m, d.histogram()) }

	m.settled, m.sending, m.waiting, m.rates = counter(recipientsSettled), histogram(sendDuration), histogram(tokenWait), gauge(channelRate)
	m.transitions, m.requests, m.answers = counter(campaignTransitions), counter(httpRequests), histogram(httpDuration)
	m.redis, m.redisFailed = histogram(redisDuration).WithLabelValues(), counter(redisErrors).WithLabelValues()
	m.ChunkWritten = histogram(chunkWriteDuration).WithLabelValues()

	// A series that exists from the start shows its first increase too.
	taken, slots, late, posts := counter(pagesTakenOver), counter(scheduleSlots), histogram(slotDelay), counter(eventPosts)
	m.PagesOfLease, m.PagesOfTask = taken.WithLabelValues("lease"), taken.WithLabelValues("task")
	m.SlotsFired, m.SlotsMissed, m.SlotsSkipped = slots.WithLabelValues("fired"), slots.WithLabelValues("missed"), slots.WithLabelValues("skipped")
	m.SlotLate, m.StartLate = late.WithLabelValues(kindSchedule), late.WithLabelValues(kindCampaign)
	m.EventsDelivered, m.EventsFailed = posts.WithLabelValues("delivered"), posts.WithLabelValues("failed")
	for status, reasons := range usualReasons {
		for _, why := range reasons {
			m.transition(status, why)
		}
	}
	gauge(buildInfo).WithLabelValues(version).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// The values of the label kind.
const (
	kindSchedule = "schedule"
	kindCampaign = "campaign"
)

func register[C prometheus.Collector](m *Metrics, c C) C {
	m.registry.MustRegister(c)
	return c
}

// usualReasons are the transitions that a process shows before the first of them.
var usualReasons = map[models.Status][]models.ReasonCode{
	models.StatusScheduled: {models.ReasonNone, models.ReasonOperator, models.ReasonDirectorySync},
	models.StatusRunning:   {models.ReasonNone, models.ReasonOperator, models.ReasonResumeAll, models.ReasonTotalDiffers},
	models.StatusPaused:    {models.ReasonOperator, models.ReasonPauseAll, models.ReasonGuard, models.ReasonRestored, models.ReasonTakenOver},
	models.StatusCompleted: {models.ReasonNone},
	models.StatusFailed:    {models.ReasonRefused, models.ReasonNoAudience},
	models.StatusExpired:   {models.ReasonExpired, models.ReasonMissed},
	models.StatusCancelled: {models.ReasonOperator},
}

func (m *Metrics) transition(to models.Status, why models.ReasonCode) prometheus.Counter {
	return m.transitions.WithLabelValues(string(to), cmp.Or(string(why), "none"))
}

// Observer tells the ledger's changes to m.
func (m *Metrics) Observer() models.Observer {
	return models.Observer{
		Moved:   func(to models.Status, why models.ReasonCode, n int64) { m.transition(to, why).Add(float64(n)) },
		Settled: func(channel string, n models.Counts) { m.Channel(channel).settle(n) },
	}
}

// SetRate shows a channel's rate, in recipients a second; 0 = no limit.
func (m *Metrics) SetRate(channel string, perSecond int) {
	m.Channel(channel)
	m.rates.WithLabelValues(channel).Set(float64(perSecond))
}

// Request counts one HTTP request. route is a line of the API's table, or "(none)". A stream has no
// time of its own: took is then not counted.
func (m *Metrics) Request(route, method string, code int, took time.Duration, stream bool) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	if !stream {
		m.answers.WithLabelValues(route, method).Observe(took.Seconds())
	}
}

// WatchPools shows the database's connection pools by name, with the metrics go_sql_….
func (m *Metrics) WatchPools(pools map[string]*sql.DB) {
	for name, pool := range pools {
		m.registry.MustRegister(collectors.NewDBStatsCollector(pool, name))
	}
}

// Handler answers a scrape with all metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Gatherer collects all metrics.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Channel is what is counted of one channel. Its counters are found once, and not per recipient.
type Channel struct {
	// Sending is told what one request to the provider took, and TokenWait for how long a page waits
	// for tokens. Both are in seconds.
	Sending, TokenWait prometheus.Observer

	sent, failed, skipped, expired, cancelled, unknown prometheus.Counter
}

// Channel returns what is counted of the channel of the given name.
func (m *Metrics) Channel(name string) *Channel {
	known, ok := m.channels.Load(name)
	if !ok {
		known, _ = m.channels.LoadOrStore(name, m.newChannel(name))
	}
	return known.(*Channel) //nolint:forcetypeassert // the map holds nothing else
}

func (m *Metrics) newChannel(name string) *Channel {
	settled := func(status models.RecipientStatus) prometheus.Counter {
		return m.settled.WithLabelValues(name, models.RecipientStatusNames[status])
	}
	return &Channel{
		Sending: m.sending.WithLabelValues(name), TokenWait: m.waiting.WithLabelValues(name),
		sent: settled(models.RecipientSent), failed: settled(models.RecipientFailed), skipped: settled(models.RecipientSkipped),
		expired: settled(models.RecipientExpired), cancelled: settled(models.RecipientCancelled), unknown: settled(models.RecipientUnknown),
	}
}

// settle counts the outcomes of a chunk, or of a page that was closed.
func (c *Channel) settle(n models.Counts) {
	add := func(counter prometheus.Counter, n int64) {
		if n > 0 {
			counter.Add(float64(n))
		}
	}
	add(c.sent, n.Sent)
	add(c.failed, n.Failed)
	add(c.skipped, n.Skipped)
	add(c.expired, n.Expired)
	add(c.cancelled, n.Cancelled)
	add(c.unknown, n.Unknown)
}
