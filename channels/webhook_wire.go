package channels

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"carillon/models"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// watchedConn counts the writes that may have put bytes on the wire. A write counts from before it begins,
// so that one still under way is never missed, and is taken back only if it failed with nothing written.
type watchedConn struct {
	net.Conn
	writes  atomic.Int64
	refused atomic.Bool // nothing more is written
}

var errRefused = errors.New("the request may not start any more")

func (c *watchedConn) Write(p []byte) (int, error) {
	if c.refused.Load() {
		return 0, errRefused
	}
	c.writes.Add(1)
	n, err := c.Conn.Write(p)
	if n == 0 && err != nil {
		c.writes.Add(-1)
	}
	return n, err
}

func watchWrites(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: c}, nil
	}
}

// maxWait is how long a request may wait for its connection before it asks again whether it may start.
const maxWait = 100 * time.Millisecond

// wireWatch follows one request. It tells, once RoundTrip has failed, whether any byte of the request may have
// left. net/http's own WroteHeaders hook does not tell: it fires when the headers are buffered. RoundTrip
// returns an error only after the connection's writer has ended (mapRoundTripError in net/http/transport.go), so
// nothing can leave after the question.
type wireWatch struct {
	begun    time.Time
	mayStart func() bool

	mu     sync.Mutex // the hook may run in another goroutine than the questions
	got    bool       // a connection
	conn   *watchedConn
	before int64 // its writes when the request got it
}

func watchRequest(ctx context.Context, mayStart func() bool) (context.Context, *wireWatch) {
	w := &wireWatch{begun: time.Now(), mayStart: mayStart}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: w.gotConn}), w
}

// gotConn runs after the dial and the TLS handshake, before the request is written. A dial can take as long as a
// request may, and a pause or the loss of the lease meanwhile must still stop the request: closing the
// connection to writes is the one way to stop it that is certain.
func (w *wireWatch) gotConn(info httptrace.GotConnInfo) {
	c := info.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = true
	if w.conn, _ = c.(*watchedConn); w.conn == nil {
		return
	}
	w.before = w.conn.writes.Load()
	if time.Since(w.begun) > maxWait && !w.mayStart() {
		w.conn.refused.Store(true)
	}
}

// written is true when any byte of the request may have left; a connection that is not ours to watch counts as
// written to.
func (w *wireWatch) written() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got && (w.conn == nil || w.conn.writes.Load() > w.before)
}

// refused is true when the request got its connection too late to start.
func (w *wireWatch) refused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn != nil && w.conn.refused.Load()
}

// faultOutcome is the outcome of a request that got no complete answer. The error's own text is not shown:
// net/http quotes what the provider sent in some of them.
func (w *Webhook) faultOutcome(ctx context.Context, err error, written bool) Outcome {
	o := Outcome{Result: Retry, ErrCode: models.CodeNetwork}
	var timeout net.Error // the request's own limit, or the one of its dial or handshake
	late := errors.As(err, &timeout) && timeout.Timeout()
	switch {
	case written && ctx.Err() != nil:
		o.ErrMsg = "stopped while the request was under way"
	case written && late:
		o.ErrMsg = "the provider gave no complete answer within " + w.timeout.String()
	case written:
		o.ErrMsg = "the connection broke before the answer was complete"
	case ctx.Err() != nil:
		o.ErrMsg = "stopped before the request was sent"
	case late:
		o.ErrMsg = "no connection to the provider within " + w.timeout.String()
	default:
		o.ErrMsg = "no connection to the provider: " + connectReason(err)
	}
	if written {
		o.Result = Ambiguous
	}
	switch {
	case ctx.Err() != nil: // our own doing
	case written:
		o.Fault = Stumble
	default:
		o.Fault = Away
	}
	return o
}

func connectReason(err error) string {
	var (
		dns   *net.DNSError
		cert  *tls.CertificateVerificationError
		errno syscall.Errno
	)
	switch {
	case errors.As(err, &dns):
		return "its host name cannot be resolved"
	case errors.As(err, &cert):
		return "its TLS certificate is not trusted"
	case errors.As(err, &errno):
		return errno.Error() // "connection refused", "no route to host"
	default:
		return "the connection could not be set up"
	}
}

const (
	startWorkers = 8   // enough for a provider nearby that answers within a millisecond
	maxWorkers   = 128 // eight pages at once fill maxConns
	growAfter    = 2 * time.Millisecond
)

// fanOut calls do(0) … do(n-1), several at once, and returns when all are done. It adapts to the provider:
// when no worker has come free for growAfter, all of them are waiting for answers and their number doubles.
// So a fast provider gets few connections and a slow one many.
func fanOut(n int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var (
		work    = make(chan int)
		wg      sync.WaitGroup
		workers int
	)
	grow := func(to int) {
		for ; workers < to; workers++ {
			wg.Go(func() {
				for i := range work {
					do(i)
				}
			})
		}
	}
	grow(min(n, startWorkers))
	timer := time.NewTimer(growAfter)
	defer timer.Stop()
	for i := range n {
		for given := false; !given; {
			if workers == maxWorkers {
				work <- i
				break
			}
			timer.Reset(growAfter)
			select {
			case work <- i:
				given = true
			case <-timer.C:
				grow(min(workers*2, workers+n-i, maxWorkers))
			}
		}
	}
	close(work)
	wg.Wait()
}
