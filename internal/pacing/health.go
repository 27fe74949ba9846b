package pacing

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"carillon/channels"
)

// Health is what this process sees of its channels' providers.
//
//   - It stops requests in the middle of a chunk when a provider fails.
//   - It publishes what it saw to the other processes through Redis.
//   - It decides who is to blame for a failure: see Trial.
type Health struct {
	*sharedState
	log      *slog.Logger
	mu       sync.Mutex
	channels map[string]*channelHealth
}

// channelHealth is what this process sees of one channel's provider.
type channelHealth struct {
	tally              // not published yet
	open     bool      // the shared breaker, as last heard
	run      int       // of failures, counted as in the shared breaker
	failedAt time.Time // the last failure
	next     time.Time // while single: when the next request may start
	asked    time.Time // the start of the latest request that served somebody
	// The last time that somebody was served, and that somebody was served who had failed before:
	// in this process, or in another one as last heard.
	served, recovered time.Time
	// The last answer that speaks of the provider, as 503, unless somebody was served since.
	awayAt time.Time
	// The last time that such an answer was its recipient's alone: in this process, or in another one
	// as last heard.
	ownAway time.Time
	counted map[string]bool // the recipients whose failures count against the provider, since somebody was served
	// failing are the campaigns of which nobody was served since these failures began.
	failing map[int64]failingRun
}

// failingRun is the failed requests of one campaign, one after the other.
type failingRun struct {
	n     int
	since time.Time
}

func newHealth(s *sharedState, log *slog.Logger) *Health {
	return &Health{sharedState: s, log: log, channels: map[string]*channelHealth{}}
}

// of is called with the lock held.
func (h *Health) of(channel string) *channelHealth {
	if h.channels[channel] == nil {
		h.channels[channel] = &channelHealth{}
	}
	return h.channels[channel]
}

// single reports whether requests start one by one: after TripAt failures in a row, before the
// shared breaker has opened. It ends when somebody is served, or SingleFor after the last failure.
func (h *Health) single(c *channelHealth) bool {
	return c.run >= h.TripAt && time.Since(c.failedAt) < h.SingleFor
}

// throttle is asked before n tokens are taken. While requests start one by one it allows one
// recipient every SingleEvery; with wait > 0 the next one is not due.
func (h *Health) throttle(channel string, n int) (allowed int, single bool, wait time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, now := h.of(channel), time.Now()
	if !h.single(c) {
		return n, false, 0
	}
	if wait = c.next.Sub(now); wait > 0 {
		return 0, true, wait
	}
	c.next = now.Add(h.SingleEvery)
	return 1, true, 0
}

// hearOpen takes in what the grant's script said of the shared breaker. An answer that asks for
// rest, and that is not published yet, opens it too.
func (h *Health) hearOpen(channel string, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.of(channel)
	c.open = open || c.askedRest > 0
}

// publish hands in what was seen on a channel.
func (h *Health) publish(ctx context.Context, channel string) (view sharedView, err error) {
	h.mu.Lock()
	c := h.of(channel)
	t := c.tally
	c.tally = tally{}
	h.mu.Unlock()
	view, err = h.observe(ctx, channel, t) // what could not be published is too old the next time
	if err == nil {
		view.logEvent(h.log, channel)
		h.mu.Lock()
		c.open = view.state == away || view.state == resting || c.askedRest > 0
		c.served, c.recovered = later(c.served, view.served), later(c.recovered, view.recovered)
		c.ownAway = later(c.ownAway, view.ownAway)
		h.mu.Unlock()
	}
	return view, err
}

