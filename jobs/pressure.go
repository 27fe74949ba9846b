package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"carillon/channels"
	"carillon/models"
)

const (
	tellEvery = 100 * time.Millisecond // what a process saw of a provider goes to the others
	// wearyAt is the run of failures in one process at which it starts requests one by one, without waiting for what
	// the others say; it is the shared breaker's own.
	wearyAt    = 12
	wearyEvery = 100 * time.Millisecond
	wearyFor   = time.Second // without another failure
	// settleFor is how long a failure waits for an answer to anybody else before it is held against the recipient.
	settleFor = 500 * time.Millisecond
	// doubtFor is how long a recipient waits of whom it did not show in that time.
	doubtFor  = 2 * time.Second
	lateAfter = time.Second
	// recoveredFor: while somebody was served lately who had failed before, failures of those who failed before are no
	// proof against them: the provider fails now over one recipient and then over another.
	recoveredFor = 30 * time.Second
	// provenAfter: a provider that goes down answers some for so long that it does not answer others.
	provenAfter = 2 * time.Second
	maxWeighed  = 512 // recipients, or campaigns, that a gauge remembers
	// A campaign's failures are its own once there are so many, nobody of it was served, and others were for provenAfter.
	ownFailures = 20
)

// pressure is what this process sees of its channels' providers. It stops requests in the middle of a chunk when a
// provider fails, tells the other processes through Redis, and says of a failure whose it was.
type pressure struct {
	limit *limiter
	log   *slog.Logger
	mu    sync.Mutex
	on    map[string]*gauge
}

// gauge is one channel's.
type gauge struct {
	tally
	open     bool      // the shared breaker, as last heard
	run      int       // of failures, as in observeScript
	failedAt time.Time // the last of them
	next     time.Time // when weary: the next single request
	asked    time.Time // the start of the latest request that served somebody
	// The last time that somebody was served, and that somebody was who had failed before: here, or elsewhere as last heard.
	served, recovered time.Time
	weighed           map[string]bool // whose failures were weighed since somebody was served; each counts once
	// failing are the campaigns of which nobody was served since these failures began.
	failing map[int64]failingRun
}

// failingRun is the failed requests of one campaign, one after the other.
type failingRun struct {
	n     int
	since time.Time
}

// unproven says that nothing shows yet that m's failures are its own: no attempt was counted, and nobody was served later
// than provenAfter since it began to fail.
func (g *gauge) unproven(m member) bool {
	return m.own == 0 && (m.failing.IsZero() || g.served.Sub(m.failing) < provenAfter)
}

// weighs says that a failure of m speaks against the provider.
func (g *gauge) weighs(campaign int64, m member) bool {
	return !g.ownFault(campaign) && (g.unproven(m) || time.Since(g.recovered) < recoveredFor)
}

// ownFault says that the provider fails over what a campaign sends: it serves others, and nobody of this one.
func (g *gauge) ownFault(campaign int64) bool {
	f := g.failing[campaign]
	return f.n >= ownFailures && g.served.Sub(f.since) >= provenAfter
}

// fail takes in a failed request of a campaign.
func (g *gauge) fail(campaign int64, now time.Time) {
	f, known := g.failing[campaign]
	if !known {
		f.since = now
		if g.failing == nil || len(g.failing) >= maxWeighed {
			g.failing = map[int64]failingRun{}
		}
	}
	f.n++
	g.failing[campaign] = f
}

// weighOnce says that a failed request for these members speaks against the provider and did not do so before: one
// recipient that fails again and again is one failure, until somebody else is served.
func (g *gauge) weighOnce(campaign int64, of []member) (weighs, again bool) {
	for _, m := range of {
		switch {
		case !g.weighs(campaign, m):
		case g.weighed[m.id]:
			again = true
		default:
			if g.weighed == nil || len(g.weighed) >= maxWeighed {
				g.weighed = map[string]bool{}
			}
			g.weighed[m.id] = true
			return true, false
		}
	}
	return again, again
}

