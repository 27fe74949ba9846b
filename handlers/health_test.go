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

// A check does not end with the request that began it: others get its answer, too.
func TestCheckOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	a := &API{Ready: func(ctx context.Context) []Problem {
		if err := ctx.Err(); err != nil {
			return []Problem{{What: "database", Detail: err.Error()}}
		}
		return nil
	}}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if found := a.problems(gone); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

// TestPagesGetTheLastAnswer: a page starts a new check, and does not wait for it. It waits without an answer, and when the
// last one is too old. What the check finds shows from then on.
func TestPagesGetTheLastAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		checks, answer := 0, make(chan []Problem)
		a := &API{Ready: func(ctx context.Context) []Problem {
			checks++
			select {
			case found := <-answer:
				return found
			case <-ctx.Done():
				return []Problem{{What: "database"}}
			}
		}}
		ask := func(why string, wantChecks int, want string) {
			t.Helper()
			gone, leave := context.WithCancel(t.Context())
			leave() // whoever asked first may go: what was asked is for all
			a.lately(gone)
			synctest.Wait()
			begun, got := time.Now(), ""
			for range 100 {
				got = ""
				for _, p := range a.lately(t.Context()) {
					got += p.What
				}
			}
			synctest.Wait()
			if got != want || time.Since(begun) != 0 || checks != wantChecks {
				t.Errorf("%s: %q after %s, %d checks", why, got, time.Since(begun), checks)
			}
		}
		go func() { answer <- nil }()
		ask("the first", 1, "")
		time.Sleep(readyAgain - 1)
		ask("a young answer", 1, "")
		time.Sleep(time.Nanosecond)
		ask("an older answer, while a check runs", 2, "")
		answer <- []Problem{{What: "redis"}}
		synctest.Wait()
		ask("after the check", 2, "redis")

		time.Sleep(readyAgain)
		ask("while a check runs that does not end", 3, "redis")
		time.Sleep(readyTime)
		synctest.Wait()
		ask("after its time", 4, "database")
		answer <- nil
		time.Sleep(readyKept)
		go func() {
			time.Sleep(readyTime / 2)
			answer <- []Problem{{What: "redis"}}
		}()
		begun := time.Now()
		if found := a.lately(t.Context()); len(found) != 1 || time.Since(begun) != readyTime/2 {
			t.Errorf("an answer that is too old: %v after %s", found, time.Since(begun))
		}
	})
}

// TestAttentionWaitsForNoWriter: the embedded ledger has one connection that writes. While somebody has it, the page gets
// the last answer. A ledger that goes away shows at once all the same.
func TestAttentionWaitsForNoWriter(t *testing.T) {
	t.Parallel()
	s := newServer(t, testkit.Stores{Name: "embedded", DatabaseURL: "sqlite:" + t.TempDir() + "/carillon.db", RedisURL: testkit.EmbeddedRedisURL(t)})
	s.Ready = func(ctx context.Context) []Problem {
		if err := s.Store.TryWrite(ctx); err != nil {
			return []Problem{{What: "database", Detail: err.Error()}}
		}
		return nil
	}
	older := func() { // as if some time had passed
		s.kept.mu.Lock()
		defer s.kept.mu.Unlock()
		s.kept.at = s.kept.at.Add(-2 * readyAgain)
	}
	look := func() []Finding {
		t.Helper()
		found, err := s.Attention(t.Context(), web.Call{}, nothing{})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := look(); len(found) != 0 {
		t.Fatalf("%+v", found)
	}
	older()
	db, _, err := s.Store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	writer, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if found := look(); len(found) != 0 { // who waits for the writer does so in vain
		t.Errorf("%+v", found)
	}
	if err := writer.Rollback(); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the check has ended", testkit.Patience, func() bool {
		s.kept.mu.Lock()
		defer s.kept.mu.Unlock()
		return s.kept.ended == nil
	})
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if found := look(); !databaseAway(found) {
		t.Errorf("%+v", found)
	}
}
