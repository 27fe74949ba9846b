package pacing

import (
	"math"
	"time"
)

func ms(d time.Duration) float64 { return float64(d.Milliseconds()) }

// seenBy is what one process saw, with the ages of its times in ms.
type seenBy struct {
	tally
	who                    uint32
	began, ended, slowAged float64
}

// observed is the answer to it.
type observed struct {
	state                      providerState
	servedAgo, recoveredAgo    int64 // -1 = not known
	ownAwayAgo                 int64 // the same
	event                      providerEvent
	requests, errors, sinceAgo int64
}

func (r *reference) observe(s seenBy, now float64) (out observed) {
	h, p := &r.provider, r.p
	if !known(h.at) {
		*h = newProvider()
		h.run, h.n, h.done, h.failed, h.log, h.timed, h.at = 0, 0, 0, 0, 0, 0, now
	}
	failures, weight := float64(s.failed.n), float64(s.failed.weight)
	if !(h.good > now-s.slowAged) {
		failures, weight = failures+float64(s.slow.n), weight+float64(s.slow.weight)
	}
	if s.answered > 0 {
		h.good = max(or(h.good, 0), now-s.ended)
	}
	if s.servedAgain {
		h.back = now
	}
	if s.ownFault {
		h.own = now
	}
	h.requests, h.errors = or(h.requests, 0)+float64(s.requests), or(h.errors, 0)+float64(s.errors)
	if s.errors > 0 {
		h.first = or(h.first, now)
	}
	tell := func(e providerEvent) {
		out.event, out.requests, out.errors, out.sinceAgo = e, int64(h.requests), int64(h.errors), int64(now-or(h.first, now))
		h.isUnwell = 1
	}

	if known(h.ill) && now-h.ill > ms(p.RunForgotten) {
		h.run = 0
	}
	if weight > 0 {
		h.ill = now
	}
	h.run = min(float64(p.RunMost), max(0, h.run-float64(p.AnswerCredit*s.answered))+weight)
	if known(h.asked) || s.askedRest > 0 {
		h.n += float64(s.answered)
	}
	switch {
	case known(h.open) && s.answered > 0 && now-s.began >= h.open:
		r.close(now)
		if known(h.isUnwell) {
			tell(cameBack)
			h.isUnwell = unknown
		}
	case !known(h.open) && h.run >= float64(p.TripAt) && (!known(h.good) || now-h.good >= ms(p.Silent)):
		if !known(h.ceil) {
			h.ref = h.rate
		}
		h.open, h.probe, h.ceil = now, now+ms(p.ProbeEvery), unknown
		tell(beganToFail)
	}
	if s.askedRest > 0 {
		r.askRest(s, now)
		if known(h.whole) && !known(h.isUnwell) {
			tell(askedForRest)
		}
	}
	if !known(h.open) {
		if s.answered > 0 {
			h.requests, h.errors, h.first = 0, 0, unknown
		}
		r.measure(s, failures, now)
	}

	ago := func(at float64) int64 { return int64(or(now-at, -1)) }
	out.servedAgo, out.recoveredAgo, out.ownAwayAgo = ago(h.good), ago(h.back), ago(h.own)
	switch {
	case known(h.open) && known(h.asked):
		out.state = resting
	case known(h.open):
		out.state = away
	case h.run >= float64(p.TripAt):
		out.state = suspect
	}
	return out
}

func (r *reference) newSpan(now float64) {
	h := &r.provider
	h.at, h.n, h.done, h.failed, h.log, h.timed = now, 0, 0, 0, 0, 0
}

func (r *reference) close(now float64) {
	h, p := &r.provider, r.p
	rate := float64(p.RateUnknown)
	switch {
	case !known(h.asked):
		h.ceil = max(float64(p.RestartLeast), or(h.ref, rate)*p.RestartShare)
		h.ref = or(h.ref, rate/p.RestartShare)
		r.newSpan(now)
	case known(h.whole), known(h.back) && now-h.back < ms(p.RecoveredFor):
		before := or(h.ceil, max(1, or(h.rate, rate)))
		if !known(h.ceil) || h.n > float64(p.ServedPerRest)*h.asked {
			h.ref = before
		}
		h.ceil = max(1, before/2)
		r.newSpan(now)
	}
	h.run = 0
	for _, f := range []*float64{&h.open, &h.probe, &h.asked, &h.by, &h.rest, &h.whole, &h.tested, &h.who} {
		*f = unknown
	}
}

func (r *reference) askRest(s seenBy, now float64) {
	h, p := &r.provider, r.p
	if !known(h.open) {
		h.open, h.probe, h.by, h.asked = now, now, float64(s.who), 0
	}
	h.asked, h.rest = or(h.asked, 0)+float64(s.askedRest), max(or(h.rest, 0), now+ms(s.rest))
	if (s.askedRest > 1 || h.by != float64(s.who)) && (known(h.tested) || h.asked > h.n*p.RestShare) {
		h.whole = 1
	}
	if known(h.whole) {
		h.probe = max(h.probe, h.rest)
	} else {
		h.probe = max(h.probe, now+min(ms(s.rest), ms(p.RestOfOne)))
	}
}

func (r *reference) measure(s seenBy, failures, now float64) {
	h, p := &r.provider, r.p
	h.n, h.done, h.failed = h.n+float64(s.answered), h.done+float64(s.recipients), h.failed+failures
	h.log, h.timed = h.log+s.logTook, h.timed+float64(s.timed)
	span := now - h.at
	if span < ms(p.Span) || h.n+h.failed < float64(p.SpanRequests) && span < ms(p.SpanMost) {
		return
	}
	used, slow := h.done*1000/span, false
	if h.timed >= float64(p.TimedLeast) {
		took := math.Exp(h.log / h.timed)
		h.base = or(h.base, took)
		slow = took > p.SlowTimes*h.base && took > h.base+ms(p.SlowMore)
		within := ms(p.BaseFalls)
		if took > h.base {
			within = ms(p.BaseRises)
		}
		h.base += (took - h.base) * min(1, min(span, ms(p.BaseSpan))/within)
	}
	heavy := h.failed >= float64(p.HeavyFailures) && h.failed > h.n
	switch {
	case heavy, slow:
		before := or(h.ceil, max(1, used, or(h.rate, 0)))
		if !known(h.ceil) {
			h.ref = before
		}
		if heavy {
			h.ceil = max(1, before/2)
		} else {
			h.ceil = max(h.ref*p.SlowerFloor, before*p.Slower)
		}
	case !known(h.ceil), h.n == 0:
	case h.ceil < h.ref/2:
		h.ceil *= 2
	case h.ceil < h.ref:
		h.ceil += h.ref * p.RecoveryStep
	case h.ceil >= h.ref*p.RemoveAbove && used < h.ceil*p.RemoveUnused:
		h.ceil, h.ref = unknown, unknown
	default:
		h.ceil *= p.Beyond
	}
	h.rate = max(used, or(h.rate, 0)*math.Pow(p.RateKeeps, span/ms(p.Span)))
	r.newSpan(now)
}
