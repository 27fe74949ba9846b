package provider

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How many requests are in flight at once. By Little's law the right number is the provider's rate times the
// time it takes, and only the provider knows either. So the limit, one for all Sends of the process, is found by
// trying: it doubles or halves, and twice as many requests are worth it only if they bring a fifth more good
// answers a second. Where they do not, the provider (or this machine) is busy and more would only wait. What
// counts are good answers: a provider that refuses under load brings the limit down, fast as its refusals are.
// A trial lasts as long as its own requests need to come back, and the more often trials changed nothing the
// rarer they get.
//
// Where several processes share the provider, or this machine, more in flight looks worth it to each, for it takes
// answers from the others; together they would only wait, until requests time out. So the rate is not all that counts:
// requests that take several times as long as they did when it was quieter stand in a line, and the limit halves.
//
// Both need answers, so there is one rule without: when nothing at all came back for long enough and somebody
// waits for a place, the limit doubles.
const (
	startWorkers = 6   // enough for a provider nearby that answers within half a millisecond
	maxWorkers   = 768 // 10,000/s at a provider that takes 50 ms need 500, and a little more for what is not waiting

	worthIt     = 1.2
	trialTime   = 100 * time.Millisecond // the least that tells a rate
	minPatience = 4                      // measurements between two trials, doubled by each that changed nothing
	maxPatience = 64

	// Where requests are quicker than this, most of their time is this machine's own, and its hiccups look like
	// the provider's doing: a rate to compare with then takes several measurements.
	quickRequest = 10 * time.Millisecond

	// A request that takes this many times as long as it need not, and longer than crowdedTime, mostly waits for others. What
	// it need not is the least that a measurement ever told, but a provider may grow slower for good: what still takes
	// longer with the fewest in flight is its own time.
	crowdedTimes = 3
	crowdedTime  = 20 * time.Millisecond

	// holdFor is how long a place goes from one request of a Send to its next, before it is the turn of whoever waits
	// longest: at a provider nearby, a change of hands each time costs as much as a tenth of the request.
	holdFor = 2 * time.Millisecond

	// A request that is out for so many times as long as usual, and for lateTime, gives its place to somebody who waits: else
	// a few recipients that a provider is slow for would take all places. So many of them at most.
	lateTimes = 8
	lateTime  = 500 * time.Millisecond
	maxLate   = 64

	quietPerPlace = time.Millisecond // until the first answer, 6 in flight are too few after 6 ms, 12 after 12 ms more, …
)

// limiter bounds the requests in flight. Whoever waits for a place gets one in the order of coming.
type limiter struct {
	mu     sync.Mutex
	limit  int                 // of flying
	goal   int                 // the limit grows to it by one with each answer: many connections opened at once would wait for each other
	flying int                 // without the late ones
	places map[*place]struct{} // those that are taken
	late   int                 // of these
	queue  []chan struct{}     // empty unless flying >= limit
	timer  *time.Timer         // nil unless somebody waits
	due    time.Time           // when it fires
	quiet  time.Time           // since when nothing came back while somebody waited
	usual  time.Duration       // a good request's time; 0 = none came back yet
	least  time.Duration       // what a good one took when it was quietest, the mean of a measurement; 0 = not measured

	// The measurement under way.
	skip      int // answers to requests that began under another limit
	done      int
	good      int
	took      time.Duration // by the good ones
	peak      int           // of flying
	busy      time.Duration
	busySince time.Time

	// The search.
	from     int     // the limit that the present one is tried against; 0 = no trial
	rate     float64 // good answers a second under from, or under the limit when there is no trial: of late,
	best     float64 // and at best; -1 = not measured. More in flight must beat the best, fewer only match what is usual
	up       bool    // the direction of this trial or the next
	patience int     // measurements between two trials
	hold     int     // measurements until the next
}

// place is what a request needs to be in flight.
type place struct {
	since time.Time // the beginning of its present request
	late  bool      // somebody else has its place
}

func newLimiter() *limiter {
	return &limiter{places: map[*place]struct{}{}, limit: startWorkers, goal: startWorkers, best: -1, up: true, patience: minPatience, hold: 1}
}

