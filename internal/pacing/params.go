package pacing

import (
	"time"

	"carillon/models"
)

// Params are the constants of pacing. Each stands here alone: Defaults gives their values, with the
// reason or the ADR. A field with a lua tag goes to the scripts under that name; its unit is the
// end of the name, MS or S (seconds).
type Params struct {
	// Places.

	// One campaign may hold this share of the slots of a process.
	CampaignShare float64
	// One channel may hold this share of the slots of a process.
	ChannelShare float64
	// Pages may wait for a place in this share of the slots of a process.
	SlotWaiters float64
	// No slot waits longer for a token or a place.
	SlotWait time.Duration
	// How often a page that waits in its slot tries to get a place.
	PlaceCheckEvery time.Duration
	// When a page that found its channel full comes back.
	PlaceRetry time.Duration
	// How long a campaign counts as waiting after it was refused a place.
	RefusedFor time.Duration

	// Waits of a page outside its slot.

	// From the end of a page's wait until a slot has the page.
	RequeueLatency time.Duration
	// A page that waits longer leaves its campaign's window.
	WindowWait time.Duration

	// Buckets. A token is a recipient.

	// A bucket holds what its rate gives in this time.
	Burst time.Duration `lua:"BURST_S"`
	// A grant is at least what the rate gives in this time.
	LeastGrant time.Duration `lua:"LEAST_GRANT_S"`
	// Recipients per second. A campaign with a lower rate is slow.
	SlowRate int `lua:"SLOW_RATE"`
	// A slow rate's bucket holds SlowTokens − rate / SlowRate.
	SlowTokens int `lua:"SLOW_TOKENS"`
	// A bucket is kept for this time after the last request for tokens.
	BucketKept time.Duration `lua:"BUCKET_KEPT_MS"`
	// What held a campaign back is kept for this time.
	NoteKept time.Duration `lua:"NOTE_KEPT_MS"`

	// Turns.

	// A campaign that was away catches up what the channel's rate gives in this time.
	CatchUp time.Duration `lua:"CATCH_UP_S"`
	// A campaign may be ahead of a waiting one by this share of a full bucket.
	TurnLead float64 `lua:"TURN_LEAD"`
	// A campaign counts as waiting until this long after the instant at which it is to ask.
	WaitMargin time.Duration `lua:"WAIT_MARGIN_MS"`

	// The order in which the pages of one campaign ask again.

	// Two pages ask at most this far apart.
	AskApart time.Duration `lua:"ASK_APART_MS"`
	// The last page waits no longer than this, unless its tokens take longer.
	AskWithin time.Duration `lua:"ASK_WITHIN_MS"`
	// How many pages ask while a least grant comes.
	AsksPerGrant int `lua:"ASKS_PER_GRANT"`

	// The provider's health, in one process.

	// How often a process tells the other processes what it saw of a provider.
	PublishEvery time.Duration
	// While a process meets failures only, it starts one request in this time.
	SingleEvery time.Duration
	// A process starts single requests until this long after the last failure.
	SingleFor time.Duration
	// How long a failure waits for evidence of who is to blame.
	JudgeWithin time.Duration
	// The least wait of a recipient whose failure nobody is to blame for.
	UnprovenBackoff time.Duration
	// A failure that took at least this long is a slow one.
	SlowFailure time.Duration
	// A provider that goes down still answers some requests for this long.
	ProvenAfter time.Duration
	// How many recipients, or campaigns, with failures a process remembers.
	RememberedMost int
	// From this many failed requests in a row, the failures may be the campaign's own.
	CampaignFailures int
	// That somebody was served who had failed before counts for this long.
	RecoveredFor time.Duration `lua:"RECOVERED_FOR_MS"`
	// That 502, 503 or 504 was about one recipient counts for this long.
	OwnAwayFor time.Duration

	// The breaker.

	// The breaker opens at a run of this many failures.
	TripAt int `lua:"TRIP_AT"`
	// One answer takes this much off the run.
	AnswerCredit int `lua:"ANSWER_CREDIT"`
	// The run grows no further than this.
	RunMost int `lua:"RUN_MOST"`
	// The weight of a failure that speaks of the provider: no connection, 502, 503, 504.
	AwayWeight int
	// The weight of a failure that may be about the recipient: 500, time-out, broken connection.
	FaultWeight int
	// The run is forgotten this long after the last failure.
	RunForgotten time.Duration `lua:"RUN_FORGOTTEN_MS"`
	// The breaker opens after this long without any answer.
	Silent time.Duration `lua:"SILENT_MS"`
	// The shared state is kept this long after its last change or the end of a rest.
	HealthKept time.Duration `lua:"HEALTH_KEPT_MS"`
	// The time between two requests to a provider that is away, over all processes.
	ProbeEvery time.Duration `lua:"PROBE_EVERY_MS"`
	// A recipient whose tries have failed is probed this much later.
	ProbeFailed time.Duration `lua:"PROBE_FAILED_MS"`

	// After the breaker.

	// A rest that may be about one recipient takes at most this long.
	RestOfOne time.Duration `lua:"REST_OF_ONE_MS"`
	// If more than this share of those answered ask for rest, the channel is meant.
	RestShare float64 `lua:"REST_SHARE"`
	// If more recipients are answered per recipient who asks for rest, the rate in use was right.
	ServedPerRest int `lua:"SERVED_PER_REST"`
	// After failures the ceiling is this share of the rate in use.
	RestartShare float64 `lua:"RESTART_SHARE"`
	// Recipients per second. After failures the ceiling is at least this.
	RestartLeast int `lua:"RESTART_LEAST"`
	// Recipients per second. It stands for a channel's rate in use while that is not known.
	RateUnknown int `lua:"RATE_UNKNOWN"`

	// The ceiling.

	// The ceiling is judged at the end of a span of this length.
	Span time.Duration `lua:"SPAN_MS"`
	// A span with few requests lasts up to this long.
	SpanMost time.Duration `lua:"SPAN_MOST_MS"`
	// A span shorter than SpanMost has at least this many requests.
	SpanRequests int `lua:"SPAN_REQUESTS"`
	// Fewer failures in a span do not lower the ceiling.
	HeavyFailures int `lua:"HEAVY_FAILURES"`
	// Slow answers leave this share of the ceiling.
	Slower float64 `lua:"SLOWER"`
	// Slow answers leave the ceiling at least this share of the rate in use before.
	SlowerFloor float64 `lua:"SLOWER_FLOOR"`
	// A span adds this share of the rate in use before.
	RecoveryStep float64 `lua:"RECOVERY_STEP"`
	// Above the rate in use before, the ceiling grows by this factor.
	Beyond float64 `lua:"BEYOND"`
	// Above this many times the rate in use before, the ceiling may go.
	RemoveAbove float64 `lua:"REMOVE_ABOVE"`
	// The ceiling goes if less than this share of it is used.
	RemoveUnused float64 `lua:"REMOVE_UNUSED"`
	// After a span in which less was sent, the rate in use keeps this share.
	RateKeeps float64 `lua:"RATE_KEEPS"`

	// The latency that is usual.

	// A span needs this many answers for its latency to count.
	TimedLeast int `lua:"TIMED_LEAST"`
	// Slow answers take more than this many times the usual latency,
	SlowTimes float64 `lua:"SLOW_TIMES"`
	// and at least this much more than the usual latency.
	SlowMore time.Duration `lua:"SLOW_MORE_MS"`
	// The usual latency follows a rise within this time.
	BaseRises time.Duration `lua:"BASE_RISES_MS"`
	// The usual latency follows a fall within this time.
	BaseFalls time.Duration `lua:"BASE_FALLS_MS"`
	// One span counts for no more than this.
	BaseSpan time.Duration `lua:"BASE_SPAN_MS"`
}

