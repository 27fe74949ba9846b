package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"carillon/channels"
	"carillon/internal/tracing"
	"carillon/models"
)

// dialAskAgain is how long a request may wait for its connection before it asks again whether it may start.
const dialAskAgain = 100 * time.Millisecond

// flight is the set of requests of one Send that are under way. Reads and writes of a connection can be ended by a
// deadline only. So when ctx ends, abort sets a deadline in the past on every connection in use.
type flight struct {
	ctx      context.Context
	mayStart func() bool
	stop     func() bool
	traced   bool // each request has a span

	mu    sync.Mutex
	conns []*conn // by the request's number; nil = not under way
}

func newFlight(ctx context.Context, requests int, mayStart func() bool) *flight {
	if mayStart == nil {
		mayStart = func() bool { return true }
	}
	f := &flight{ctx: ctx, mayStart: mayStart, conns: make([]*conn, requests), traced: tracing.Traces(ctx)}
	f.stop = context.AfterFunc(ctx, f.abort)
	return f
}

// track lets the end of ctx abort c, until untrack. It returns false when ctx has ended already; then nothing may be
// written. Set c's own deadline before track: set afterwards, it would undo the abort.
func (f *flight) track(no int, c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return false
	}
	f.conns[no] = c
	return true
}

func (f *flight) untrack(no int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[no] = nil
}

func (f *flight) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		if c != nil {
			_ = c.SetDeadline(time.Unix(1, 0))
		}
	}
}

// close stops the watch over ctx.
func (f *flight) close() { f.stop() }

// faultOutcome is the outcome of a request that got no complete answer. written says whether any of the request may have
// left. The text of err is not shown, because fasthttp quotes what the provider sent in some errors.
func (c *Client) faultOutcome(ctx context.Context, err error, written bool) channels.Outcome {
	o := channels.Outcome{Result: channels.Retry, ErrCode: models.CodeNetwork}
	var timeout net.Error // the request's own limit, or the one of its dial or handshake
	late := errors.Is(err, fasthttp.ErrTimeout) || errors.As(err, &timeout) && timeout.Timeout()
	switch {
	case written && ctx.Err() != nil:
		o.ErrMsg = "stopped while the request was under way"
	case written && late:
		o.ErrMsg = "the provider gave no complete answer within " + c.timeout.String()
	case written:
		o.ErrMsg = "the connection broke before the answer was complete"
	case ctx.Err() != nil:
		o.ErrMsg = "stopped before the request was sent"
	case late:
		o.ErrMsg = "no connection to the provider within " + c.timeout.String()
	default:
		o.ErrMsg = "no connection to the provider: " + connectReason(err)
	}
	if written {
		o.Result = channels.Ambiguous
	}
	switch {
	case ctx.Err() != nil:
		o.Stopped = true
	case written:
		o.Fault = channels.Stumble
	default:
		o.Fault = channels.Away
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
