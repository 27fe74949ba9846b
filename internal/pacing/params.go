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
	CampaignShare   float64       // of the slots of one process that one campaign may hold
	ChannelShare    float64       // of the slots of one process that one channel may hold
	SlotWaiters     float64       // of the slots of one process in which pages may wait for a place
	SlotWait        time.Duration // no slot waits longer for a token or a place
	PlaceCheckEvery time.Duration // how often a page that waits in its slot tries to get a place
	PlaceRetry      time.Duration // when a page that found its channel full comes back
	RefusedFor      time.Duration // how long a campaign counts as waiting after it was refused a place

	// Waits of a page outside its slot.
	RequeueLatency time.Duration // from the end of a page's wait until a slot has the page
	WindowWait     time.Duration // a page that waits longer leaves its campaign's window

	// Buckets. A token is a recipient.
	Burst      time.Duration `lua:"BURST_S"`        // a bucket holds so much of its rate
	LeastGrant time.Duration `lua:"LEAST_GRANT_S"`  // a grant is worth so much of its rate at least
	SlowRate   int           `lua:"SLOW_RATE"`      // recipients a second; a campaign below it is slow
	SlowTokens int           `lua:"SLOW_TOKENS"`    // a slow rate's bucket holds SlowTokens − rate / SlowRate
	BucketKept time.Duration `lua:"BUCKET_KEPT_MS"` // after the last request for tokens
	NoteKept   time.Duration `lua:"NOTE_KEPT_MS"`   // what held a campaign back

	// Turns.
	CatchUp    time.Duration `lua:"CATCH_UP_S"`     // a campaign that was away catches up so much of the channel's rate
	TurnLead   float64       `lua:"TURN_LEAD"`      // of a full bucket, that a campaign may be ahead of one that waits
	WaitMargin time.Duration `lua:"WAIT_MARGIN_MS"` // a campaign waits for so long after the instant at which it is to ask

	// The order in which the pages of one campaign ask again.
	AskApart     time.Duration `lua:"ASK_APART_MS"`   // two pages are at most so far apart
	AskWithin    time.Duration `lua:"ASK_WITHIN_MS"`  // the last page waits for no longer, unless its tokens take longer
	AsksPerGrant int           `lua:"ASKS_PER_GRANT"` // pages that ask while a least grant comes

	// The provider's health, in one process.
	PublishEvery     time.Duration // what a process saw of a provider goes to the other processes
	SingleEvery      time.Duration // while a process meets failures only, it starts one request in this time
	SingleFor        time.Duration // it does so until this long after the last failure
	JudgeWithin      time.Duration // how long a failure waits for evidence of who is to blame
	UnprovenBackoff  time.Duration // the least wait of a recipient whose failure nobody is to blame for
	SlowFailure      time.Duration // a failure that took at least this long is a slow one
	ProvenAfter      time.Duration // a provider that goes down still answers some for this long
	RememberedMost   int           // recipients, or campaigns, whose failures a process remembers
	CampaignFailures int           // failed requests in a row from which on the failures may be the campaign's own
	RecoveredFor     time.Duration `lua:"RECOVERED_FOR_MS"` // for so long it counts that somebody was served who had failed before

	// The breaker.
	TripAt       int           `lua:"TRIP_AT"`       // run of failures at which the breaker opens
	AnswerCredit int           `lua:"ANSWER_CREDIT"` // what one answer takes off the run
	RunMost      int           `lua:"RUN_MOST"`      // the run grows no further
	AwayWeight   int           // of a failure that speaks of the provider: no connection, 502, 503, 504
	FaultWeight  int           // of a failure that may be about the recipient: 500, time-out, broken connection
	RunForgotten time.Duration `lua:"RUN_FORGOTTEN_MS"` // after the last failure
	Silent       time.Duration `lua:"SILENT_MS"`        // without any answer, before the breaker opens
	HealthKept   time.Duration `lua:"HEALTH_KEPT_MS"`   // the shared state, after it last changed or a rest ended
	ProbeEvery   time.Duration `lua:"PROBE_EVERY_MS"`   // between two requests to a provider that is away, over all processes
	ProbeFailed  time.Duration `lua:"PROBE_FAILED_MS"`  // a recipient whose tries have failed is probed so much later

	// After the breaker.
	RestOfOne     time.Duration `lua:"REST_OF_ONE_MS"`  // a rest that may be about one recipient
	RestShare     float64       `lua:"REST_SHARE"`      // of those answered; if more ask for rest, the channel is meant
	ServedPerRest int           `lua:"SERVED_PER_REST"` // if more are answered per recipient who asks, the rate in use was right
	RestartShare  float64       `lua:"RESTART_SHARE"`   // of the rate in use: the ceiling after failures
	RestartLeast  int           `lua:"RESTART_LEAST"`   // recipients a second; the same at least
	RateUnknown   int           `lua:"RATE_UNKNOWN"`    // recipients a second: a channel's rate in use, if not known

	// The ceiling.
	Span          time.Duration `lua:"SPAN_MS"`        // the ceiling is judged at the end of a span
	SpanMost      time.Duration `lua:"SPAN_MOST_MS"`   // of a span with few requests
	SpanRequests  int           `lua:"SPAN_REQUESTS"`  // that a shorter span has at least
	HeavyFailures int           `lua:"HEAVY_FAILURES"` // fewer failures in a span do not lower the ceiling
	Slower        float64       `lua:"SLOWER"`         // what slow answers leave of the ceiling
	SlowerFloor   float64       `lua:"SLOWER_FLOOR"`   // slow answers leave so much of the rate in use before
	RecoveryStep  float64       `lua:"RECOVERY_STEP"`  // of the rate in use before, that a span adds
	Beyond        float64       `lua:"BEYOND"`         // the ceiling grows by this factor above the rate in use before
	RemoveAbove   float64       `lua:"REMOVE_ABOVE"`   // times the rate in use before: the ceiling may go
	RemoveUnused  float64       `lua:"REMOVE_UNUSED"`  // the ceiling goes if less of it is used
	RateKeeps     float64       `lua:"RATE_KEEPS"`     // of the rate in use, after a span in which less was sent

	// The latency that is usual.
	TimedLeast int           `lua:"TIMED_LEAST"`   // answers that a span's latency needs
	SlowTimes  float64       `lua:"SLOW_TIMES"`    // slow answers take more than so many times the usual
	SlowMore   time.Duration `lua:"SLOW_MORE_MS"`  // and so much more than the usual
	BaseRises  time.Duration `lua:"BASE_RISES_MS"` // the usual latency follows a rise within this time
	BaseFalls  time.Duration `lua:"BASE_FALLS_MS"` // the same, a fall
	BaseSpan   time.Duration `lua:"BASE_SPAN_MS"`  // one span counts for no more than this
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