// Defaults are the values that Carillon runs with.
func Defaults() (p Params) {
	p.placesAndRates()
	p.providers()
	return p
}

func (p *Params) placesAndRates() {
	p.CampaignShare = 1.0 / 2 // so that two campaigns always find places
	p.ChannelShare = 3.0 / 4  // a quarter of the slots is always free for other channels
	p.SlotWaiters = 1.0 / 8   // half of what other channels always find free; ADR 12
	p.SlotWait = 500 * time.Millisecond
	p.PlaceCheckEvery = 20 * time.Millisecond
	p.PlaceRetry = 200 * time.Millisecond
	p.RefusedFor = 500 * time.Millisecond // a refused page is back within PlaceRetry and the queue's latency

	p.RequeueLatency = 300 * time.Millisecond // two loops look for work, one after the other
	p.WindowWait = time.Duration(models.WindowWait) * time.Millisecond

	p.Burst = 50 * time.Millisecond      // a rate holds within every second; ADR 4
	p.LeastGrant = 25 * time.Millisecond // one commit for many recipients; ADR 11
	p.SlowRate = 10                      // below 10/s each single token counts; ADR 12
	p.SlowTokens = 2                     // 1.1 s never bring more than the rate and one; ADR 12
	p.BucketKept = time.Minute
	p.NoteKept = 3 * time.Second

	p.CatchUp = 500 * time.Millisecond   // a page's way through the queue; ADR 11
	p.TurnLead = 0.5                     // ADR 11
	p.WaitMargin = 20 * time.Millisecond // a timer is late

	p.AskApart = 5 * time.Millisecond
	p.AskWithin = 250 * time.Millisecond
	p.AsksPerGrant = 3
}

