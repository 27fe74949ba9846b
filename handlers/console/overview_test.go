package console_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/handlers"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
	"carillon/models"
)

func TestOverviewWithNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		page := newSite(t, stores).get("/")
		if page.Status != http.StatusOK || !strings.Contains(page.text("#now"), "Nothing needs your attention.") || !strings.Contains(page.text("#now"), "No campaign runs now.") {
			t.Errorf("%d %s", page.Status, page.text("main"))
		}
		for _, thing := range []string{"ok Database answers", "ok Redis answers", "ok Channel inbox goes"} {
			if !strings.Contains(page.text("section[aria-labelledby=health]"), thing) {
				t.Errorf("no %q in %s", thing, page.text("#now"))
			}
		}
		if got := page.text("#sends"); !strings.Contains(got, "No message was sent") {
			t.Errorf("%s", got)
		}
	})
}

// TestOverviewShowsWhatRunsAndWhatIsDue: with names, and with what holds a campaign back.
func TestOverviewShowsWhatRunsAndWhatIsDue(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores, func(a *handlers.API) {
			a.Pace = func(_ context.Context, c models.CampaignView) models.Pace {
				if c.Status != models.StatusRunning {
					return models.Pace{}
				}
				return models.Pace{Known: true, PerSecond: 7.34, ETAKnown: true, ETA: 95 * time.Second, LimitedBy: models.LimitedByCampaignRate, Why: "its own rate of 7/s is used up"}
			}
		})
		s.users("u1", "u2")
		id := s.campaign(func(b *handlers.CampaignBody) { b.Name = "<b>bold</b>" })
		at := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
		later := s.campaign(func(b *handlers.CampaignBody) { b.Name, b.SendAt = "later", &at })
		page := s.get("/")
		run := page.Find("article.run")
		if run.Length() != 1 || run.Find("h3 a").AttrOr("href", "") != "/campaigns/"+id || run.Find("h3").Text() != "<b>bold</b>" {
			t.Fatalf("%s", page.text("main"))
		}
		for _, words := range []string{"0 % of 2", "7.3 a second", "done in about 1 min 35 s", "Its own rate of 7/s is used up."} {
			if !strings.Contains(page.text("article.run"), words) {
				t.Errorf("no %q in %s", words, page.text("article.run"))
			}
		}
		due := page.Find("section[aria-labelledby=due] li")
		if due.Length() != 1 || due.Find("a").AttrOr("href", "") != "/campaigns/"+later || due.Find("time").AttrOr("datetime", "") != at {
			t.Errorf("%s", page.text("section[aria-labelledby=due]"))
		}
		part := s.get("/overview/now")
		if part.Status != http.StatusOK || part.Find("html > head > title, nav").Length() != 0 || part.Find("article.run").Length() != 1 {
			t.Errorf("%d %s", part.Status, part.Raw)
		}
	})
}

