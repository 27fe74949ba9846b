package jobs

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/internal/metrics"
	"carillon/internal/testkit"
	"carillon/models"
)

// idle is a ledger and an empty queue, on which nothing runs but the duty that the test calls.
type idle struct {
	*Shared
	t *testing.T
}

func newIdle(t *testing.T, s testkit.Stores) idle {
	t.Helper()
	o, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store := testkit.OpenStore(t, s.DatabaseURL)
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	testkit.FreePageStates(t, db)
	return idle{NewShared(store, NewQueue(rdb), Options{BulkSlots: 4}, log), t}
}

// campaign stores a campaign for an audience. A short list of users is one page, which stands at once.
func (i idle) campaign(a models.Audience) models.Created {
	i.t.Helper()
	c, err := i.store.CreateCampaign(i.t.Context(), models.CampaignSpec{
		Channel: "inbox", Audience: a, Priority: models.PriorityBulk,
		OperationID: "op", CreatedBy: "admin",
		Message: models.Message{SendID: "admin", Content: json.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 1},
	}, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		i.t.Fatal(err)
	}
	return c
}

var twoUsers = models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a", "b"}}

func (i idle) sql(query string, args ...any) {
	i.t.Helper()
	db, _, err := i.store.Writer()
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := db.ExecContext(i.t.Context(), query, args...); err != nil {
		i.t.Fatal(err)
	}
}

// page reads where the campaign's first page stands.
func (i idle) page() (state models.PageState, epoch int, due models.Millis) {
	i.t.Helper()
	db, _, err := i.store.Writer()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := db.QueryRowContext(i.t.Context(), "SELECT state, epoch, due_at FROM pages WHERE no=0").Scan(&state, &epoch, &due); err != nil {
		i.t.Fatal(err)
	}
	return state, epoch, due
}

func (i idle) do(duty func(context.Context) error) {
	i.t.Helper()
	if err := duty(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
}

// queued wants so many tasks in the queue.
func (i idle) queued(want int64) {
	i.t.Helper()
	if n, err := i.queue.waiting(i.t.Context(), models.PriorityBulk); err != nil || n != want {
		i.t.Errorf("%d tasks wait, want %d; %v", n, want, err)
	}
}

// at wants the first page in a state and an epoch.
func (i idle) at(what string, state models.PageState, epoch int) {
	i.t.Helper()
	if s, e, _ := i.page(); s != state || e != epoch {
		i.t.Errorf("%s: the page is in state %d, epoch %d, want %d, %d", what, s, e, state, epoch)
	}
}

func (i idle) requeuer() requeuer { return requeuer{i.store, i.queue, metrics.New(""), i.log} }

// steadyFrom has been in contact for long enough, or for a moment only.
func steadyFrom(long bool) *steadiness {
	now := time.Now()
	s := &steadiness{last: now, since: now, uptime: time.Hour}
	if long {
		s.since = now.Add(-steadyFor)
	}
	return s
}

func TestPromoterQueuesWhatIsDue(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		i.campaign(twoUsers)
		_, epoch, _ := i.page()
		p := promoter{i.requeuer(), i.windows}
		for _, state := range []models.PageState{models.PageWaiting, models.PageNew} {
			now, err := i.store.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i.sql("UPDATE pages SET state=?, due_at=?", int(state), int64(now)+60_000)
			i.do(p.promote)
			i.at("not due", state, epoch)
			i.sql("UPDATE pages SET due_at=?", int64(now)-1)
			i.do(p.promote)
			epoch++
			i.at("due", models.PageQueued, epoch)
		}
		i.queued(2)
	})
}

func TestRescuerTakesOverInSteadyContactOnly(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		i.campaign(twoUsers)
		_, epoch, _ := i.page()
		for _, state := range []models.PageState{models.PageRunning, models.PageParked} {
			i.sql("UPDATE pages SET state=?, due_at=1", int(state))
			i.do(rescuer{i.requeuer(), steadyFrom(false), Options{}.inFlight}.takeOver)
			i.at("no steady contact", state, epoch)
			i.do(rescuer{i.requeuer(), steadyFrom(true), Options{}.inFlight}.takeOver)
			epoch++
			i.at("the lease has ended", models.PageQueued, epoch)
			now, err := i.store.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i.sql("UPDATE pages SET state=?, due_at=?", int(state), int64(now)+60_000)
			i.do(rescuer{i.requeuer(), steadyFrom(true), Options{}.inFlight}.takeOver)
			i.at("the lease lasts", state, epoch)
		}
	})
}

