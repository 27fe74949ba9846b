package pacing

import (
	"maps"
	"math"
	"slices"

	"carillon/models"
)

// reference is what the scripts do, in plain Go: the buckets, the turns, the breaker and the
// ceiling of one channel. All times are unix ms. TestScriptsAgreeWithTheReference holds the scripts
// against it.
type reference struct {
	p        Params
	provider provider
	channel  bucket
	latest   float64 // the turn last granted
	each     map[int64]*campaign
}

type bucket struct {
	tokens float64
	at     float64 // unix µs; unknown = new
}

type campaign struct {
	bucket
	turn, ask    float64 // unknown = new
	waits, until float64 // its turn among those that wait, and until when it waits; unknown = it does not
}

// unknown is a value that is not stored.
var unknown = math.NaN()

func known(v float64) bool { return !math.IsNaN(v) }

func or(v, instead float64) float64 {
	if known(v) {
		return v
	}
	return instead
}

func newReference(p Params) *reference {
	return &reference{p: p, provider: newProvider(), channel: bucket{at: unknown}, each: map[int64]*campaign{}}
}

func (r *reference) campaign(id int64) *campaign {
	if r.each[id] == nil {
		r.each[id] = &campaign{bucket: bucket{at: unknown}, turn: unknown, ask: unknown, waits: unknown, until: unknown}
	}
	return r.each[id]
}

// asking is one request for tokens.
type asking struct {
	campaign                          int64
	wanted, channelRate, campaignRate int
	transactional                     bool
	recipient                         uint32
	hasFailed                         bool
}

// granted is the answer to it.
type granted struct {
	n, wait int64
	open    bool
	by      models.LimitedBy
}

func (r *reference) size(rate float64) float64 { return max(1, rate*r.p.Burst.Seconds()) }

// refill brings a bucket up to now.
func (r *reference) refill(b *bucket, rate, now float64) {
	most := max(r.size(rate), float64(r.p.SlowTokens)-rate/float64(r.p.SlowRate))
	b.tokens = min(most, b.tokens+max(0, now*1000-or(b.at, now*1000))*rate/1e6)
	b.at = now * 1000
}

func (r *reference) take(a asking, now float64) granted {
	if known(r.provider.open) {
		return r.probe(a, now)
	}
	channelRate, campaignRate, slow := float64(a.channelRate), float64(a.campaignRate), models.LimitedByChannelRate
	if c := r.provider.ceil; known(c) && c > 0 && (channelRate == 0 || c < channelRate) {
		channelRate, slow = c, models.LimitedByChannelSlow
	}
	c := r.campaign(a.campaign)
	least := float64(a.wanted)
	for _, rate := range []float64{channelRate, campaignRate} {
		if rate > 0 {
			least = max(1, min(least, math.Floor(rate*r.p.LeastGrant.Seconds())))
		}
	}
	n, wait, every, by := float64(a.wanted), 0.0, 0.0, models.LimitedByNothing
	limit := func(available, rate float64, reason models.LimitedBy) {
		if math.Floor(available) < n {
			n, by = math.Floor(available), reason
		}
		every, wait = max(every, least/rate*1000), max(wait, (least-available)/rate*1000)
	}
	if channelRate > 0 {
		r.refill(&r.channel, channelRate, now)
		borrows := 0.0
		if a.transactional {
			borrows = r.size(channelRate)
		}
		limit(r.channel.tokens+borrows, channelRate, slow)
	}
	if campaignRate > 0 {
		r.refill(&c.bucket, campaignRate, now)
		limit(c.tokens, campaignRate, models.LimitedByCampaignRate)
	}
	if n < least {
		n = 0
	}
	if channelRate > 0 && !a.transactional {
		c.turn = max(r.latest-math.Floor(channelRate*r.p.CatchUp.Seconds()), min(r.latest+math.Ceil(r.size(channelRate)), or(c.turn, r.latest)))
		if first := r.firstWaiting(now); first != 0 && first != a.campaign && n > 0 && c.turn > r.each[first].waits+r.size(channelRate)*r.p.TurnLead {
			n, wait, by = 0, every, slow
		}
		switch {
		case n > 0:
			r.latest = max(r.latest, c.turn)
			c.turn += n
			if known(c.waits) {
				c.waits = c.turn
			}
		case campaignRate == 0 || c.tokens >= least:
			c.waits, c.until = c.turn, now+wait+ms(r.p.WaitMargin)
		}
	}
	if n == 0 {
		next := min(max(or(c.ask, 0), now+wait), now+max(wait, ms(r.p.AskWithin)))
		c.ask = next + min(ms(r.p.AskApart), every/float64(r.p.AsksPerGrant))
		wait = next - now
	}
	if channelRate > 0 {
		r.channel.tokens -= n
	}
	if campaignRate > 0 {
		c.tokens -= n
	}
	return granted{int64(n), int64(math.Ceil(wait)), false, by}
}

// firstWaiting is the campaign with the lowest turn of those that wait; 0 = none does. Waits that
// are over, and come before it, are forgotten.
func (r *reference) firstWaiting(now float64) int64 {
	ids := slices.Sorted(maps.Keys(r.each))
	ids = slices.DeleteFunc(ids, func(id int64) bool { return !known(r.each[id].waits) })
	slices.SortStableFunc(ids, func(a, b int64) int {
		switch d := r.each[a].waits - r.each[b].waits; {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
	for _, id := range ids {
		if r.each[id].until >= now {
			return id
		}
		r.each[id].waits, r.each[id].until = unknown, unknown
	}
	return 0
}

func (r *reference) probe(a asking, now float64) granted {
	h, wait := &r.provider, r.provider.probe-now
	if a.hasFailed {
		wait += ms(r.p.ProbeFailed)
	}
	if a.recipient != 0 && h.who == float64(a.recipient) {
		wait += ms(r.p.ProbeEvery)
	}
	if wait > 0 {
		return granted{0, int64(wait), true, models.LimitedByChannelSlow}
	}
	h.probe, h.who, h.tested = now+ms(r.p.ProbeEvery), float64(a.recipient), 1
	return granted{1, 0, true, models.LimitedByChannelSlow}
}

// provider is the shared state of a channel's provider, as observe.lua describes it.
type provider struct {
	open, probe, who, tested, asked, by, rest, whole   float64
	run, ill, good, back, own                          float64
	at, n, failed, done, log, timed, base              float64
	rate, ceil, ref, first, requests, errors, isUnwell float64
}

// fields are the provider's by their names in Redis.
func (h *provider) fields() map[string]*float64 {
	return map[string]*float64{
		"open": &h.open, "probe": &h.probe, "who": &h.who, "tested": &h.tested, "asked": &h.asked, "by": &h.by, "rest": &h.rest,
		"whole": &h.whole, "run": &h.run, "ill": &h.ill, "good": &h.good, "back": &h.back, "own": &h.own, "at": &h.at, "n": &h.n, "failed": &h.failed,
		"done": &h.done, "log": &h.log, "timed": &h.timed, "base": &h.base, "rate": &h.rate, "ceil": &h.ceil, "ref": &h.ref,
		"first": &h.first, "tries": &h.requests, "errors": &h.errors, "told": &h.isUnwell,
	}
}

func newProvider() (h provider) {
	for _, f := range h.fields() {
		*f = unknown
	}
	return h
}