// acquire waits for a place; nil when ctx ends first. turn is the caller's own, with room for one.
func (l *limiter) acquire(ctx context.Context, turn chan struct{}) *place {
	if ctx.Err() != nil || !l.admitted(ctx, turn) {
		return nil
	}
	p := &place{since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[p] = struct{}{}
	return p
}

func (l *limiter) admitted(ctx context.Context, turn chan struct{}) bool {
	l.mu.Lock()
	if l.flying < l.limit {
		l.admit()
		l.mu.Unlock()
		return true
	}
	if len(l.queue) == 0 {
		l.quiet = time.Now()
	}
	if l.queue = append(l.queue, turn); l.timer == nil {
		l.timer = time.AfterFunc(l.patienceInQuiet(), l.checkQuiet)
		l.due = l.quiet.Add(l.patienceInQuiet())
	}
	l.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.queue, turn); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return false
	}
	<-turn // the place came at the same time
	return true
}

// admit takes a place.
func (l *limiter) admit() {
	if l.flying == 0 {
		l.busySince = time.Now()
	}
	l.flying++
	l.peak = max(l.peak, l.flying)
}

func (l *limiter) admitWaiting() {
	for len(l.queue) > 0 && l.flying < l.limit {
		l.admit()
		l.queue[0] <- struct{}{}
		l.queue = l.queue[1:]
	}
}

// leave gives a place back that no request was made with.
func (l *limiter) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.drop(p) {
		l.free(time.Now())
	}
}

// drop forgets a taken place, and says whether somebody else has it already.
func (l *limiter) drop(p *place) (late bool) {
	delete(l.places, p)
	if p.late {
		l.late--
	}
	return p.late
}

// giveAway lets somebody who waits have the places of late requests.
func (l *limiter) giveAway(now time.Time) {
	if l.usual == 0 {
		return
	}
	limit := max(lateTimes*l.usual, lateTime)
	for p := range l.places {
		if !p.late && l.late < maxLate && now.Sub(p.since) > limit {
			p.late = true
			l.late++
			l.free(now)
		}
	}
}

// release ends a request that took so long. good is false when it brought no answer, or one that asks to come
// again. kept: the caller, which has had the place since then and has more to do, goes on with it; otherwise it is given back.
func (l *limiter) release(p *place, good bool, took time.Duration, since time.Time, more bool) (kept bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.late { // it tells nothing of how many requests are too many
		l.drop(p)
		return false
	}
	l.quiet = now
	if good {
		if l.usual == 0 {
			l.usual = took
		}
		l.usual += (took - l.usual) / 16
	}
	if l.limit < l.goal {
		l.limit++
	}
	if l.skip > 0 {
		if l.skip--; l.skip == 0 {
			l.measure(now, 0)
		}
	} else {
		l.done++
		if good {
			l.good++
			l.took += took
		}
		// Requests that began together come back together: only whole rounds of them give a rate.
		if busy := l.busy + now.Sub(l.busySince); l.done%min(l.limit, l.peak) == 0 && busy >= trialTime {
			l.judge(now, float64(l.good)/busy.Seconds())
		}
	}
	l.admitWaiting() // the limit may have risen
	if more && l.flying <= l.limit && (len(l.queue) == 0 || now.Sub(since) < holdFor) {
		p.since = now
		return true
	}
	l.drop(p)
	l.free(now)
	return false
}

func (l *limiter) free(now time.Time) {
	if l.flying--; l.flying == 0 {
		l.busy += now.Sub(l.busySince)
	}
	l.admitWaiting()
}

// measure begins a measurement, once the answers to skip are in.
func (l *limiter) measure(now time.Time, skip int) {
	l.skip, l.done, l.good, l.took, l.busy, l.busySince, l.peak = skip, 0, 0, 0, 0, now, l.flying
}

func (l *limiter) move(now time.Time, to int) {
	l.goal = min(max(to, startWorkers), maxWorkers)
	l.limit = min(l.limit, l.goal)
	l.measure(now, l.flying-1) // the request that is just coming back is not waited for
}

// crowded is true when the requests of this measurement mostly waited for others.
func (l *limiter) crowded() bool {
	if l.good == 0 {
		return false
	}
	took := l.took / time.Duration(l.good)
	if l.least == 0 || took < l.least {
		l.least = took
	}
	if took <= max(l.least*crowdedTimes, crowdedTime) {
		return false
	}
	if l.limit <= startWorkers {
		l.least = took / 2 // it may be others that it waits for
	}
	return true
}

