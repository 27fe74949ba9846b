package web

import (
	"sync"
	"time"
)

// lockouts remembers who has been refused, so that a flood of tries does not reach Redis. Only
// Redis counts.
type lockouts struct {
	mu   sync.Mutex
	ends map[string]time.Time
}

const maxLocked = 10_000

func (l *lockouts) lockUntil(key string, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends == nil || len(l.ends) >= maxLocked {
		l.ends = map[string]time.Time{} // Redis is asked for them again
	}
	l.ends[key] = end
}

// remaining is how long a key is still locked. 0 = not locked, as far as this process knows.
func (l *lockouts) remaining(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, ok := l.ends[key]
	if !ok {
		return 0
	}
	if rest := time.Until(end); rest > 0 {
		return max(time.Second, rest)
	}
	delete(l.ends, key)
	return 0
}

// refusals counts log-ins that were refused.
type refusals struct {
	mu   sync.Mutex
	n    int
	last time.Time
}

// due counts a refusal. When it is time to report, it returns the number of refusals since the last
// report; else 0.
func (l *refusals) due() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if time.Since(l.last) < tellRefusals {
		return 0
	}
	n := l.n
	l.n, l.last = 0, time.Now()
	return n
}

// tellRefusals is the shortest time between two reports of refused log-ins in the log and the event
// log.
const tellRefusals = 10 * time.Second
