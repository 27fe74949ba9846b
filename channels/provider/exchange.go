package provider

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"carillon/channels"
	"carillon/internal/tracing"
)

// maxSend: a Send begins no request later than this after its own beginning. So the outcomes of a chunk are
// written before its page looks stuck, which is after a minute.
const maxSend = 30 * time.Second

// Client makes requests to one provider. It is safe for concurrent use.
type Client struct {
	timeout   time.Duration
	transport *transport
	limiter   *limiter
}

// New opens no connection. timeout is that of one request, from waiting for a connection to the answer's last byte.
// head is the Head of u; requests to other paths of the same host have heads of their own. The error says that u is no
// address.
func New(u *url.URL, timeout time.Duration) (c *Client, head []byte, err error) {
	t, head, err := newTransport(u)
	if err != nil {
		return nil, nil, err
	}
	return &Client{timeout: timeout, transport: t, limiter: newLimiter()}, head, nil
}

// Close drops the connections that are idle. The client may still be used.
func (c *Client) Close() { c.transport.closeIdle() }

// Exchange is one request and what a channel makes of the answer. Of Answered and Failed one is called, once, and last.
type Exchange interface {
	// Write writes the whole request with one call of w.Write. It is called again for a repeat. traceparent is the
	// value of the request's header of that name; "" = the request has none.
	Write(w io.Writer, begun time.Time, traceparent string) error
	// Read reads the body of an answer, as far as the channel wants it. It is not called where no answer came.
	Read(a Answer)
	// Answered ends an exchange by an answer that is all there; of one that is not a 2xx, the body may have broken off.
	// It is true for an answer that settles the request, and false for one that asks to come again.
	Answered(a Answer) (good bool)
	// Failed ends an exchange that has no such answer; o is the outcome of all its recipients.
	Failed(o channels.Outcome)
}

// Answer is an answer while its connection is there.
type Answer struct{ c *conn }

// Status is that of HTTP.
func (a Answer) Status() int { return a.c.resp.StatusCode() }

// Good is true for a 2xx.
func (a Answer) Good() bool { return is2xx(a.Status()) }

// Header is one of the answer's; "" = none.
func (a Answer) Header(name string) string { return string(a.c.resp.Header.Peek(name)) }

// Body is the answer's body, at most MaxAnswerBytes of it.
func (a Answer) Body() io.Reader { return &a.c.body }

func is2xx(status int) bool { return status >= 200 && status < 300 }

// Send makes n requests, as many at once as bring answers, and returns when all have ended. exchange makes the i-th one;
// over is told of its end, and of the time from its beginning to the end of its answer. over returns true where another
// request follows in the place of the i-th one: then exchange makes that one. mayStart is asked before each request, and
// once more if the request then waited long for its connection; nil = always yes.
//
// When ctx ends, requests not begun are Retry and those under way Ambiguous, unless nothing of them was written. No
// request begins later than 30 s after Send did; the rest is NotTried.
func (c *Client) Send(ctx context.Context, n int, mayStart func() bool, exchange func(i int) Exchange, over func(i int, took time.Duration) (again bool)) {
	f := newFlight(ctx, n, mayStart)
	defer f.close()
	waits, cancel := context.WithTimeout(ctx, maxSend)
	defer cancel()
	c.limiter.forEach(waits, n, func(i int, placed bool) (tried, good, again bool, took time.Duration) {
		r := request{Client: c, flight: f, no: i, Exchange: exchange(i)}
		tried, good, took = r.run(placed)
		return tried, good, over(i, took), took
	})
}

// request is an exchange under way.
type request struct {
	*Client
	*flight
	Exchange
	no   int
	span *tracing.Span
}

// begin begins the request's span, in a Send that is traced.
func (r *request) begin() {
	if !r.traced {
		return
	}
	r.span = tracing.Child(r.ctx, tracing.Client, http.MethodPost)
	r.span.Text("http.request.method", http.MethodPost)
	r.span.Text("server.address", r.transport.host)
}

