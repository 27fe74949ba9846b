package web

import (
	"net/http"
	"strings"
	"time"
)

// Counter is told of each request when its answer has been written. A stream's time says nothing.
type Counter func(route, method string, code int, took time.Duration, stream bool)

// coded notes the status of an answer.
type coded struct {
	http.ResponseWriter
	code int
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

// counted serves a request of a route and tells the Gate's Counter of it. A handler that panics is an
// answer of 500.
func (g *Gate) counted(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
	if g.Count == nil {
		serve(w)
		return
	}
	began, answer := time.Now(), &coded{ResponseWriter: w}
	ended := false
	defer func() {
		code := answer.code
		switch {
		case code == 0 && ended:
			code = http.StatusOK
		case code == 0:
			code = http.StatusInternalServerError
		}
		stream := strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream")
		g.Count(routeName(r), methodName(r.Method), code, time.Since(began), stream)
	}()
	serve(answer)
	ended = true
}

// methodName is one of a few names, whatever a caller sends.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
