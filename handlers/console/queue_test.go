package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"carillon/handlers"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
)

// task is the payload of the tasks below.
type task struct {
	Campaign int64
	Page     int
}

func readingTasks(a *handlers.API) {
	a.Task = func(payload []byte) (int64, int, error) {
		var t task
		err := json.Unmarshal(payload, &t)
		return t.Campaign, t.Page, err
	}
	a.Shared.Queues = func(context.Context) ([]metrics.Queue, error) {
		return []metrics.Queue{{Class: "bulk", Pending: 1234, Active: 1, Oldest: 125 * time.Second}, {Class: "transactional"}}, nil
	}
}

// TestQueueShowsWhoHoldsWhat: a worker that holds a page stands on the page with the campaign's name.
func TestQueueShowsWhoHoldsWhat(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, readingTasks)
		page := s.get("/queue")
		if page.Status != http.StatusOK || !strings.Contains(page.text("main"), "No worker runs.") {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		if got := page.text("section[aria-labelledby=class-bulk] dl"); got != "Waiting1,234 In work1 Oldest waits for2 min 5 s" {
			t.Errorf("%s", got)
		}
		s.users("u1")
		id := s.campaign(func(b *handlers.CampaignBody) { b.Name = "<script>alert(1)</script>" })
		c, err := s.Store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		release := s.work(task{c.ID, 7}, task{c.ID + 999, 1})
		defer release()
		testkit.Eventually(t, "the worker stands on the page", testkit.Patience, func() bool { return s.get("/queue").Find("tbody tr").Length() == 2 })
		page = s.get("/queue")
		harmless(t, page)
		if got := page.text("tbody"); !strings.Contains(got, "page 7 of <script>alert(1)</script>") || !strings.Contains(got, "a task that no campaign is known of") {
			t.Errorf("%s", got)
		}
		if href := page.Find("tbody a").AttrOr("href", ""); href != "/campaigns/"+id {
			t.Errorf("%s", href)
		}
		if !strings.Contains(page.text("section[aria-labelledby=workers]"), "2 of 2 places are taken, in 1 process.") {
			t.Errorf("%s", page.text("section[aria-labelledby=workers]"))
		}
		if part := s.get("/queue/now"); part.Status != http.StatusOK || part.Find("tbody tr").Length() != 2 || part.Find("nav").Length() != 0 {
			t.Errorf("%d %s", part.Status, part.Raw)
		}
	})
}

// work runs a worker that holds these tasks until release.
func (s *site) work(tasks ...task) (release func()) {
	s.t.Helper()
	held := make(chan struct{})
	server := asynq.NewServer(s.RedisConn, asynq.Config{Concurrency: len(tasks), Queues: map[string]int{"bulk": 1}, LogLevel: asynq.FatalLevel, ShutdownTimeout: time.Second})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { <-held; return nil })); err != nil {
		s.t.Fatal(err)
	}
	client := asynq.NewClient(s.RedisConn)
	defer client.Close()
	for _, one := range tasks {
		raw, err := json.Marshal(one)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := client.Enqueue(asynq.NewTask("page", raw), asynq.Queue("bulk")); err != nil {
			s.t.Fatal(err)
		}
	}
	return func() {
		close(held)
		server.Shutdown()
	}
}

// TestQueueWithoutRedis: the page says so, instead of staying blank.
func TestQueueWithoutRedis(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, func(a *handlers.API) {
			a.Shared.Queues = func(context.Context) ([]metrics.Queue, error) {
				return nil, errors.New("connection refused to redis://:geheim@host")
			}
		})
		page := s.get("/queue")
		if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.text("[role=alert]"), "Redis does not answer") || strings.Contains(page.Raw, "geheim") {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
	})
}

// TestRedisIsGone: with Redis away nobody's session can be read. Each page says that Redis is away; none is blank.
func TestRedisIsGone(t *testing.T) {
	t.Parallel()
	redis := testkit.PrivateRedis(t)
	stores := embeddedStores(t)
	stores.RedisURL = redis.URL()
	s := newSite(t, stores)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/queue", "/monitor/"} {
		page := s.get(path)
		if page.Status != http.StatusServiceUnavailable || page.Find("h1").Length() != 1 || page.text("[role=alert]") == "" {
			t.Errorf("%s: %d %s", path, page.Status, page.Raw)
		}
	}
}

// TestMonitorLeadsBack: the monitor's page has a link to the console, asks no other site, and runs the scripts that it came
// with and no other.
func TestMonitorLeadsBack(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		for _, path := range []string{"/monitor", "/monitor/", "/monitor/queues/%3Cscript%3Ealert(1)%3C%2Fscript%3E"} {
			page := s.get(path)
			policy := page.Header.Get("Content-Security-Policy")
			if page.Status != http.StatusOK || page.Find("body > nav > a[href='/queue']").Text() != "← Carillon" {
				t.Errorf("%s: %d %.300s", path, page.Status, page.Raw)
			}
			scripts := page.Find("script:not([src])").Length()
			if n := strings.Count(policy, "'sha256-"); n == 0 || n != scripts || strings.Contains(policy, "script-src 'self' 'unsafe-inline'") {
				t.Errorf("%s: %d scripts, policy %s", path, scripts, policy)
			}
			if n := page.Find("link[href^='http'], script[src^='http']").Length(); n != 0 || strings.Contains(page.Raw, "alert(1)") {
				t.Errorf("%s: %d links to other sites in %.900s", path, n, page.Raw)
			}
		}
	})
}

// TestMonitorShowsTextsAsTexts: what stands in a task or a queue's name is JSON to the monitor, and never a page.
func TestMonitorShowsTextsAsTexts(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, func(a *handlers.API) { a.Describe = func(p []byte) string { return string(p) } })
		client := asynq.NewClient(s.RedisConn)
		defer client.Close()
		for _, text := range markupTexts[:4] {
			if _, err := client.Enqueue(asynq.NewTask(text, []byte(text)), asynq.Queue(text), asynq.TaskID(text)); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/monitor/api/queues", "/monitor/api/queues/" + url.PathEscape(text) + "/pending_tasks"} {
				got := s.get(path) // where the monitor knows no such path, its own page comes
				media, policy := got.Header.Get("Content-Type"), got.Header.Get("Content-Security-Policy")
				if strings.HasPrefix(media, "text/html") && strings.Contains(got.Raw, "alert(1)") || got.Header.Get("X-Content-Type-Options") != "nosniff" ||
					!strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "script-src 'self' 'unsafe-inline'") {
					t.Errorf("%s: %d %s %s", path, got.Status, media, policy)
				}
			}
		}
	})
}