// serve takes in an answer that served somebody of these members.
func (g *gauge) serve(campaign int64, of []member, out []channels.Outcome, asked, now time.Time) {
	g.served, g.weighed, g.asked = now, nil, later(g.asked, asked)
	for i, m := range of {
		if out[i].Result != channels.Sent {
			continue
		}
		delete(g.failing, campaign)
		if !m.failing.IsZero() {
			g.recovered, g.back = now, true
		}
	}
}

func newPressure(l *limiter, log *slog.Logger) *pressure {
	return &pressure{limit: l, log: log, on: map[string]*gauge{}}
}

// of is called with the lock held.
func (p *pressure) of(channel string) *gauge {
	if p.on[channel] == nil {
		p.on[channel] = &gauge{}
	}
	return p.on[channel]
}

// weary says that this process met failures only.
func (g *gauge) weary() bool { return g.run >= wearyAt && time.Since(g.failedAt) < wearyFor }

// take is the limiter's, but one recipient at a time while this process meets failures only. single: what is
// granted is to be tried although mayStart says no.
func (p *pressure) take(channel string, n int, take func(n int) (grant, error)) (g grant, single bool, err error) {
	p.mu.Lock()
	here, now := p.of(channel), time.Now()
	weary := here.weary()
	wait := here.next.Sub(now)
	if weary && wait <= 0 {
		n, here.next = 1, now.Add(wearyEvery)
	}
	p.mu.Unlock()
	if weary && wait > 0 {
		return grant{Wait: wait}, false, nil
	}
	g, err = take(n)
	if err != nil {
		return g, false, err
	}
	p.mu.Lock()
	here.open = g.Open || here.busy > 0
	p.mu.Unlock()
	return g, g.Probe || weary, nil
}

