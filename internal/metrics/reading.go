package metrics

import (
	"context"
	"sync"
	"time"
)

const (
	// readWithin is how long a scrape waits for a reading. Prometheus gives up after 10 s.
	readWithin = 3 * time.Second
	// readEvery is the least time between two readings, however many ask.
	readEvery = 3 * time.Second
)

// reading is a value that is read from a store when somebody asks, and kept for a while.
type reading[T any] struct {
	read func(context.Context) (T, error)
	// every is the least time between two readings. A reading that takes long is also followed by a
	// rest of share times as long.
	every time.Duration
	share int

	mu    sync.Mutex
	value T
	err   error
	next  time.Time     // when the value is read again
	ended chan struct{} // closed when the reading under way has ended; nil = none is under way
}

// get returns the value, at most every old. ok is false if the store did not answer in time. At most
// one reading is under way, however long it takes.
func (r *reading[T]) get() (value T, ok bool) {
	r.mu.Lock()
	if r.ended == nil {
		if time.Now().Before(r.next) {
			defer r.mu.Unlock()
			return r.value, r.err == nil
		}
		r.ended = make(chan struct{})
		go r.renew()
	}
	ended := r.ended
	r.mu.Unlock()
	enough := time.NewTimer(readWithin)
	defer enough.Stop()
	select {
	case <-ended:
	case <-enough.C:
		return value, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value, r.err == nil
}

func (r *reading[T]) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	began := time.Now()
	value, err := r.read(ctx)
	took := time.Since(began)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value, r.err = value, err
	r.next = time.Now().Add(max(r.every, time.Duration(r.share)*took))
	close(r.ended)
	r.ended = nil
}