// judge ends a measurement.
func (l *limiter) judge(now time.Time, rate float64) {
	crowded := l.crowded()
	switch {
	case l.from == 0 && l.peak <= l.limit/2 && l.limit > startWorkers: // nobody needs so many
		l.rate, l.best, l.hold = 0, -1, 1
		l.move(now, l.limit/2)
	case crowded && l.limit > startWorkers:
		l.hold = 1
		if l.from > 0 && l.up {
			l.patience = min(l.patience*2, maxPatience)
			l.hold = l.patience
		}
		l.from, l.rate, l.best, l.up = 0, 0, -1, false
		l.move(now, l.limit/2)
	case l.from == 0:
		if rate < l.rate/2 { // the provider is not what it was
			l.patience, l.hold, l.best = minPatience, 1, -1
		}
		if l.best < 0 { // the first under this limit
			l.rate, l.best = rate, rate
			if l.usual < quickRequest {
				l.hold = max(l.hold, minPatience)
			}
		}
		l.rate += (rate - l.rate) / 2
		l.best = max(rate, l.best-(l.best-rate)/8)
		if l.hold--; l.hold > 0 || !l.try(now) {
			l.measure(now, 0)
		}
	case l.up && rate > l.best*worthIt, !l.up && rate*worthIt >= l.rate:
		up := l.up
		l.rate, l.best, l.patience, l.from = rate, rate, minPatience, 0
		// To turn about at once would only undo it.
		if l.turn(); l.up != up || l.usual < quickRequest || !l.try(now) {
			l.hold = minPatience
			l.measure(now, 0)
		}
	default:
		back := l.from
		l.patience = min(l.patience*2, maxPatience)
		l.from, l.up, l.hold = 0, !l.up, l.patience
		l.move(now, back)
	}
}

// turn about if the search can go no further this way; false when it can go neither.
func (l *limiter) turn() bool {
	// More is of use only while the limit keeps somebody back and not everything fails.
	rise := l.limit < maxWorkers && l.peak >= l.limit && l.rate > 0
	fall := l.limit > startWorkers
	if l.up && !rise || !l.up && !fall {
		l.up = !l.up
	}
	return l.up && rise || !l.up && fall
}

// try begins a trial; false when there is nothing to try.
func (l *limiter) try(now time.Time) bool {
	if !l.turn() {
		l.hold = l.patience
		return false
	}
	l.from = l.limit
	if l.up {
		l.move(now, l.limit*2)
	} else {
		l.move(now, l.limit/2)
	}
	return true
}

// patienceInQuiet is how long nothing may come back. Once it is known how long requests take, silence says little
// before twice that: a provider that answers in rounds is silent between them. And a busy machine is silent at times.
func (l *limiter) patienceInQuiet() time.Duration {
	wait := time.Duration(l.limit) * quietPerPlace
	if l.usual > 0 {
		wait = max(wait, 2*l.usual, trialTime)
	}
	return wait
}

func (l *limiter) checkQuiet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.timer = nil
		return
	}
	now := time.Now()
	l.giveAway(now)
	switch {
	case now.Sub(l.due) > l.patienceInQuiet()/2: // it was this process that stood still
		l.quiet = now
	case now.Sub(l.quiet) >= l.patienceInQuiet() && l.limit < maxWorkers:
		l.quiet = now
		l.limit = min(l.limit*2, maxWorkers)
		l.goal = l.limit
		l.measure(now, l.flying)
		l.from, l.rate, l.best, l.up, l.patience, l.hold = 0, 0, -1, true, minPatience, 1
		l.admitWaiting()
	}
	wait := max(l.patienceInQuiet()-now.Sub(l.quiet), quietPerPlace)
	l.due = now.Add(wait)
	l.timer.Reset(wait)
}

// each calls do(0) … do(n-1), as many at once as there are places, and returns when all are done. do is told
// whether it has a place; without one, as ctx has ended, it must make no request. It says whether it made one,
// whether that went well and how long it took.
func (l *limiter) each(ctx context.Context, n int, do func(i int, placed bool) (tried, good bool, took time.Duration)) {
	var (
		wg            sync.WaitGroup
		next, waiting atomic.Int64
		work          func()
	)
	work = func() {
		turn := make(chan struct{}, 1)
		var p *place
		var since time.Time
		for {
			i := int(next.Add(1)) - 1
			if p != nil && (i >= n || ctx.Err() != nil) {
				l.leave(p)
				p = nil
			}
			if i >= n {
				return
			}
			if p == nil {
				waiting.Add(1)
				p = l.acquire(ctx, turn)
				if alone := waiting.Add(-1) == 0; p != nil && alone && int(next.Load()) < n {
					wg.Go(work) // somebody waits for the next place while this one works
				}
				since = time.Now()
			}
			switch tried, good, took := do(i, p != nil); {
			case tried && p != nil:
				if !l.release(p, good, took, since, int(next.Load()) < n) {
					p = nil
				}
			case p != nil:
				l.leave(p)
				p = nil
			}
		}
	}
	work()
	wg.Wait()
}
