package handlers

import (
	"strings"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
)

// monitorPolicy allows what the monitor's page needs: the inline scripts with these sums, and inline styles. An
// operator's browser asks no server but ours.
func monitorPolicy(sums []string) string {
	return "default-src 'self'; script-src " + strings.Join(append([]string{"'self'"}, sums...), " ") + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// monitor is the queue's web monitor. It connects to Redis with the first request.
type monitor struct {
	mu     sync.Mutex
	page   *asynqmon.HTTPHandler
	closed bool
}

// open connects with the first request. It returns nil when the process is closing.
func (m *monitor) open(conn asynq.RedisConnOpt, root string, describe func(payload []byte) string) *asynqmon.HTTPHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.page == nil && !m.closed {
		m.page = asynqmon.New(asynqmon.Options{
			RootPath: root, RedisConnOpt: conn, ReadOnly: true,
			PayloadFormatter: asynqmon.PayloadFormatterFunc(func(_ string, payload []byte) string { return describe(payload) }),
			ResultFormatter:  asynqmon.ResultFormatterFunc(func(string, []byte) string { return "" }), // our tasks have no result
		})
	}
	return m.page
}

// close ends the connections. Later requests get 503.
func (m *monitor) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.page != nil {
		_ = m.page.Close()
		m.page = nil
	}
	m.closed = true
}
