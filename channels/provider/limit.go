package provider

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// A place stays with one Send for keepPlaceFor. Then the Send that waits longest gets it. At a provider
	// nearby, handing a place over at each request would cost as much as a tenth of the request.
	keepPlaceFor = 2 * time.Millisecond

	// A request is late when it takes longer than lateTime and longer than lateTimes the usual time. A late
	// request gives its place to a Send that waits; else a few recipients that a provider is slow for would
	// take all places. At most maxLate requests are late at once.
	lateTimes = 8
	lateTime  = 500 * time.Millisecond
	maxLate   = 64
)

// limiter bounds the requests in flight. All Sends of the process share one limiter. A Send that waits for a
// place gets one in the order of coming. The search for the best limit stands in search.go.
type limiter struct {
	mu         sync.Mutex
	limit      int                 // of inFlight
	target     int                 // limit rises to target by one with each answer: connections opened all at once would wait for each other
	inFlight   int                 // requests under way, the late ones not counted
	places     map[*place]struct{} // of all requests under way, late ones included
	late       int                 // of places, how many are late
	waiters    []chan struct{}     // first come first; empty unless inFlight >= limit
	quietTimer *time.Timer         // calls checkQuiet; nil unless somebody waits
	timerDue   time.Time           // when quietTimer fires
	quietSince time.Time           // the last answer, or when the first waiter came after that

	usualTime    time.Duration // moving average of a good request's time; 0 = none came back yet
	shortestTime time.Duration // the least mean time of a measurement's good requests; 0 = not measured

	// The measurement under way.
	toSkip    int           // answers to come of requests that began under another limit; they are not counted
	answers   int           // counted so far
	good      int           // of answers
	goodTime  time.Duration // sum of the good requests' times
	peak      int           // the highest inFlight
	busy      time.Duration // how long requests were in flight, up to busySince
	busySince time.Time

	// The search.
	trialFrom     int     // the limit before the trial; 0 = no trial
	recentRate    float64 // good answers a second under trialFrom, or without a trial under limit: a moving average
	bestRate      float64 // the same at best; -1 = not measured
	trialUp       bool    // whether this trial, or the next, raises the limit
	trialInterval int     // measurements between two trials
	untilTrial    int     // measurements until the next trial
}

// place is the right to one request in flight.
type place struct {
	since time.Time // when its present request began
	late  bool      // its request is late, and another Send has the place too
}

func newLimiter() *limiter {
	return &limiter{
		places: map[*place]struct{}{}, limit: minInFlight, target: minInFlight,
		bestRate: -1, trialUp: true, trialInterval: minTrialInterval, untilTrial: 1,
	}
}

// acquire waits for a place. It returns nil when ctx ends first. granted is a channel of the caller's own with
// room for one; the limiter sends into it when the place comes.
func (l *limiter) acquire(ctx context.Context, granted chan struct{}) *place {
	if ctx.Err() != nil || !l.waitForPlace(ctx, granted) {
		return nil
	}
	p := &place{since: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[p] = struct{}{}
	return p
}

func (l *limiter) waitForPlace(ctx context.Context, granted chan struct{}) bool {
	l.mu.Lock()
	if l.inFlight < l.limit {
		l.takePlace()
		l.mu.Unlock()
		return true
	}
	if len(l.waiters) == 0 {
		l.quietSince = time.Now()
	}
	l.waiters = append(l.waiters, granted)
	if l.quietTimer == nil {
		l.quietTimer = time.AfterFunc(l.quietLimit(), l.checkQuiet)
		l.timerDue = l.quietSince.Add(l.quietLimit())
	}
	l.mu.Unlock()
	select {
	case <-granted:
		return true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiters, granted); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
		return false
	}
	<-granted // the place came while ctx ended
	return true
}

// takePlace is called with mu held.
func (l *limiter) takePlace() {
	if l.inFlight == 0 {
		l.busySince = time.Now()
	}
	l.inFlight++
	l.peak = max(l.peak, l.inFlight)
}

// admitWaiting gives the free places to the Sends that wait.
func (l *limiter) admitWaiting() {
	for len(l.waiters) > 0 && l.inFlight < l.limit {
		l.takePlace()
		l.waiters[0] <- struct{}{}
		l.waiters = l.waiters[1:]
	}
}

