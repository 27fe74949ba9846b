package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/handlers/web"
	"carillon/internal/testkit"
)

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		var problems []Problem
		s := newServer(t, stores, func(a *API) { a.Ready = func(context.Context) []Problem { return problems } })
		if status, got := s.do("GET", "/readyz", nil, "token", ""); status != http.StatusOK || string(got.Data) != `{"ready":true}` {
			t.Errorf("ready: %d %s", status, got.Raw)
		}
		problems = []Problem{{What: "database", Detail: "dial tcp db.internal:3306"}, {What: "redis", Detail: "dial tcp redis.internal:6379"}}
		hidden, full := `{"problems":[{"what":"database"},{"what":"redis"}],"ready":false}`,
			`{"problems":[{"what":"database","detail":"dial tcp db.internal:3306"},{"what":"redis","detail":"dial tcp redis.internal:6379"}],"ready":false}`
		for who, tt := range map[string]struct{ token, want string }{
			"anybody": {"", hidden}, "a forger": {s.adminToken() + "x", hidden}, "a user": {s.token("bob"), hidden}, "an admin": {s.adminToken(), full},
		} {
			status, got := s.do("GET", "/readyz", nil, "token", tt.token)
			if status != http.StatusServiceUnavailable || string(got.Data) != tt.want || got.Header.Get("Retry-After") != "5" ||
				got.ErrCode != 3005 || got.ErrDlt != "not ready: database, redis: [3005]Unavailable" {
				t.Errorf("not ready, for %s: %d %s", who, status, got.Raw)
			}
			if status, got := s.do("GET", "/healthz", nil, "token", tt.token); status != http.StatusOK || string(got.Data) != `{"status":"ok"}` {
				t.Errorf("healthz for %s: %d %s", who, status, got.Raw)
			}
		}
		if status, _ := s.do("POST", "/healthz", nil); status != http.StatusMethodNotAllowed {
			t.Errorf("POST /healthz: %d", status)
		}
	})
}

// A probe is answered within 3.5 s whether the check keeps to its context or not.
func TestReadinessIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ready func(context.Context) []Problem
		after time.Duration
		what  string
	}{
		"keeps to its context": {func(ctx context.Context) []Problem { <-ctx.Done(); return []Problem{{What: "redis"}} }, readyTime, "redis"},
		"does not":             {func(context.Context) []Problem { time.Sleep(time.Minute); return nil }, readyTime + readyGrace, "check"},
		"slow":                 {func(context.Context) []Problem { time.Sleep(readyTime / 2); return []Problem{{What: "slow"}} }, readyTime / 2, "slow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &API{Gate: web.Gate{Secret: testSecret, Log: slog.New(slog.DiscardHandler)}, Ready: tt.ready}
				w, start := httptest.NewRecorder(), time.Now()
				a.Public(a.readyz).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
				if took := time.Since(start); took != tt.after || w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"what":"`+tt.what+`"`) {
					t.Errorf("after %s: %d %s", took, w.Code, w.Body)
				}
				time.Sleep(time.Minute) // of the bubble: a bubble ends with its last goroutine
			})
		})
	}
}