// fail ends the exchange without an answer.
func (r *request) fail(o channels.Outcome) {
	r.span.Fail(o.ErrMsg)
	r.Failed(o)
}

// answered ends the exchange by an answer.
func (r *request) answered(a Answer) (good bool) {
	status := a.Status()
	r.span.Number("http.response.status_code", status)
	if status >= http.StatusBadRequest {
		r.span.Fail("")
	}
	return r.Answered(a)
}

// run makes the request and ends the exchange. placed says whether it has a place in flight. tried is false when no
// request was begun.
func (r *request) run(placed bool) (tried, good bool, took time.Duration) {
	switch {
	case !r.mayStart(), !placed && r.ctx.Err() == nil:
		r.Failed(channels.Outcome{Result: channels.NotTried})
		return false, false, 0
	case r.ctx.Err() != nil:
		r.Failed(r.faultOutcome(r.ctx, r.ctx.Err(), false))
		return false, false, 0
	}
	r.begin()
	defer r.span.End()
	begun := time.Now()
	c, err := r.transport.get(r.ctx, begun, r.timeout)
	for {
		if err != nil {
			r.fail(r.faultOutcome(r.ctx, err, false))
			return true, false, time.Since(begun)
		}
		// A dial can take as long as a request may, and a pause or the loss of the lease meanwhile must still stop
		// the request.
		if c.fresh() && time.Since(begun) > dialAskAgain && !r.mayStart() {
			r.transport.put(c, time.Now())
			r.fail(channels.Outcome{Result: channels.NotTried})
			return false, false, 0
		}
		good, unread, ended := r.exchange(c, begun)
		if !unread {
			return true, good, ended.Sub(begun)
		}
		// The provider had given up the kept connection before it saw any of the request. A new connection is never
		// said to be unread, so this is the only repeat.
		c, err = r.transport.dial(r.ctx, begun.Add(r.timeout))
	}
}

// exchange writes the request to c and hands over the answer. Afterwards c is idle or closed.
//
//   - good is false when no answer came, or one that asks to come again.
//   - unread is true when it is certain that a kept connection was closed before its other end read any of the request.
//   - ended is when the answer was complete, or given up.
func (r *request) exchange(c *conn, begun time.Time) (good, unread bool, ended time.Time) {
	if !r.track(r.no, c) {
		r.transport.put(c, begun)
		r.fail(r.faultOutcome(r.ctx, r.ctx.Err(), false))
		return false, false, begun
	}
	before, sent := c.writes(), c.sent()
	err := r.Write(c, begun, r.span.Traceparent())
	written := err == nil || c.wroteSince(before)
	var bodyErr error
	if err == nil {
		if err = c.readHead(); err == nil {
			c.beginBody()
			r.Read(Answer{c})
			bodyErr = c.endBody()
		}
	}
	if !c.fresh() {
		unread = r.usedAgain(c, begun, sent, written, err)
	}
	r.untrack(r.no)
	ended = time.Now()
	if err != nil || bodyErr != nil || !c.reusable() {
		_ = c.Close()
	} else {
		defer r.transport.put(c, ended) // its answer is read until then
	}
	switch {
	case unread: // the span goes on with the repeat
		r.Failed(r.faultOutcome(r.ctx, err, written))
	case err != nil:
		r.fail(r.faultOutcome(r.ctx, err, written))
	case bodyErr != nil && is2xx(c.resp.StatusCode()): // the part that is missing may name recipients that were refused
		r.fail(r.faultOutcome(r.ctx, bodyErr, true))
	default:
		return r.answered(Answer{c}), false, ended
	}
	return false, unread, ended
}

// usedAgain records whether a kept connection was still open when its request was written. It returns true when it is
// certain that the connection was closed before its other end read any of the request.
func (r *request) usedAgain(c *conn, begun time.Time, sent int64, written bool, err error) (unread bool) {
	closed := err != nil && (!written || errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE)) // without a byte of an answer
	if c.trial || closed {
		r.transport.recordReuse(c, begun, !closed)
	}
	return closed && r.ctx.Err() == nil && (!written || unreadByPeer(c, sent, err))
}
