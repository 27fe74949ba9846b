package handlers

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hibiken/asynq"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

// enqueue puts tasks into the queue that the monitor looks at.
func (s *server) enqueue(n int) {
	s.t.Helper()
	q := asynq.NewClient(s.RedisConn)
	defer func() { _ = q.Close() }()
	for i := range n {
		if _, err := q.Enqueue(asynq.NewTask("page", []byte("payload")), asynq.Queue("bulk"), asynq.TaskID(fmt.Sprintf("c1:p%d:e1", i))); err != nil {
			s.t.Fatal(err)
		}
	}
}

func describing(a *API) { a.Describe = func(p []byte) string { return "described " + string(p) } }

func TestMonitorShowsTheQueue(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newServer(t, stores, describing)
		t.Cleanup(s.Close)
		s.enqueue(3)
		_, opened := s.logIn(s.adminToken(), "")
		cookie := web.SessionCookie + "=" + session(t, opened).Value
		for path, want := range map[string]string{
			"/monitor":                                              `FLAG_ROOT_PATH="\/monitor"`,
			"/monitor/":                                             `FLAG_READ_ONLY="true"`,
			"/monitor/queues/bulk":                                  `<div id="root">`,
			"/monitor/api/queues":                                   `"queue":"bulk"`,
			"/monitor/api/queues/bulk":                              `"pending":3`,
			"/monitor/api/servers":                                  `"servers":[]`,
			"/monitor/api/redis_info":                               `"address"`,
			"/monitor/static/js/main.5adda2da.chunk.js":             "webpackJsonp",
			"/monitor/static/media/logo-color.c2b0c1f3.svg":         "<svg",
			"/monitor/api/queues/bulk/pending_tasks":                "described payload",
			"/monitor/api/queues/bulk/tasks/c1:p0:e1":               "described payload",
			"/monitor/api/queues/bulk/tasks/c1%3Ap0%3Ae1":           "described payload",
			"/monitor/api/queues/bulk/pending_tasks?page=1&size=20": "c1:p2:e1",
		} {
			status, got := s.do(http.MethodGet, path, nil, "token", "", "Cookie", cookie)
			if status != http.StatusOK || !strings.Contains(string(got.Raw), want) {
				t.Errorf("%s: %d, no %s in %.300s", path, status, want, got.Raw)
			}
			if strings.HasSuffix(path, ".js") && !strings.Contains(got.Header.Get("Content-Type"), "javascript") {
				t.Errorf("%s is %s", path, got.Header.Get("Content-Type"))
			}
			policy := got.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "script-src 'self' 'unsafe-inline'") || !strings.Contains(policy, "frame-ancestors 'none'") {
				t.Errorf("%s: policy %q", path, policy)
			}
		}
	})
}

func TestMonitorIsForAdminsToLookAt(t *testing.T) {
	t.Parallel()
	s := newServer(t, embedded(t))
	t.Cleanup(s.Close)
	s.users("bob")
	s.enqueue(1)
	for _, path := range []string{"/monitor", "/monitor/", "/monitor/api/queues", "/monitor/static/js/main.5adda2da.chunk.js"} {
		for _, token := range []string{"", "wrong", s.token("bob")} {
			status, got := s.do(http.MethodGet, path, nil, "token", token)
			if to := got.Header.Get("Location"); status != http.StatusSeeOther || !strings.HasPrefix(to, "/login?next=%2Fmonitor") {
				t.Errorf("%s with %.10q: %d to %q", path, token, status, to)
			}
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"/monitor", "/monitor/", "/monitor/api/queues/bulk", "/monitor/api/queues/bulk:pause", "/monitor/api/queues/bulk/pending_tasks/c1:p0:e1"} {
			if status, got := s.do(method, path, nil); status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d %s", method, path, status, got.Raw)
			}
		}
	}
	if _, got := s.do(http.MethodGet, "/monitor/api/queues/bulk", nil); !strings.Contains(string(got.Raw), `"pending":1`) || !strings.Contains(string(got.Raw), `"paused":false`) {
		t.Errorf("%s", got.Raw)
	}
}

func TestMonitorWithoutRedisIsAnError(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	stores := embedded(t)
	stores.RedisURL = redis.URL()
	s := newServer(t, stores)
	t.Cleanup(s.Close)
	s.enqueue(1)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	var asked sync.WaitGroup // together: each answer takes as long as the client's tries to connect
	for _, path := range []string{"queues", "queues/bulk", "queues/bulk/pending_tasks", "queues/bulk/tasks/c1:p0:e1", "queue_stats", "servers", "scheduler_entries", "redis_info"} {
		asked.Go(func() {
			if status, got := s.do(http.MethodGet, "/monitor/api/"+path, nil); status != http.StatusInternalServerError || got.ErrCode != 0 {
				t.Errorf("%s: %d %s", path, status, got.Raw)
			}
		})
	}
	asked.Wait()
	if status, got := s.do(http.MethodGet, "/monitor/", nil); status != http.StatusServiceUnavailable {
		t.Errorf("the page itself: %d %s", status, got.Raw)
	}
}