// giveBack ends a place with which no request was made.
func (l *limiter) giveBack(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.forget(p) {
		l.freePlace(time.Now())
	}
}

// forget removes a place. It returns true when the request was late, so that another Send has the place already.
func (l *limiter) forget(p *place) (late bool) {
	delete(l.places, p)
	if p.late {
		l.late--
	}
	return p.late
}

// admitForLate marks the requests that are late, and gives their places to Sends that wait.
func (l *limiter) admitForLate(now time.Time) {
	if l.usualTime == 0 {
		return
	}
	limit := max(lateTimes*l.usualTime, lateTime)
	for p := range l.places {
		if !p.late && l.late < maxLate && now.Sub(p.since) > limit {
			p.late = true
			l.late++
			l.freePlace(now)
		}
	}
}

// release ends the request of a place. took is the request's time. good is false when the request brought no answer,
// or an answer that asks to come again. since is when the caller got the place. more says that the caller has another
// request to make. release returns true when the caller keeps its place for that request; otherwise the place is free.
func (l *limiter) release(p *place, good bool, took time.Duration, since time.Time, more bool) (kept bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.late { // a late request says nothing about the right limit
		l.forget(p)
		return false
	}
	l.quietSince = now
	if good {
		if l.usualTime == 0 {
			l.usualTime = took
		}
		l.usualTime += (took - l.usualTime) / 16
	}
	if l.limit < l.target {
		l.limit++
	}
	if l.toSkip > 0 {
		if l.toSkip--; l.toSkip == 0 {
			l.startMeasurement(now, 0)
		}
	} else {
		l.answers++
		if good {
			l.good++
			l.goodTime += took
		}
		// Requests that began together come back together, so a rate is taken over whole rounds of them only.
		if busy := l.busy + now.Sub(l.busySince); l.answers%min(l.limit, l.peak) == 0 && busy >= minMeasureTime {
			l.judge(now, float64(l.good)/busy.Seconds())
		}
	}
	l.admitWaiting() // the limit may have risen
	if more && l.inFlight <= l.limit && (len(l.waiters) == 0 || now.Sub(since) < keepPlaceFor) {
		p.since = now
		return true
	}
	l.forget(p)
	l.freePlace(now)
	return false
}

// freePlace is called with mu held.
func (l *limiter) freePlace(now time.Time) {
	if l.inFlight--; l.inFlight == 0 {
		l.busy += now.Sub(l.busySince)
	}
	l.admitWaiting()
}

// forEach calls do(0) … do(n-1) and returns when all are done. As many calls run at once as the limiter has places.
//
//   - placed tells do whether it has a place. Without a place, because ctx has ended, do must make no request.
//   - do returns whether it made a request, whether the request went well, and how long it took.
//   - again says that do must be called once more with the same i, for the next request.
func (l *limiter) forEach(ctx context.Context, n int, do func(i int, placed bool) (tried, good, again bool, took time.Duration)) {
	var (
		wg            sync.WaitGroup
		next, waiting atomic.Int64
		work          func()
	)
	work = func() {
		granted := make(chan struct{}, 1)
		var p *place
		var since time.Time
		var i int
		var again bool
		for {
			if !again {
				i = int(next.Add(1)) - 1
			}
			if p != nil && (i >= n || ctx.Err() != nil) {
				l.giveBack(p)
				p = nil
			}
			if i >= n {
				return
			}
			if p == nil {
				waiting.Add(1)
				p = l.acquire(ctx, granted)
				lastWaiter := waiting.Add(-1) == 0
				if p != nil && lastWaiter && int(next.Load()) < n {
					wg.Go(work) // so that one goroutine waits for the next place while this one sends
				}
				since = time.Now()
			}
			var tried, good bool
			var took time.Duration
			switch tried, good, again, took = do(i, p != nil); {
			case tried && p != nil:
				if !l.release(p, good, took, since, again || int(next.Load()) < n) {
					p = nil
				}
			case p != nil:
				l.giveBack(p)
				p = nil
			}
		}
	}
	work()
	wg.Wait()
}
