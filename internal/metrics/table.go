package metrics

import "github.com/prometheus/client_golang/prometheus"

// Kind is a metric's type, as Prometheus names it.
type Kind string

// The kinds in use.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is one metric of the table.
type Metric struct {
	Name    string
	Kind    Kind
	Labels  []string
	Help    string
	buckets []float64 // of a histogram, in seconds
}

// The metrics of one process. A sum over all processes is the whole.
var (
	buildInfo = &Metric{Name: "carillon_build_info", Kind: Gauge, Labels: []string{"version"},
		Help: "1. The label says which version the process runs."}
	recipientsSettled = &Metric{Name: "carillon_recipients_settled_total", Kind: Counter, Labels: []string{"channel", "status"},
		Help: "Recipients that got their outcome from this process. A retry that gives another outcome counts again."}
	sendDuration = &Metric{Name: "carillon_send_duration_seconds", Kind: Histogram, Labels: []string{"channel"},
		Help:    "Time of one request to the provider, failed ones too. Of a channel without a provider: time of one chunk.",
		buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 8}}
	chunkWriteDuration = &Metric{Name: "carillon_chunk_write_duration_seconds", Kind: Histogram,
		Help:    "Time until the outcomes of one chunk stand in the database, tries included.",
		buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}
	campaignTransitions = &Metric{Name: "carillon_campaign_transitions_total", Kind: Counter, Labels: []string{"status", "reason"},
		Help: "Campaigns that this process brought into a state, by the reason code. A new campaign counts for its first state."}
	tokenWait = &Metric{Name: "carillon_token_wait_seconds", Kind: Histogram, Labels: []string{"channel"},
		Help:    "Time that a page had to wait for tokens of its campaign's or channel's rate. A page that waits again counts again.",
		buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}
	slotDelay = &Metric{Name: "carillon_slot_delay_seconds", Kind: Histogram, Labels: []string{"kind"},
		Help:    "How late this process fired a schedule's slot (kind schedule) or started a campaign of a sendAt (kind campaign).",
		buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}}
	scheduleSlots = &Metric{Name: "carillon_schedule_slots_total", Kind: Counter, Labels: []string{"outcome"},
		Help: "Slots of schedules that this process acted upon: fired, missed, or skipped (it made no campaign, or somebody left it out)."}
	pagesTakenOver = &Metric{Name: "carillon_pages_taken_over_total", Kind: Counter, Labels: []string{"cause"},
		Help: "Pages that this process queued again: the worker's lease had ended (lease), or the task was gone from Redis (task)."}
	eventPosts = &Metric{Name: "carillon_event_webhook_requests_total", Kind: Counter, Labels: []string{"result"},
		Help: "Requests of the event webhook: delivered, or failed and tried again."}
	httpRequests = &Metric{Name: "carillon_http_requests_total", Kind: Counter, Labels: []string{"route", "method", "code"},
		Help: "Requests by route of the API's table and by status. A path of no route is the route (none)."}
	httpDuration = &Metric{Name: "carillon_http_request_duration_seconds", Kind: Histogram, Labels: []string{"route", "method"},
		Help:    "Time of one request until its answer was written. Streams are left out.",
		buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}
	redisDuration = &Metric{Name: "carillon_redis_request_duration_seconds", Kind: Histogram,
		Help:    "Time of one command or pipeline until Redis has answered.",
		buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5}}
	redisErrors = &Metric{Name: "carillon_redis_errors_total", Kind: Counter,
		Help: "Commands and pipelines that Redis did not answer, or refused."}
	storeUp = &Metric{Name: "carillon_store_up", Kind: Gauge, Labels: []string{"store"},
		Help: "1 if this process can write to the database or to Redis, else 0."}
	channelRate = &Metric{Name: "carillon_channel_rate_per_second", Kind: Gauge, Labels: []string{"channel"},
		Help: "The channel's rate of all processes together, as this process' settings say, in recipients a second. 0 = no limit."}
)

