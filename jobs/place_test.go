package jobs

import (
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/pacing"
	"carillon/internal/testkit"
	"carillon/models"
)

// stillWorker is a worker that takes no tasks, on stores of its own.
func stillWorker(t *testing.T, s testkit.Stores) *Worker {
	t.Helper()
	o, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return NewWorker(NewShared(testkit.OpenStore(t, s.DatabaseURL), NewQueue(rdb), Options{Channels: []channels.Channel{inbox.New(rdb)}}, log))
}

// stored makes a campaign of one page, and returns its task.
func stored(t *testing.T, w *Worker, rate int) models.PageTask {
	t.Helper()
	c, err := w.store.CreateCampaign(t.Context(), models.CampaignSpec{
		Channel: "inbox", Audience: models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a", "b"}}, Priority: models.PriorityBulk,
		RatePerSecond: rate, OperationID: "op", CreatedBy: "admin",
		Message: models.Message{SendID: "admin", Content: json.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 1},
	}, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return c.Tasks[0]
}

// A page waits in its slot for a place, gets one, and the database fails between its claim and the read of what was claimed: the
// place is given back. One that leaked would be missing until the process ends.
func TestPlaceIsGivenBackWhenTheClaimCannotBeRead(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		w := stillWorker(t, s)
		task := stored(t, w, 1)
		v, err := w.store.ClaimPage(t.Context(), task)
		if err != nil || v == nil {
			t.Fatal(v, err)
		}
		places := w.pacer.Places
		holder := models.Campaign{ID: -1, Channel: "inbox"}
		for _, ok := places.Acquire(holder); ok; _, ok = places.Acquire(holder) {
			holder.ID-- // one campaign each, so that none holds its half of the slots
		}
		db, _, err := w.store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE page_members RENAME TO away"); err != nil {
			t.Fatal(err)
		}
		go func() { // a place becomes free once the page waits for one
			for n := 0; n == 0 && t.Context().Err() == nil; time.Sleep(time.Millisecond) {
				_ = db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pages WHERE state=?", int(models.PageWaiting)).Scan(&n)
			}
			places.Release(models.Campaign{ID: -1, Channel: "inbox"})
		}()
		if got, err := w.acquirePlace(t.Context(), v); got != nil || err == nil {
			t.Fatalf("%+v, %v", got, err)
		}
		if !places.BeginSlotWait(v.Campaign) {
			t.Error("the campaign holds a place, or waits for one")
		}
		if _, ok := places.Acquire(holder); !ok {
			t.Error("the channel's free place is gone")
		}
	})
}

// A visit lasts five seconds, but one only beside a campaign that finds every place on its channel taken.
func TestVisitGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pacing.NewPlaces(pacing.Defaults(), 4)
		busy, other, later := models.Campaign{ID: 1, Channel: "webhook"}, models.Campaign{ID: 2, Channel: "webhook"}, models.Campaign{ID: 3, Channel: "webhook"}
		begun := time.Now()
		for _, c := range []models.Campaign{busy, busy, other} {
			if _, ok := s.Acquire(c); !ok {
				t.Fatal("no place on an empty channel")
			}
		}
		d := &delivery{pacer: &pacing.Pacer{Places: s}, visit: &models.Visit{Campaign: busy}, late: newLateAnswers(), startedAt: begun}
		for at := 250 * time.Millisecond; at < 6*time.Second; at += 250 * time.Millisecond {
			time.Sleep(time.Until(begun.Add(at)))
			comes := at < 2*time.Second || at > 4*time.Second
			if comes {
				if _, ok := s.Acquire(later); ok {
					t.Fatalf("a place was free after %s", at)
				}
			}
			waits := comes || at < 2500*time.Millisecond // half a second after it came last, nobody waits for it any more
			if want := at > visitFor || waits && at > visitForWhenCrowded; d.visitExpired(t.Context()) != want {
				t.Errorf("after %s: visitExpired is %t", at, !want)
			}
		}
	})
}
