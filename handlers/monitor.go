package handlers

import (
	"net/http"
	"strings"
	"sync"

	"github.com/hibiken/asynqmon"
)

// monitorPolicy allows what the monitor's page is made of: one script inside it, and inline styles. Its fonts
// are on another site and stay there: an operator's browser asks nobody but us.
const monitorPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// monitor is the queue's web monitor. It connects to Redis with the first request.
type monitor struct {
	mu     sync.Mutex
	page   *asynqmon.HTTPHandler
	closed bool
}

// monitorPage serves asynq's monitor at /monitor, to look at only: campaigns are controlled through the API, and
// a task that somebody deleted here would be enqueued again anyway.
func (a *API) monitorPage() http.Handler {
	refused := a.public(func(w http.ResponseWriter, r *http.Request) error {
		return notAllowed(w, r, []string{http.MethodGet, http.MethodHead})
	})
	closing := a.public(func(http.ResponseWriter, *http.Request) error { return errClosing })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", monitorPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		if !strings.HasPrefix(r.URL.Path, "/monitor/api/") { // the page's own files may be kept, and are asked for again
			h.Set("Cache-Control", "private, no-cache")
		}
		page := a.monitor.open(a)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			refused.ServeHTTP(w, r)
		case page == nil:
			closing.ServeHTTP(w, r)
		default:
			get := *r
			get.Method = http.MethodGet // the monitor knows no HEAD, and the server leaves the body out
			page.ServeHTTP(w, &get)
		}
	})
}

func (m *monitor) open(a *API) *asynqmon.HTTPHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.page == nil && !m.closed {
		describe := func(_ string, payload []byte) string { return a.Describe(payload) }
		m.page = asynqmon.New(asynqmon.Options{
			RootPath: "/monitor", RedisConnOpt: a.RedisConn, ReadOnly: true,
			PayloadFormatter: asynqmon.PayloadFormatterFunc(describe),
			ResultFormatter:  asynqmon.ResultFormatterFunc(func(string, []byte) string { return "" }), // our tasks have none
		})
	}
	return m.page
}

// close ends the connections; what is asked for later gets 503.
func (m *monitor) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.page != nil {
		_ = m.page.Close()
		m.page = nil
	}
	m.closed = true
}