// The metrics of what all processes share. Each process reads the same from the database and Redis.
// So their maximum is the whole, and their sum means nothing.
var (
	sharedCampaigns = &Metric{Name: "carillon_shared_campaigns", Kind: Gauge, Labels: []string{"status"},
		Help: "Campaigns by state."}
	sharedPaused = &Metric{Name: "carillon_shared_paused_campaigns", Kind: Gauge, Labels: []string{"reason"},
		Help: "Paused campaigns by the reason code of the pause."}
	sharedStalled = &Metric{Name: "carillon_shared_campaign_stalled_seconds", Kind: Gauge,
		Help: "The longest time that a running campaign has recipients to send to now and sends to nobody. 0 = none. A process counts from its own start."}
	sharedPages = &Metric{Name: "carillon_shared_pages", Kind: Gauge, Labels: []string{"state"},
		Help: "Unfinished pages by state."}
	sharedQueueTasks = &Metric{Name: "carillon_shared_queue_tasks", Kind: Gauge, Labels: []string{"class", "state"},
		Help: "Tasks in Redis: pending ones wait for a worker, a worker holds the active ones."}
	sharedQueueAge = &Metric{Name: "carillon_shared_queue_oldest_task_age_seconds", Kind: Gauge, Labels: []string{"class"},
		Help: "How long the oldest pending task has waited. 0 = none waits."}
	sharedBreaker = &Metric{Name: "carillon_shared_breaker_open", Kind: Gauge, Labels: []string{"channel"},
		Help: "1 while the channel's breaker is open: its provider does not answer or asked for rest, and single requests try it."}
	sharedRest = &Metric{Name: "carillon_shared_provider_rest_seconds", Kind: Gauge, Labels: []string{"channel"},
		Help: "How much longer the provider asked to be left alone (Retry-After). 0 = it did not."}
	sharedCeiling = &Metric{Name: "carillon_shared_channel_ceiling_per_second", Kind: Gauge, Labels: []string{"channel"},
		Help: "The ceiling over a channel whose provider slowed down, in recipients a second. Absent without a ceiling."}
	sharedOverdue = &Metric{Name: "carillon_shared_slot_overdue_seconds", Kind: Gauge, Labels: []string{"kind"},
		Help: "How long the oldest due slot has waited to be fired (kind schedule), or the oldest campaign of a sendAt to be started (kind campaign). 0 = none is due."}
	sharedEventBacklog = &Metric{Name: "carillon_shared_event_webhook_backlog", Kind: Gauge,
		Help: "Events that the event webhook has still to deliver. Absent without an event webhook."}
	sharedEventsGivenUp = &Metric{Name: "carillon_shared_event_webhook_given_up_total", Kind: Counter,
		Help: "Events that the event webhook's receiver did not take within 3 days. Absent without an event webhook."}
	sharedEventAge = &Metric{Name: "carillon_shared_event_webhook_oldest_age_seconds", Kind: Gauge,
		Help: "How old the oldest of these events is. 0 = there is none. Absent without an event webhook."}
)

// Table lists all metrics of Carillon's own.
func Table() []*Metric {
	return []*Metric{
		buildInfo, recipientsSettled, sendDuration, chunkWriteDuration, campaignTransitions, tokenWait, slotDelay, scheduleSlots,
		pagesTakenOver, eventPosts, httpRequests, httpDuration, redisDuration, redisErrors, storeUp, channelRate,
		sharedCampaigns, sharedPaused, sharedStalled, sharedPages, sharedQueueTasks, sharedQueueAge, sharedBreaker, sharedRest,
		sharedCeiling, sharedOverdue, sharedEventBacklog, sharedEventAge, sharedEventsGivenUp,
	}
}

func (m *Metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m *Metric) gauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m *Metric) histogram() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.buckets}, m.Labels)
}

func (m *Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }
