package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"carillon/models"
)

// Every phase of a request has its time. The header's is the server's own (ReadHeaderTimeout).
const (
	// bodyTime is for a body as a whole, but for an import: that may take as long as it keeps its rate.
	bodyTime = 30 * time.Second
	// bodyStart is for the first bytes of a body; then it must come at bodyRate or faster.
	bodyStart  = 10 * time.Second
	bodyRate   = 256 << 10 // bytes per second
	importRate = 1 << 10
	// A client must take writePiece bytes within writeTime, else it is dropped. Exports and streams have their own.
	writePiece = 64 << 10
	writeTime  = 10 * time.Second
	exportTime = 30 * time.Second
	streamTime = 5 * time.Second
)

// Body limits by purpose.
const (
	loginBody   = 8 << 10  // a secret or a token
	controlBody = 64 << 10 // names, times and short lists
	listBody    = 16 << 20 // 100,000 IDs, or 1,000 users with all their texts
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
func (a *API) timely(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &steadyWriter{ResponseWriter: w, ctl: http.NewResponseController(w), limit: writeTime}
		ctx, p, end := a.patient(r)
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

// writesWithin gives an answer's pieces another time than usual.
func writesWithin(w http.ResponseWriter, limit time.Duration) {
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

// readBody reads a whole body of at most limit bytes that arrives in time. What is beyond its first freeBytes is
// read on the budget's account.
func (a *API) readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := refuseEncoding(r); err != nil {
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	whole := a.BodyTime
	if whole == 0 {
		whole = bodyTime
	}
	timed := &timedBody{body: r.Body, ctl: http.NewResponseController(w), start: min(bodyStart, whole), limit: whole, rate: bodyRate}
	from := http.MaxBytesReader(w, io.NopCloser(timed), limit)
	body, err := io.ReadAll(io.LimitReader(from, freeBytes))
	if err == nil && len(body) == freeBytes && r.ContentLength != freeBytes {
		expected := r.ContentLength
		if expected < 0 {
			expected = limit
		}
		if err := a.spend(r.Context(), cost(expected)); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, max(r.ContentLength, 2*freeBytes)+1), body...)
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
		return &httpError{http.StatusRequestTimeout, models.Errorf(models.CodeArgs, "%s", bodyTooSlow(whole))}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &httpError{http.StatusBadRequest, models.Errorf(models.CodeArgs, "the body was cut short")}
	}
	return &httpError{http.StatusBadRequest, &models.Error{Code: models.CodeArgs, Detail: "the body could not be read", Cause: err}}
}

func bodyTooSlow(whole time.Duration) string {
	return fmt.Sprintf("the body did not arrive in time: %s for its begin, then %d KiB each second, %s altogether", min(bodyStart, whole), bodyRate>>10, whole)
}