// TestOverviewFindsWhatNeedsAttention: each finding is a sentence with a link and with what to do.
func TestOverviewFindsWhatNeedsAttention(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		var stalled atomic.Int64
		s := newSite(t, stores, func(a *handlers.API) {
			a.Shared = metrics.Sources{
				Stalled: func(context.Context) (metrics.Stalled, error) {
					return metrics.Stalled{Campaign: stalled.Load(), For: 5 * time.Minute}, nil
				},
				Queues: func(context.Context) ([]metrics.Queue, error) {
					return []metrics.Queue{{Class: "bulk", Pending: 3, Oldest: 3 * time.Minute}, {Class: "transactional", Pending: 1, Oldest: time.Second}}, nil
				},
				Providers: func(context.Context) ([]metrics.Provider, error) {
					return []metrics.Provider{{Channel: "inbox", Open: true}}, nil
				},
			}
		})
		s.users("u1")
		id := s.campaign(nil)
		c, err := s.Store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if paused, _, err := s.Store.Guard(t.Context(), c.ID, models.Trip{Kinds: models.FailureKinds{{ErrCode: 80000}}, Reason: "too many failed: <i>20</i> of 20"}); err != nil || !paused {
			t.Fatal(paused, err)
		}
		other, err := s.Store.Campaign(t.Context(), s.campaign(func(b *handlers.CampaignBody) { b.Name = "autumn" }))
		if err != nil {
			t.Fatal(err)
		}
		stalled.Store(other.ID)
		missed := "01J9ZQ4X000000000000000000"
		for _, e := range []models.Event{{Kind: models.EventScheduleMissed, ScheduleID: missed}, {Kind: models.EventScheduleMissed, ScheduleID: missed}, {Kind: models.EventCampaignFailed, CampaignID: id, Reason: "refused"}} {
			if err := s.Store.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		page := s.get("/")
		got := page.text(".findings")
		for _, words := range []string{
			"campaign spring paused itself: too many failed: <i>20</i> of 20. Look at its failures",
			"campaign autumn has sent to nobody for 5 minutes, though recipients wait.",
			"The oldest bulk task has waited for 3 minutes.",
			"channel inbox is stopped",
			"schedule " + missed + " missed a slot",
			"campaign spring failed as a whole: refused",
		} {
			if !strings.Contains(got, words) {
				t.Errorf("no %q in %s", words, got)
			}
		}
		if n := page.Find(".findings li").Length(); n != 6 {
			t.Errorf("%d findings: %s", n, got)
		}
		for _, href := range []string{"/campaigns/" + id, "/campaigns/" + other.PublicID, "/queue", "/settings#channels", "/schedules/" + missed} {
			if page.Find(".findings a[href='"+href+"']").Length() == 0 {
				t.Errorf("no finding leads to %s", href)
			}
		}
		if !strings.Contains(page.text("section[aria-labelledby=health]"), "away Channel inbox its provider does not answer") {
			t.Errorf("%s", page.text("section[aria-labelledby=health]"))
		}
	})
}

// TestOverviewWithoutStores: the page stands, and says what is away.
func TestOverviewWithoutStores(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		away := models.Errorf(models.CodeUnavailable, "connection refused")
		s := newSite(t, stores, func(a *handlers.API) {
			a.Ready = func(context.Context) []handlers.Problem {
				return []handlers.Problem{{What: "database", Detail: away.Error()}, {What: "redis", Detail: away.Error()}}
			}
		})
		if err := s.Store.Close(); err != nil {
			t.Fatal(err)
		}
		page := s.get("/")
		for _, words := range []string{"The database cannot be written: ", "Redis cannot be written: ", "is not known while the database is away", "away Database", "away Redis"} {
			if page.Status != http.StatusOK || !strings.Contains(page.text("#now"), words) {
				t.Errorf("%d: no %q in %s", page.Status, words, page.text("main"))
			}
		}
		for _, path := range []string{"/pause", "/campaigns", "/schedules", "/users", "/users/u1", "/groups", "/events", "/search?q=a", "/try?user=u1"} {
			page := s.get(path)
			if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.text("main [role=alert]"), "The database does not answer") || page.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %s", path, page.Status, page.text("main"))
			}
			if page.Find("h1").Length() != 1 || page.Find("main form").Length() != 0 {
				t.Errorf("%s: %s", path, page.text("main"))
			}
		}
	})
}

// TestPartsWithoutASession: a part of a page that is asked for after the session's end makes the whole page come anew. An error
// takes the part's place alone.
func TestPartsWithoutASession(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	ask := func(browser *http.Client, path string) seen {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("HX-Request", "true")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return s.read(res, path)
	}
	for _, path := range []string{"/overview/now", "/queue/now"} {
		if part := ask(s.newBrowser(), path); part.Status != http.StatusNoContent || part.Header.Get("HX-Refresh") != "true" || part.Raw != "" {
			t.Errorf("%s: %d %s", path, part.Status, part.Raw)
		}
	}
	if part := ask(s.browser, "/campaigns/none"); part.Status != http.StatusNotFound || part.Find("nav, title").Length() != 0 || !strings.Contains(part.text(".note"), "There is no such campaign.") {
		t.Errorf("%d %s", part.Status, part.Raw)
	}
}

