package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"carillon/models"
)

// steadyWriter gives each piece of an answer its time. A client that stopped reading holds its answer no longer.
type steadyWriter struct {
	http.ResponseWriter
	ctl   *http.ResponseController
	limit time.Duration
}

func (w *steadyWriter) Write(p []byte) (n int, err error) {
	for {
		piece := p[n:min(len(p), n+writePiece)]
		w.extend()
		m, err := w.ResponseWriter.Write(piece)
		if n += m; err != nil || n >= len(p) {
			return n, err
		}
	}
}

// extend lets what is written next take its time from now.
func (w *steadyWriter) extend() {
	_ = w.ctl.SetWriteDeadline(time.Now().Add(w.limit)) // not supported by a test's recorder, which needs none
}

// Unwrap is for http.ResponseController.
func (w *steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// timely gives a handler's reads and writes their times, and its change of the ledger one. What the handler leaves
// unread of a body is read by the server and the connection, so that its time is set here too.
func (g *Gate) timely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &steadyWriter{ResponseWriter: w, ctl: http.NewResponseController(w), limit: writeTime}
		ctx, p, end := g.patient(r)
		defer end()
		r = r.WithContext(ctx) // a copy: the server goes on with its own body
		body := &trackedBody{ReadCloser: r.Body, patience: p, ended: r.ContentLength == 0}
		if !body.ended {
			r.Body = body
			_ = sw.ctl.SetReadDeadline(time.Now().Add(bodyStart)) // ends with the body
		}
		next.ServeHTTP(sw, r)
		if r.ContentLength != 0 {
			_ = sw.ctl.SetReadDeadline(time.Now().Add(time.Second)) // the answer does not wait for the rest
		}
		if c, ok := ctx.Value(ctxConn).(*conn); ok && !body.ended {
			c.unread.Store(true)
		}
		sw.extend() // for what is still in the server's buffers
	})
}

// WritesWithin gives an answer's pieces another time than usual.
func WritesWithin(w http.ResponseWriter, limit time.Duration) {
	if sw, ok := w.(*steadyWriter); ok {
		sw.limit = limit
	}
}

// timedBody is a body that must keep a rate: start, and then a second for each rate bytes, at most limit
// altogether (0 = no limit). Only the time that is spent waiting for the body counts.
type timedBody struct {
	body         io.Reader
	ctl          *http.ResponseController
	start, limit time.Duration
	rate         int64
	waited       time.Duration
	got          int64
}

func (b *timedBody) Read(p []byte) (int, error) {
	allowed := b.start + time.Duration(b.got*int64(time.Second)/b.rate)
	if b.limit > 0 {
		allowed = min(allowed, b.limit)
	}
	left := allowed - b.waited
	if b.limit == 0 {
		left = min(left, b.start) // however much it was ahead, it may not stop
	}
	began := time.Now()
	_ = b.ctl.SetReadDeadline(began.Add(max(left, time.Millisecond)))
	n, err := b.body.Read(p)
	// The handler may now be busy for longer, and the server reads on behind the body to learn of a client that goes.
	_ = b.ctl.SetReadDeadline(time.Time{})
	b.waited += time.Since(began)
	b.got += int64(n)
	return n, err
}

// LongRate is how fast a LongBody must come, in bytes per second.
const LongRate = 1 << 10

// LongBody is a body of any size. It must keep LongRate, and may never stop for longer than most.
func (in *In) LongBody() (body io.Reader, most time.Duration) {
	most = cmp.Or(in.gate.BodyTime, bodyTime)
	return &timedBody{body: in.R.Body, ctl: http.NewResponseController(in.W), start: most, rate: LongRate}, most
}

// readBody reads a whole body of at most limit bytes that arrives in time. What is beyond its first FreeBytes is
// read on the budget's account.
func (g *Gate) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := RefuseEncoding(r); err != nil {
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	whole := g.BodyTime
	if whole == 0 {
		whole = bodyTime
	}
	timed := &timedBody{body: r.Body, ctl: http.NewResponseController(w), start: min(bodyStart, whole), limit: whole, rate: bodyRate}
	from := http.MaxBytesReader(w, io.NopCloser(timed), limit)
	body, err := io.ReadAll(io.LimitReader(from, FreeBytes))
	if err == nil && len(body) == FreeBytes && r.ContentLength != FreeBytes {
		expected := r.ContentLength
		if expected < 0 {
			expected = limit
		}
		if err := g.Spend(r.Context(), cost(expected)); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, max(r.ContentLength, 2*FreeBytes)+1), body...)
		body, err = readRest(body, from)
	}
	if err != nil {
		return nil, bodyFault(err, limit, whole)
	}
	return body, nil
}

// readRest appends what is still to come; unlike io.ReadAll it begins with a buffer of the right size.
func readRest(body []byte, from io.Reader) ([]byte, error) {
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func bodyTooLarge(limit int64) error {
	return models.Errorf(models.CodeTooLarge, "the body is larger than %d bytes", limit)
}

func bodyFault(err error, limit int64, whole time.Duration) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return bodyTooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &HTTPError{http.StatusRequestTimeout, models.Errorf(models.CodeArgs, "%s", bodyTooSlow(whole))}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &HTTPError{http.StatusBadRequest, models.Errorf(models.CodeArgs, "the body was cut short")}
	}
	return &HTTPError{http.StatusBadRequest, &models.Error{Code: models.CodeArgs, Detail: "the body could not be read", Cause: err}}
}

func bodyTooSlow(whole time.Duration) string {
	return fmt.Sprintf("the body did not arrive in time: %s for its begin, then %d KiB each second, %s altogether", min(bodyStart, whole), bodyRate>>10, whole)
}

func (g *Gate) memory() int64 {
	if g.Memory > 0 {
		return int64(g.Memory) << 20
	}
	return defaultMemory << 20
}

// TakeMemory takes n bytes of the budget until give is called, or fails with 3005.
func (g *Gate) TakeMemory(ctx context.Context, n int64) (give func(), err error) {
	return g.budget.take(ctx, g.memory(), n)
}

// Spend takes n bytes of the budget for the rest of the request.
func (g *Gate) Spend(ctx context.Context, n int64) error {
	give, err := g.TakeMemory(ctx, n)
	if err != nil {
		return err
	}
	if c, ok := ctx.Value(ctxCharge).(*charge); ok {
		c.give = append(c.give, give)
	} else {
		give() // outside of a request there is nothing to hold it for
	}
	return nil
}

// Refund gives back early what the request has taken: it has only to wait from here on.
func Refund(ctx context.Context) {
	if c, ok := ctx.Value(ctxCharge).(*charge); ok {
		c.release()
	}
}

// patient gives the context of a request that changes something a patience with the database. What only reads may
// stream for long.
func (g *Gate) patient(r *http.Request) (ctx context.Context, p *impatience, end func()) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.Context(), nil, func() {}
	}
	limit := g.Patience
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