// tell hands in what was seen on a channel.
func (p *pressure) tell(ctx context.Context, channel string) (seen observed, err error) {
	p.mu.Lock()
	g := p.of(channel)
	t := g.tally
	g.tally = tally{}
	p.mu.Unlock()
	seen, err = p.limit.observe(ctx, channel, t) // what could not be told is too old the next time
	if err == nil {
		seen.tell(p.log, channel)
		p.mu.Lock()
		g.open = seen.health == away || seen.health == resting || g.busy > 0
		g.served, g.recovered = later(g.served, seen.served), later(g.recovered, seen.recovered)
		p.mu.Unlock()
	}
	return seen, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// tellAll is the loop's.
func (p *pressure) tellAll(ctx context.Context) error {
	p.mu.Lock()
	var names []string
	for name, g := range p.on {
		if !g.empty() {
			names = append(names, name)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, name := range names {
		_, err := p.tell(ctx, name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// note takes one request for these members in.
func (p *pressure) note(channel string, campaign int64, of []member, out []channels.Outcome, took time.Duration) (failed bool) {
	o, now := out[0], time.Now()
	asked := now.Add(-took)
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.of(channel)
	g.tries++
	if o.RetryAfter == 0 && o.Fault == channels.NoFault {
		g.alive++
		g.done += len(of)
		g.began = later(g.began, asked)
		g.logTook += math.Log(max(1e-3, took.Seconds()*1000))
		g.timed++
		g.run, g.ended = max(0, g.run-20), now
		g.failed.weight, g.late.weight = 0, 0
		g.serve(campaign, of, out, asked, now)
		return false
	}
	g.errors++
	g.fail(campaign, now)
	weighs, again := g.weighOnce(campaign, of)
	weight := 1
	switch {
	case o.RetryAfter > 0:
		if weighs { // nobody waits for the other processes: this one rests at once
			if !again {
				g.busy++
			}
			g.rest, g.who, g.open = max(g.rest, o.RetryAfter), of[0].id, true
		}
		return true
	case o.Refused():
		weight = 4
	case !weighs, again:
		return true
	case o.Fault == channels.Away:
		weight = 4
	}
	e := &g.failed
	if took >= lateAfter {
		e = &g.late
		g.lateAt = later(g.lateAt, asked)
		if g.served.After(asked) {
			return true
		}
	}
	e.n++
	e.weight += weight
	g.run, g.failedAt = min(200, g.run+weight), now
	return true
}

// trial is one chunk on its way through a channel.
type trial struct {
	p        *pressure
	channel  string
	campaign int64
	single   bool
	chunk    []member

	mu       sync.Mutex
	failedAt time.Time
}

// of is the trial of the members at some places of the chunk.
func (t *trial) of(at []int) *trial {
	part := &trial{p: t.p, channel: t.channel, campaign: t.campaign, single: t.single, chunk: make([]member, len(at))}
	for k, i := range at {
		part.chunk[k] = t.chunk[i]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	part.failedAt = t.failedAt
	return part
}

// mayStart is asked before each request.
func (t *trial) mayStart() bool {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	g := t.p.of(t.channel)
	return t.single || !g.open && !g.weary()
}

// answered is the channel's word about one request.
func (t *trial) answered(from int, of []channels.Outcome, took time.Duration) {
	switch {
	case len(of) == 0, of[0].Result == channels.NotTried:
		return
	case of[0].Fault == channels.NoFault && of[0].Result != channels.Sent && of[0].ErrCode == models.CodeNetwork: // given up by us
		return
	}
	if t.p.note(t.channel, t.campaign, t.chunk[from:from+len(of)], of, took) {
		t.mu.Lock()
		t.failedAt = time.Now()
		t.mu.Unlock()
	}
}

// blame is whose failures a chunk's are.
type blame int

const (
	blameRecipient blame = iota // the provider served others after them
	blameUnknown                // nobody was served since, but nobody else failed either
	blameProvider               // the provider fails with others too, or serves nobody
)

// judge waits, if it must, until it shows whose the chunk's failures were: a provider that serves others since
// has failed over these recipients; one that fails with everybody is the cause itself. That it asked for rest, of one
// recipient, says nothing of the failures of others.
func (t *trial) judge(ctx context.Context, of []channels.Outcome) (blame, error) {
	faults, stumbled := 0, false
	for i, o := range of {
		if o.Fault != channels.NoFault || o.RetryAfter > 0 {
			faults++
			stumbled = stumbled || o.Fault == channels.Stumble && t.chunk[i].own == 0
		}
	}
	if faults == 0 && !t.single {
		return blameRecipient, nil
	}
	t.mu.Lock()
	failedAt := t.failedAt
	t.mu.Unlock()
	for {
		seen, err := t.p.tell(ctx, t.channel)
		t.p.mu.Lock()
		here := t.p.of(t.channel).asked // an answer to what was asked before may only have been on its way
		t.p.mu.Unlock()
		switch {
		case err != nil:
			return blameProvider, err // nobody is blamed on what is not known
		case seen.health == doubtful, seen.health == away:
			return blameProvider, nil
		case here.After(failedAt), seen.served.Add(-tellEvery).After(failedAt):
			return blameRecipient, nil
		case !stumbled, time.Since(failedAt) > settleFor:
			return blameUnknown, nil
		}
		select {
		case <-ctx.Done():
			return blameUnknown, nil
		case <-time.After(tellEvery):
		}
	}
}

// excuses says whether a failure is not held against its recipient.
func (t *trial) excuses(b blame, m member, o channels.Outcome) bool {
	if o.Refused() {
		return true
	}
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	g := t.p.of(t.channel)
	switch {
	case o.RetryAfter > 0: // to be asked to wait is no attempt
		return g.weighs(t.campaign, m)
	case o.Fault == channels.NoFault, b == blameRecipient:
		return false
	case b == blameProvider:
		return g.weighs(t.campaign, m)
	}
	return o.Fault == channels.Away && g.unproven(m)
}
