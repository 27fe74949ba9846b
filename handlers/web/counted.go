package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"carillon/models"
)

// Counter is told of each request when its answer has been written. A stream's time says nothing.
type Counter func(route, method string, code int, took time.Duration, stream bool)

// Tracer begins the trace of a request, or goes on with the caller's. The context that comes back
// is the request's from then on. end is called when the answer has been written.
type Tracer func(r *http.Request, route, method string) (ctx context.Context, end func(operationID string, code int))

// coded notes how a request was answered.
type coded struct {
	http.ResponseWriter
	code        int
	operationID string
	end         *ending // nil = no error
}

// ending is how the log tells of a request that ended with an error.
type ending struct {
	level   slog.Level
	words   string
	errCode models.Code
	err     error // nil = the code says all
}

// Unwrap lets http.ResponseController reach the connection.
func (w *coded) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *coded) WriteHeader(code int) {
	if w.code == 0 && code >= http.StatusOK {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *coded) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// counted serves a request of a route, tells the Gate's Counter of it and logs it. A handler that
// panics is an answer of 500.
func (g *Gate) counted(w http.ResponseWriter, r *http.Request, serve func(*coded, *http.Request)) {
	began, answer := time.Now(), &coded{ResponseWriter: w}
	ended, endTrace := false, func(string, int) {}
	if g.Trace != nil {
		var ctx context.Context
		ctx, endTrace = g.Trace(r, routeName(r), methodName(r.Method))
		r = r.WithContext(ctx)
	}
	defer func() {
		if answer.code == 0 {
			answer.code = http.StatusInternalServerError
			if ended {
				answer.code = http.StatusOK
			}
		}
		took := time.Since(began)
		if g.Count != nil {
			stream := strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream")
			g.Count(routeName(r), methodName(r.Method), answer.code, took, stream)
		}
		endTrace(answer.operationID, answer.code)
		g.tell(answer, r, took)
	}()
	serve(answer, r)
	ended = true
}

// tell writes the one line of the log that a request has. The line holds nothing personal: no user,
// and of the path its pattern alone.
func (g *Gate) tell(answer *coded, r *http.Request, took time.Duration) {
	end := answer.end
	switch {
	case end != nil:
	case answer.code >= http.StatusBadRequest:
		end = &ending{level: slog.LevelInfo, words: "a request was not served"}
	default:
		end = &ending{level: slog.LevelDebug, words: "a request was served"}
	}
	if !g.Log.Enabled(r.Context(), end.level) {
		return
	}
	fields := []slog.Attr{
		slog.String("operationID", answer.operationID), slog.String("method", methodName(r.Method)), slog.String("route", routeName(r)),
		slog.Int("errCode", int(end.errCode)), slog.Int("status", answer.code), slog.Duration("took", took),
	}
	if end.err != nil {
		fields = append(fields, slog.Any("err", end.err))
	}
	g.Log.LogAttrs(r.Context(), end.level, end.words, fields...)
}

// methodName is one of a few names, whatever a caller sends.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
