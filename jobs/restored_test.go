package jobs_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

var backedUp = []string{"campaigns", "pages", "page_members", "recipients", "schedules", "occurrences", "ledger_mark"}

// backUp makes a backup of the ledger, which restore brings back.
func (r *rig) backUp() {
	r.t.Helper()
	for _, table := range backedUp {
		r.sql("CREATE TABLE old_" + table + " AS SELECT * FROM " + table)
	}
}

func (r *rig) restore() {
	r.t.Helper()
	for _, table := range backedUp {
		r.sql("DELETE FROM " + table)
		r.sql("INSERT INTO " + table + " SELECT * FROM old_" + table)
	}
}

func quietly(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// known is how far Redis knows the ledger to be.
func (r *rig) known() models.Millis {
	n, _ := r.rdb.Get(r.t.Context(), "carillon:ledger").Int64()
	return models.Millis(n)
}

// Of a ledger that was restored from last night nobody is sent anything, whoever of two processes comes first, until an operator
// says so.
func TestRestoredLedgerIsHeld(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := &sendLog{seen: map[string]int{}}
		opts := jobs.Options{ChunkSize: 10, Channels: []channels.Channel{ch}}
		r := newRig(t, s, opts)
		r.users(150)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 100
		id := r.post(sp)
		testkit.Eventually(t, "under way", testkit.Patience, func() bool { return r.view(id).Sent >= 20 })
		r.stop()
		r.backUp()
		r.sql("UPDATE old_ledger_mark SET mark=mark-86400000")
		r = r.with(opts)
		testkit.Eventually(t, "further", testkit.Patience, func() bool { return r.view(id).Sent >= 60 })
		r.stop()
		before := ch.total()
		r.restore()

		r = r.with(opts)
		r.with(opts)
		// A start whose comparison runs out of time compares again before it sends.
		if c := r.until(id, "held", func(c models.CampaignView) bool { return c.Status != models.StatusRunning }); c.Status != models.StatusPaused || c.StatusReason != models.RestoredReason {
			t.Fatalf("%s: %q", c.Status, c.StatusReason)
		}
		time.Sleep(time.Second)
		if n := ch.total(); n != before {
			t.Fatalf("%d were sent", n-before)
		}
		r.must(r.store.ResumeCampaign(t.Context(), id))
		if c := r.finished(id); c.Sent != 150 || ch.total() <= 150 {
			t.Errorf("%+v, %d sends", c.Counts, ch.total())
		}
	})
}

// A Redis that is empty knows nothing of what was lost: nothing is held.
func TestEmptiedRedisHoldsNothing(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(100)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 50
		id := r.post(sp)
		testkit.Eventually(t, "under way", testkit.Patience, func() bool { return r.view(id).Sent > 0 && r.known() > 0 })
		if err := r.rdb.FlushDB(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		r.with(jobs.Options{})
		r.finished(id)
		testkit.Eventually(t, "Redis knows the ledger again", testkit.Patience, func() bool { return r.known() > 0 })
	})
}

// A replica that took over lacks a second. Campaigns that may send twice go on, the others are held.
func TestReplicaThatTookOver(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(40)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.RatePerSecond = 20
		twice := r.post(sp)
		sp.Delivery, sp.RatePerSecond = models.AtMostOnce, 2 // it must not end before the replica takes over
		once := r.post(sp)
		testkit.Eventually(t, "under way", testkit.Patience, func() bool { return r.view(twice).Sent > 0 && r.view(once).Sent > 0 && r.known() > 0 })
		r.stop()
		sent := r.view(once).Sent
		r.sql("UPDATE ledger_mark SET mark=mark-1000")
		r = r.with(jobs.Options{})
		c := r.until(once, "held", func(c models.CampaignView) bool { return c.Status != models.StatusRunning })
		if c.Status != models.StatusPaused || c.StatusReason == models.RestoredReason || !strings.HasPrefix(c.StatusReason, "restored:") || c.Sent != sent {
			t.Errorf("%s: %q, %d sent and %d before", c.Status, c.StatusReason, c.Sent, sent)
		}
		r.finished(twice)
	})
}

// Many processes that compare and move the mark at the same time take each other for no restored ledger.
func TestMarkMovesOn(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.SendAt = millis(noon.Add(24 * time.Hour))
		id := r.post(sp)
		var wg sync.WaitGroup
		for range 4 {
			rec := jobs.NewReconciler(jobs.NewShared(r.store, r.queue, jobs.Options{}, quietly(t)), jobs.Retention{})
			wg.Go(func() {
				for range 8 {
					clock.Tick(time.Second)
					if err := rec.Compare(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		m, err := r.store.Mark(t.Context())
		if err != nil || m.LostUntil != 0 || m.Mark < millis(noon) || r.known() > m.Mark {
			t.Errorf("%+v, Redis has %d, %v", m, r.known(), err)
		}
		if c := r.view(id); c.Status != models.StatusScheduled {
			t.Errorf("%s: %q", c.Status, c.StatusReason)
		}
	})
}

// What came due in the ledger that was lost does not go out again: a schedule's slot is missed, and what has a sendAt is held. From
// then on schedules go on.
func TestSchedulesOfARestoredLedger(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, clock := newQuietRigAt(t, s, noon)
		r.users(1)
		w := r.with(jobs.Options{})
		stop := r.schedule()
		sch := r.every("@every 1h", noon, func(s *models.Schedule) {
			s.Missed, s.MissedGrace = models.MissedOnce, models.Millis(time.Hour.Milliseconds())
		})
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.SendAt = millis(noon.Add(65 * time.Minute))
		id := r.post(sp)
		clock.Set(noon.Add(30 * time.Minute))
		testkit.Eventually(t, "the mark moves", testkit.Patience, func() bool { return r.known() >= millis(noon.Add(30*time.Minute)) })
		r.backUp()
		clock.Set(noon.Add(time.Hour))
		r.historyIs(sch, "13:00:00 fired 1\n")
		clock.Set(noon.Add(70 * time.Minute))
		r.until(id, "sent", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
		testkit.Eventually(t, "the mark moves", testkit.Patience, func() bool { return r.known() >= millis(noon.Add(70*time.Minute)) })
		stop()
		w.stop()
		r.restore()

		r = r.with(jobs.Options{})
		r.schedule()
		if c := r.view(id); c.Status != models.StatusPaused || c.StatusReason != models.RestoredReason {
			t.Errorf("%s: %q", c.Status, c.StatusReason)
		}
		r.historyIs(sch, "13:00:00–13:00:00 missed 1\n")
		clock.Set(noon.Add(2 * time.Hour))
		r.historyIs(sch, "13:00:00–13:00:00 missed 1\n14:00:00 fired 1\n")
		if c := r.view(id); c.Status != models.StatusPaused {
			t.Errorf("%s: %q", c.Status, c.StatusReason)
		}
	})
}
