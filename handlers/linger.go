package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"carillon/models"
)

// Who is refused while still sending would lose the answer: a connection that is closed with unread data in it is
// reset. So what still comes is read and thrown away first, by bounds that make it no way to hold a connection: it
// counts as one without a request, which goes first when there is no room.
const (
	lingerBytes = 4 * listBody
	lingerTime  = bodyTime
	lingerIdle  = 2 * time.Second
)

// lingering are those bounds.
type lingering struct {
	bytes      int
	time, idle time.Duration
}

// linger ends our side of a connection and reads the other's to its end, or to a bound.
func (c *conn) linger() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	c.unread.Store(false)
	c.conns.mu.Lock()
	ending, most := c.conns.ending, c.conns.lingers
	c.conns.setClass(c, silent)
	c.conns.mu.Unlock()
	if !ok || ending {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	end := time.Now().Add(most.time)
	buf := make([]byte, 16<<10)
	for left := most.bytes; left > 0; {
		limit := time.Now().Add(most.idle)
		if limit.After(end) {
			limit = end
		}
		_ = c.SetReadDeadline(limit)
		n, err := c.Read(buf)
		left -= n
		if err != nil {
			break // the other side is done, or too slow
		}
	}
	return nil
}

// trackedBody is a request's body. It knows whether it was read to its end, and while it is waited for the patience with
// the database does not run.
type trackedBody struct {
	io.ReadCloser
	patience *impatience
	ended    bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	b.patience.pause()
	n, err := b.ReadCloser.Read(p)
	b.patience.renew()
	if errors.Is(err, io.EOF) {
		b.ended = true
	}
	return n, err
}

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

// lasting is a request's context that outlasts its caller and its body, and ends when the database hangs.
func lasting(ctx context.Context) context.Context {
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

// patient gives the context of a request that changes something a patience with the database. What only reads may
// stream for long.
func (a *API) patient(r *http.Request) (ctx context.Context, p *impatience, end func()) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.Context(), nil, func() {}
	}
	limit := a.Patience
	if limit == 0 {
		limit = patienceTime
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	p = &impatience{limit: limit, ends: []context.CancelCauseFunc{cancel}}
	p.timer = time.AfterFunc(limit, func() { p.end(errImpatient) })
	ctx = context.WithValue(models.WithProgress(ctx, p.renew), ctxPatience, p)
	return ctx, p, func() {
		p.pause()
		p.end(nil)
	}
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

// waitsFromHere: a request has done its change, and only waits for what becomes of it.
func waitsFromHere(ctx context.Context) {
	p, _ := ctx.Value(ctxPatience).(*impatience)
	p.pause()
}