func (p *Params) providers() {
	p.PublishEvery = 100 * time.Millisecond
	p.SingleEvery = 100 * time.Millisecond // ten a second; ADR 7
	p.SingleFor = time.Second
	p.JudgeWithin = 500 * time.Millisecond // ADR 7
	p.UnprovenBackoff = 2 * time.Second    // by the next attempt it shows who is to blame
	p.SlowFailure = time.Second
	p.ProvenAfter = 2 * time.Second   // ADR 15
	p.RememberedMost = 512            // bounds the memory of a process
	p.CampaignFailures = 20           // ADR 15
	p.RecoveredFor = 30 * time.Second // ADR 15
	p.OwnAwayFor = 30 * time.Second   // ADR 15

	p.TripAt = 12       // ADR 7
	p.AnswerCredit = 20 // so that the run reaches TripAt only when nearly all requests fail
	p.RunMost = 200     // so that ten answers end any run
	p.AwayWeight = 4    // ADR 7
	p.FaultWeight = 1
	p.RunForgotten = 10 * time.Second
	p.Silent = 500 * time.Millisecond // longer than a process keeps what it saw to itself; ADR 7
	p.HealthKept = 10 * time.Minute
	// Above a second: with the requests that were under way when the breaker opened, a provider
	// still gets less than one a second. ADR 7.
	p.ProbeEvery = 1500 * time.Millisecond
	p.ProbeFailed = 500 * time.Millisecond // ADR 15

	p.RestOfOne = time.Second // ADR 15
	p.RestShare = 0.1         // ADR 15
	p.ServedPerRest = 2
	p.RestartShare = 1.0 / 32 // four doublings to half of what was in use: two seconds
	p.RestartLeast = 4
	p.RateUnknown = 640

	p.Span = 500 * time.Millisecond // the ceiling moves twice a second; ADR 7
	p.SpanMost = 3 * time.Second
	p.SpanRequests = 3
	p.HeavyFailures = 5
	p.Slower = 0.7
	p.SlowerFloor = 0.1
	p.RecoveryStep = 0.06 // ADR 7
	p.Beyond = 1.125
	p.RemoveAbove = 1.25
	p.RemoveUnused = 0.8
	p.RateKeeps = 0.97

	p.TimedLeast = 3
	p.SlowTimes = 4
	p.SlowMore = 250 * time.Millisecond
	p.BaseRises = 10 * time.Minute // a provider that stays slower becomes what is normal; ADR 7
	p.BaseFalls = 5 * time.Second
	p.BaseSpan = 2 * time.Second
}