func TestRescuerAsksRedisAboutQueuedPages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.campaign(twoUsers)
		r := rescuer{i.requeuer(), steadyFrom(false), Options{}.inFlight}
		if err := i.queue.Stored(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, epoch, _ := i.page()
		i.sql("UPDATE pages SET due_at=1")
		i.do(r.requeueLost)
		i.at("the task waits", models.PageQueued, epoch)
		if _, _, due := i.page(); due == 1 {
			t.Error("the page whose task waits is asked about all the time")
		}
		if err := i.queue.rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		i.do(r.requeueLost)
		i.at("nobody doubts it yet", models.PageQueued, epoch)
		i.sql("UPDATE pages SET due_at=1")
		i.do(r.requeueLost)
		i.at("the task is gone", models.PageQueued, epoch+1)
		i.queued(1)
	})
}

func TestRescuerResumesPlans(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		if _, err := i.store.UpsertUsers(t.Context(), []models.UserChange{{UserID: "a"}}); err != nil {
			t.Fatal(err)
		}
		i.campaign(models.Audience{Type: models.AudienceAll})
		r := rescuer{i.requeuer(), steadyFrom(false), Options{}.inFlight}
		i.do(r.resumePlans)
		i.queued(0)
		i.sql("UPDATE campaigns SET plan_due=1")
		i.do(r.resumePlans)
		i.queued(1)
	})
}

// A cancelled campaign's page is closed, but not under the nose of a worker whose lease could not be renewed.
func TestFinisherClosesPages(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.campaign(twoUsers)
		i.sql("UPDATE pages SET state=?, due_at=1", int(models.PageRunning))
		i.sql("UPDATE campaigns SET expire_at=1")
		i.do(finisher{i.store, steadyFrom(false), i.log}.finish)
		view, err := i.store.Campaign(t.Context(), c.PublicID)
		if err != nil || view.Status != models.StatusExpired || view.Pending != 2 {
			t.Fatalf("no steady contact: %s %+v, %v", view.Status, view.Counts, err)
		}
		i.do(finisher{i.store, steadyFrom(true), i.log}.finish)
		view, err = i.store.Campaign(t.Context(), c.PublicID)
		if err != nil || view.Counts != (models.Counts{Total: 2, Expired: 2}) || view.FinishedAt == 0 {
			t.Errorf("in steady contact: %+v, %v", view, err)
		}
	})
}

// A window takes half of all the slots, or what the campaign's rate can use.
func TestWindowSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ slots, rate, want int }{
		{1, 0, 2}, {4, 0, 2}, {16, 0, 8}, {64, 0, 32}, {64, 1, 1}, {64, 99, 1}, {64, 100, 2}, {64, 1000, 11}, {4, 100_000, 2},
	} {
		if got := windowSize(c.slots, models.Campaign{RatePerSecond: c.rate}); got != c.want {
			t.Errorf("%d slots, %d/s: %d, want %d", c.slots, c.rate, got, c.want)
		}
	}
}

// Windows are filled up to their size and no further, and a campaign without open pages is finished.
func TestWindowsFillAndFinish(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		i := newIdle(t, s)
		c := i.campaign(twoUsers)
		i.do(i.windows.countSlots)
		if n := i.windows.bulkSlots.Load(); n != 4 {
			t.Errorf("%d slots without any worker, want the process's own 4", n)
		}
		i.sql("UPDATE pages SET state=?, due_at=0", int(models.PageNew))
		i.do(i.windows.fillAll)
		i.queued(1)
		i.do(i.windows.fillAll)
		i.queued(1)
		i.sql("UPDATE pages SET state=?, pos=size, sent=size", int(models.PageDone))
		i.do(i.windows.fillAll)
		if view, err := i.store.Campaign(t.Context(), c.PublicID); err != nil || view.Status != models.StatusCompleted {
			t.Errorf("%s, %v", view.Status, err)
		}
	})
}

// The rate is that of the last five seconds. A retry, which takes outcomes back, begins anew.
func TestProgressRate(t *testing.T) {
	t.Parallel()
	start := time.Now()
	p := &progress{samples: map[int64][]sample{}}
	for sec, tried := range []int64{0, 1000, 1100, 1200, 1300, 1400, 1500, 1600} {
		p.samples[1] = addSample(p.samples[1], sample{start.Add(time.Duration(sec) * time.Second), tried})
		if _, ok := p.rate(1); ok != (sec > 0) {
			t.Errorf("after %d s: known %v", sec, ok)
		}
	}
	if rate, _ := p.rate(1); rate != 100 {
		t.Errorf("%g/s, want 100", rate)
	}
	p.samples[1] = addSample(p.samples[1], sample{start.Add(8 * time.Second), 1550})
	if _, ok := p.rate(1); ok {
		t.Error("a rate from before the retry is known")
	}
}
