package web

import (
	"context"
	"sync"
	"time"
)

// patienceTime is how long a change waits for the database to do anything, before it is answered with 503.
const patienceTime = 8 * time.Second

// errImpatient is the cause of the end of a request's context when the database hangs.
var errImpatient error = impatientError{}

type impatientError struct{}

func (impatientError) Error() string { return "the database has done nothing for too long" }

// Timeout makes it one of the errors of a database that is away.
func (impatientError) Timeout() bool { return true }

// impatience ends a request's contexts when the database has done nothing for so long. A nil one has no end.
type impatience struct {
	timer *time.Timer
	limit time.Duration

	mu   sync.Mutex
	ends []context.CancelCauseFunc
}

func (p *impatience) end(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.ends {
		end(cause)
	}
}

// Lasting is a request's context that outlasts its caller and its body, and ends when the database hangs.
func Lasting(ctx context.Context) context.Context {
	free := context.WithoutCancel(ctx)
	p, _ := ctx.Value(ctxPatience).(*impatience)
	if p == nil {
		return free
	}
	free, end := context.WithCancelCause(free)
	p.mu.Lock()
	p.ends = append(p.ends, end)
	p.mu.Unlock()
	return free
}

func (p *impatience) pause() {
	if p != nil {
		p.timer.Stop()
	}
}

func (p *impatience) renew() {
	if p != nil {
		p.timer.Reset(p.limit)
	}
}

// WaitsFromHere stops the patience: a request has done its change, and only waits for what becomes of it.
func WaitsFromHere(ctx context.Context) {
	p, _ := ctx.Value(ctxPatience).(*impatience)
	p.pause()
}
