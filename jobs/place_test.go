package jobs

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
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
	return NewWorker(NewShared(testkit.OpenStore(t, s.DatabaseURL), NewQueue(rdb), Options{Channels: []channels.Channel{channels.NewInbox(rdb)}}, log))
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
		full, holder := 0, models.Campaign{ID: -1, Channel: "inbox"}
		for _, ok := w.share.enter(holder); ok; _, ok = w.share.enter(holder) {
			full++
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
			for waits := false; !waits && t.Context().Err() == nil; time.Sleep(time.Millisecond) {
				w.share.mu.Lock()
				waits = w.share.here[v.CampaignID]
				w.share.mu.Unlock()
			}
			w.share.leave(models.Campaign{ID: -1, Channel: "inbox"})
		}()
		if got, err := w.enter(t.Context(), v); got != nil || err == nil {
			t.Fatalf("%+v, %v", got, err)
		}
		w.share.mu.Lock()
		defer w.share.mu.Unlock()
		if n, held := w.share.campaigns[v.CampaignID], w.share.channels["inbox"]; n != 0 || held != full-1 {
			t.Errorf("the campaign holds %d places, its channel %d, %d others hold one", n, held, full-1)
		}
	})
}