// Publish hands in what was seen on all channels. It is to be called every PublishEvery.
func (h *Health) Publish(ctx context.Context) error {
	h.mu.Lock()
	var names []string
	for name, c := range h.channels {
		if !c.empty() {
			names = append(names, name)
		}
	}
	h.mu.Unlock()
	var errs []error
	for _, name := range names {
		_, err := h.publish(ctx, name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// record takes in one request of a campaign for these recipients: their outcomes, and how long it
// took. failed says that it was no good.
func (h *Health) record(channel string, campaign int64, of []Recipient, out []channels.Outcome, took time.Duration) (failed bool) {
	o, now := out[0], time.Now()
	asked := now.Add(-took)
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.of(channel)
	c.requests++
	if o.RetryAfter == 0 && o.Fault == channels.NoFault {
		h.compareAway(c, asked, now)
		c.answered++
		c.recipients += len(of)
		c.began = later(c.began, asked)
		c.logTook += math.Log(max(1e-3, took.Seconds()*1000))
		c.timed++
		c.run, c.ended = max(0, c.run-h.AnswerCredit), now
		c.failed.weight, c.slow.weight = 0, 0
		c.serve(campaign, of, out, asked, now)
		return false
	}
	c.errors++
	if o.Fault == channels.Away && !o.Refused() {
		c.awayAt = now
	}
	h.recordFailing(c, campaign, now)
	counts, again := h.countOnce(c, campaign, of)
	weight := h.FaultWeight
	switch {
	case o.RetryAfter > 0:
		if counts { // this process rests at once, and does not wait to hear of it
			if !again {
				c.askedRest++
			}
			c.rest, c.who, c.open = max(c.rest, o.RetryAfter), of[0].ID, true
		}
		return true
	case o.Refused():
		weight = h.AwayWeight
	case !counts, again:
		return true
	case !h.mayBeOwn(c, o):
		weight = h.AwayWeight
	}
	e := &c.failed
	if took >= h.SlowFailure {
		e = &c.slow
		c.slowAsked = later(c.slowAsked, asked)
		if c.served.After(asked) {
			return true
		}
	}
	e.n++
	e.weight += weight
	c.run, c.failedAt = min(h.RunMost, c.run+weight), now
	return true
}

// serve takes in an answer that served somebody of these recipients.
func (c *channelHealth) serve(campaign int64, of []Recipient, out []channels.Outcome, asked, now time.Time) {
	c.served, c.counted, c.asked = now, nil, later(c.asked, asked)
	for i, r := range of {
		if out[i].Result != channels.Sent {
			continue
		}
		delete(c.failing, campaign)
		if !r.FailingSince.IsZero() {
			c.recovered, c.servedAgain = now, true
		}
	}
}

// recordFailing takes in a failed request of a campaign.
func (h *Health) recordFailing(c *channelHealth, campaign int64, now time.Time) {
	f, known := c.failing[campaign]
	if !known {
		f.since = now
		if c.failing == nil || len(c.failing) >= h.RememberedMost {
			c.failing = map[int64]failingRun{}
		}
	}
	f.n++
	c.failing[campaign] = f
}

// unproven says that nothing shows yet that r's failures are its own: no attempt was counted, and
// nobody was served later than ProvenAfter since r began to fail.
func (h *Health) unproven(c *channelHealth, r Recipient) bool {
	return r.Counted == 0 && (r.FailingSince.IsZero() || c.served.Sub(r.FailingSince) < h.ProvenAfter)
}

// countsAgainstProvider says that a failure of r speaks against the provider. It does in two cases,
// unless the failures are the campaign's own:
//
//   - Nothing shows yet that r's failures are its own.
//   - Within RecoveredFor, somebody was served who had failed before: then the provider fails over
//     one recipient and then over another, and having failed before proves nothing against a
//     recipient.
func (h *Health) countsAgainstProvider(c *channelHealth, campaign int64, r Recipient) bool {
	return !h.campaignsOwn(c, campaign) && (h.unproven(c, r) || time.Since(c.recovered) < h.RecoveredFor)
}

// compareAway takes in a good answer to a request that began at asked. If it began within Silent of an
// answer that speaks of the provider, as 503, that one was its recipient's alone: a provider that is
// away serves nobody.
func (h *Health) compareAway(c *channelHealth, asked, now time.Time) {
	if !asked.After(c.awayAt) {
		return
	}
	if asked.Sub(c.awayAt) < h.Silent { // guard: own-503
		c.ownAway, c.ownFault = now, true
	}
	c.awayAt = time.Time{}
}

// mayBeOwn says that a failure may be a matter of its recipient. An answer that speaks of the
// provider may be, for OwnAwayFor after such an answer was its recipient's alone.
func (h *Health) mayBeOwn(c *channelHealth, o channels.Outcome) bool {
	switch o.Fault {
	case channels.Stumble:
		return true
	case channels.Away:
		return !o.Refused() && time.Since(c.ownAway) < h.OwnAwayFor
	default:
		return false
	}
}

// campaignsOwn says that the provider fails over what a campaign sends: it serves other campaigns,
// and nobody of this one.
func (h *Health) campaignsOwn(c *channelHealth, campaign int64) bool {
	f := c.failing[campaign]
	return f.n >= h.CampaignFailures && c.served.Sub(f.since) >= h.ProvenAfter
}

// countOnce says whether a failed request for these recipients counts against the provider. again:
// it did so before. One recipient that fails again and again is one failure, until somebody else is
// served.
func (h *Health) countOnce(c *channelHealth, campaign int64, of []Recipient) (counts, again bool) {
	for _, r := range of {
		switch {
		case !h.countsAgainstProvider(c, campaign, r):
		case c.counted[r.ID]:
			again = true
		default:
			if c.counted == nil || len(c.counted) >= h.RememberedMost {
				c.counted = map[string]bool{}
			}
			c.counted[r.ID] = true
			return true, false
		}
	}
	return again, again
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