// TestManyLookAtOneReading: however many look at the overview, the process reads once a second.
func TestManyLookAtOneReading(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	hold := make(chan struct{})
	s := newSite(t, embeddedStores(t), func(a *handlers.API) {
		a.Ready = func(context.Context) []handlers.Problem {
			reads.Add(1)
			<-hold
			return nil
		}
	})
	began := time.Now()
	var looking, asked sync.WaitGroup
	for range 100 {
		asked.Add(1)
		looking.Go(func() {
			asked.Done()
			res := s.send(s.browser, http.MethodGet, "/overview/now", nil)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("%d", res.StatusCode)
			}
		})
	}
	asked.Wait()
	testkit.Eventually(t, "one of them reads", testkit.Patience, func() bool { return reads.Load() == 1 })
	close(hold)
	looking.Wait()
	if most := 1 + int64(time.Since(began)/time.Second); reads.Load() > most {
		t.Errorf("100 looks made %d readings, and %d seconds have passed", reads.Load(), most-1)
	}
}

// TestPauseEverything: the question says how many, the answer pauses them, and they can be resumed as one.
func TestPauseEverything(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		s := newSite(t, stores)
		if page := s.get("/pause"); page.Find("main form").Length() != 0 || !strings.Contains(page.text("main"), "No campaign runs") {
			t.Errorf("%s", page.text("main"))
		}
		s.users("u1")
		first, second := s.campaign(nil), s.campaign(nil)
		page := s.get("/pause")
		if got := page.text("form[action='/pause/campaigns'] button"); got != "Pause 2 campaigns now" {
			t.Fatalf("%q", got)
		}
		for range 2 { // sent twice, it acts once
			if done := s.post("/pause/campaigns", url.Values{}); done.Status != http.StatusSeeOther || done.Header.Get("Location") != "/pause?done=allPaused" {
				t.Fatalf("%d %s", done.Status, done.Header.Get("Location"))
			}
		}
		for _, id := range []string{first, second} {
			if c, err := s.Store.Campaign(t.Context(), id); err != nil || c.Status != models.StatusPaused {
				t.Errorf("%v %s", err, c.Status)
			}
		}
		page = s.get("/pause?done=allPaused")
		if !strings.Contains(page.text(".note.good"), "All campaigns are paused") || page.text("form[action='/resume/campaigns'] button") != "Resume 2 campaigns" {
			t.Errorf("%s", page.text("main"))
		}
		testkit.Eventually(t, "the overview says so", testkit.Patience, func() bool {
			return strings.Contains(s.get("/").text(".findings"), "2 campaigns and 0 schedules still are")
		})
		if done := s.post("/resume/campaigns", url.Values{}); done.Status != http.StatusSeeOther {
			t.Fatal(done.Status)
		}
		if c, err := s.Store.Campaign(t.Context(), first); err != nil || c.Status == models.StatusPaused {
			t.Errorf("%v %s", err, c.Status)
		}
		if done := s.post("/pause/schedules", url.Values{}); done.Status != http.StatusSeeOther {
			t.Error(done.Status)
		}
		if done := s.post("/resume/schedules", url.Values{}); done.Status != http.StatusSeeOther {
			t.Error(done.Status)
		}
	})
}

// TestPagesWaitForNoWriter: the embedded ledger has one connection that writes. While a worker has it, pages are read all the
// same.
func TestPagesWaitForNoWriter(t *testing.T) {
	t.Parallel()
	s := newSite(t, embeddedStores(t))
	s.users("anna")
	campaign := s.campaign(nil)
	db, _, err := s.Store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	writes, ends := context.WithTimeout(t.Context(), testkit.Patience)
	defer ends()
	if _, err := db.BeginTx(writes, nil); err != nil { // it ends with the context
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/overview/now", "/overview/chart", "/pause", "/queue", "/queue/now", "/events", "/try", "/try?user=anna", "/settings", "/search?q=spring",
		"/campaigns", "/campaigns/new", "/campaigns/" + campaign, "/campaigns/" + campaign + "/report", "/campaigns/" + campaign + "/recipients", "/campaigns/" + campaign + "/failures",
		"/campaigns/" + campaign + "/verify", "/schedules", "/schedules/calendar", "/schedules/new", "/users", "/users/anna", "/import", "/import/now", "/groups", "/new-group"} {
		if page := s.get(path); page.Status != http.StatusOK || writes.Err() != nil {
			t.Fatalf("%s waits: %d, %v", path, page.Status, writes.Err())
		}
	}
}
