package console

import (
	"context"
	"sync"
	"time"
)

const (
	// glanceEvery is the least time between two readings of what many look at.
	glanceEvery = time.Second
	// glanceTime is how long one reading may take.
	glanceTime = 8 * time.Second
)

// glance is what many look at: it is read at most once in glanceEvery, and by one reader, however many ask.
type glance[T any] struct {
	read func(context.Context) (T, error)

	mu    sync.Mutex
	value T
	err   error
	next  time.Time     // when it is read again
	ended chan struct{} // closed when the reading under way has ended; nil = none is under way
}

func (g *glance[T]) get(ctx context.Context) (value T, err error) {
	g.mu.Lock()
	if g.ended == nil {
		if time.Now().Before(g.next) {
			defer g.mu.Unlock()
			return g.value, g.err
		}
		g.ended = make(chan struct{})
		go g.renew()
	}
	ended := g.ended
	g.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
		return value, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.value, g.err
}

// renew reads for all: the one who has asked first may go.
func (g *glance[T]) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), glanceTime)
	defer cancel()
	value, err := g.read(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.value, g.err, g.next = value, err, time.Now().Add(glanceEvery)
	close(g.ended)
	g.ended = nil
}

// mostGlances is how many keys glances remembers.
const mostGlances = 100

// glances is a glance for each of some questions, such as the filters of a list.
type glances[K comparable, T any] struct {
	mu   sync.Mutex
	open map[K]*glance[T]
}

// get is the answer to one question. read must not need the request that asks.
func (g *glances[K, T]) get(ctx context.Context, question K, read func(context.Context) (T, error)) (T, error) {
	g.mu.Lock()
	one := g.open[question]
	if one == nil {
		if g.open == nil || len(g.open) == mostGlances { // those who wait for an answer keep its glance
			g.open = map[K]*glance[T]{}
		}
		one = &glance[T]{read: read}
		g.open[question] = one
	}
	g.mu.Unlock()
	return one.get(ctx)
}
