package pacing

import (
	"time"

	"carillon/models"
)

// Params are the constants of pacing. Each stands here alone. Defaults gives their values and reasons.
type Params struct {
	// Places.
	CampaignShare   float64       // of the slots of one process that one campaign may hold
	ChannelShare    float64       // of the slots of one process that one channel may hold
	SlotWaiters     float64       // of the slots of one process in which pages may wait for a place
	SlotWait        time.Duration // no slot waits longer for a token or a place
	PlaceCheckEvery time.Duration // how often a page that waits in its slot tries to get a place
	PlaceRetry      time.Duration // when a page that found its channel full comes back
	RefusedFor      time.Duration // how long a campaign counts as waiting after it was refused a place
	SlowRate        int           // recipients a second; a campaign below it is slow

	// Waits of a page outside its slot.
	RequeueLatency time.Duration // from the end of a page's wait until a slot has the page
	WindowWait     time.Duration // a page that waits longer leaves its campaign's window

	// The provider's health, in one process.
	PublishEvery     time.Duration // what a process saw of a provider goes to the other processes
	SingleEvery      time.Duration // while a process meets failures only, it starts one request in this time
	SingleFor        time.Duration // it does so until this long after the last failure
	JudgeWithin      time.Duration // how long a failure waits for evidence of who is to blame
	UnprovenBackoff  time.Duration // the least wait of a recipient whose failure nobody is to blame for
	SlowFailure      time.Duration // a failure that took at least this long is a slow one
	RecoveredFor     time.Duration // how long it counts that a recipient was served who had failed before
	ProvenAfter      time.Duration // a provider that goes down still answers some for this long
	RememberedMost   int           // recipients, or campaigns, whose failures a process remembers
	CampaignFailures int           // failed requests in a row from which on the failures may be the campaign's own

	// The breaker.
	TripAt       int           // run of failures at which the breaker opens
	AnswerCredit int           // what one answer takes off the run
	RunMost      int           // the run grows no further
	AwayWeight   int           // of a failure that speaks of the provider: no connection, 502, 503, 504
	FaultWeight  int           // of a failure that may be about the recipient: 500, time-out, broken connection
	ProbeEvery   time.Duration // between two requests to a provider that is away, over all processes
}

// Defaults are the values that Carillon runs with.
func Defaults() Params {
	return Params{
		CampaignShare:   1.0 / 2, // so that two campaigns always find places
		ChannelShare:    3.0 / 4, // a quarter of the slots is always free for other channels
		SlotWaiters:     1.0 / 8, // half of what other channels always find free; ADR 12
		SlotWait:        500 * time.Millisecond,
		PlaceCheckEvery: 20 * time.Millisecond,
		PlaceRetry:      200 * time.Millisecond,
		RefusedFor:      500 * time.Millisecond, // a refused page is back within PlaceRetry and the queue's latency
		SlowRate:        10,                     // below 10/s each single token counts; ADR 12

		RequeueLatency: 300 * time.Millisecond, // two loops look for work, one after the other
		WindowWait:     time.Duration(models.WindowWait) * time.Millisecond,

		PublishEvery:     100 * time.Millisecond,
		SingleEvery:      100 * time.Millisecond, // ten a second; ADR 7
		SingleFor:        time.Second,
		JudgeWithin:      500 * time.Millisecond, // ADR 7
		UnprovenBackoff:  2 * time.Second,        // by the next attempt it shows who is to blame
		SlowFailure:      time.Second,
		RecoveredFor:     30 * time.Second, // ADR 15
		ProvenAfter:      2 * time.Second,  // ADR 15
		RememberedMost:   512,              // bounds the memory of a process
		CampaignFailures: 20,               // ADR 15

		TripAt:       12,  // ADR 7
		AnswerCredit: 20,  // so that the run reaches TripAt only when nearly all requests fail
		RunMost:      200, // so that ten answers end any run
		AwayWeight:   4,   // ADR 7
		FaultWeight:  1,
		// Above a second: with the requests that were under way when the breaker opened, a provider still gets less than one a
		// second. ADR 7.
		ProbeEvery: 1500 * time.Millisecond,
	}
}
