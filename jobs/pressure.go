package jobs

import (
	"context"
	"errors"
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
)

// pressure is what this process sees of its channels' providers. It stops requests in the middle of a chunk when a
// provider fails, tells the other processes through Redis, and says of a failure whose it was.
type pressure struct {
	limit *limiter
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
	served   time.Time // the last answer, told or not
	asked    time.Time // the start of the latest request that was answered
}

func newPressure(l *limiter) *pressure { return &pressure{limit: l, on: map[string]*gauge{}} }

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
	here.open = g.Open
	p.mu.Unlock()
	return g, g.Probe || weary, nil
}

// tell hands in what was seen on a channel.
func (p *pressure) tell(ctx context.Context, channel string) (h health, ago time.Duration, served bool, err error) {
	p.mu.Lock()
	g := p.of(channel)
	t := g.tally
	g.tally = tally{}
	p.mu.Unlock()
	h, ago, served, err = p.limit.observe(ctx, channel, t) // what could not be told is too old the next time
	if err == nil {
		p.mu.Lock()
		g.open = h == away
		p.mu.Unlock()
	}
	return h, ago, served, err
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
		_, _, _, err := p.tell(ctx, name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// note takes one request in. fresh: somebody in it never failed before.
func (p *pressure) note(channel string, fresh bool, of []channels.Outcome, took time.Duration) (failed bool) {
	o, now := of[0], time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.of(channel)
	if o.RetryAfter > 0 {
		g.busy++
	}
	var weight int
	switch {
	case o.Fault == channels.NoFault:
		g.alive++
		g.done += len(of)
		if at := now.Add(-took); at.After(g.began) {
			g.began = at
		}
		if o.RetryAfter == 0 {
			g.logTook += math.Log(max(1e-3, took.Seconds()*1000))
			g.timed++
		}
		g.run, g.served, g.ended = max(0, g.run-20), now, now
		g.failed.weight, g.late.weight = 0, 0
		if at := now.Add(-took); at.After(g.asked) {
			g.asked = at
		}
		return false
	case o.Refused(), o.Fault == channels.Away && fresh:
		weight = 4
	case fresh:
		weight = 1
	default: // it failed before, when others were served: more likely the recipient than the provider
		return true
	}
	e := &g.failed
	if took >= lateAfter {
		e = &g.late
		if at := now.Add(-took); at.After(g.lateAt) {
			g.lateAt = at
		}
		if g.served.After(now.Add(-took)) {
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
	p       *pressure
	channel string
	single  bool
	chunk   []member

	mu       sync.Mutex
	failedAt time.Time
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
	fresh := false
	for _, m := range t.chunk[from : from+len(of)] {
		fresh = fresh || m.attempts == 0
	}
	if t.p.note(t.channel, fresh, of, took) {
		t.mu.Lock()
		t.failedAt = time.Now()
		t.mu.Unlock()
	}
}

// verdict is whose failures a chunk's are.
type verdict int

const (
	theirs  verdict = iota // the provider served others after them
	nobodys                // nobody was served since, but nobody else failed either
	its                    // the provider's
)

// judge waits, if it must, until it shows whose the chunk's failures were: a provider that serves others since
// has failed over these recipients; one that fails with everybody, or asks for rest, is the cause itself.
func (t *trial) judge(ctx context.Context, of []channels.Outcome) (verdict, error) {
	faults, stumbled := 0, false
	for i, o := range of {
		if o.Fault != channels.NoFault {
			faults++
			stumbled = stumbled || o.Fault == channels.Stumble && t.chunk[i].attempts == 0
		}
	}
	if faults == 0 && !t.single {
		return theirs, nil
	}
	t.mu.Lock()
	failedAt := t.failedAt
	t.mu.Unlock()
	for {
		h, ago, served, err := t.p.tell(ctx, t.channel)
		t.p.mu.Lock()
		here := t.p.of(t.channel).asked // an answer to what was asked before may only have been on its way
		t.p.mu.Unlock()
		since := time.Since(failedAt)
		switch {
		case err != nil:
			return its, err // nobody is blamed on what is not known
		case h != healthy:
			return its, nil
		case here.After(failedAt), served && ago+tellEvery < since:
			return theirs, nil
		case !stumbled, since > settleFor:
			return nobodys, nil
		}
		select {
		case <-ctx.Done():
			return nobodys, nil
		case <-time.After(tellEvery):
		}
	}
}

// excuses says whether a failure is not held against its recipient.
func (v verdict) excuses(m member, o channels.Outcome) bool {
	switch {
	case o.Fault == channels.NoFault:
		return false
	case o.Refused(), v == its:
		return true
	}
	return v == nobodys && o.Fault == channels.Away && m.attempts == 0
}
