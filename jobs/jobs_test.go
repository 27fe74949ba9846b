package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/migrations"
	"carillon/models"
)

// rig is a ledger with a worker and a reconciler on it.
type rig struct {
	t      *testing.T
	store  *models.Store
	rdb    redis.UniversalClient
	queue  *jobs.Queue
	worker *jobs.Worker
}

// openStore opens a migrated ledger.
func openStore(t *testing.T, url string) *models.Store {
	t.Helper()
	store, err := models.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db, dialect, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}
	return store
}

func newRig(t *testing.T, s testkit.Stores, opts jobs.Options) *rig {
	t.Helper()
	r := &rig{t: t, store: openStore(t, s.DatabaseURL)}
	ro, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	r.rdb = redis.NewClient(ro)
	t.Cleanup(func() { _ = r.rdb.Close() })
	r.queue = jobs.NewQueue(r.rdb)
	if opts.Channels == nil {
		opts.Channels = []channels.Channel{channels.NewInbox(r.rdb)}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	r.worker = jobs.NewWorker(r.store, r.queue, opts, log)
	rec := jobs.NewReconciler(r.store, r.queue, r.worker, time.Hour, log)
	if err := r.worker.Start(); err != nil {
		t.Fatal(err)
	}
	rec.Start()
	t.Cleanup(func() { r.worker.Stop(); rec.Stop() })
	return r
}

func (r *rig) users(n int) {
	r.t.Helper()
	var batch []models.User
	for i := range n {
		batch = append(batch, models.User{UserID: fmt.Sprintf("user-%07d", i)})
		if len(batch) == 1000 || i == n-1 {
			if _, _, err := r.store.UpsertUsers(r.t.Context(), batch); err != nil {
				r.t.Fatal(err)
			}
			batch = nil
		}
	}
}

func spec(a models.Audience) models.CampaignSpec {
	return models.CampaignSpec{
		Channel: "inbox", Audience: a, Priority: models.PriorityBulk, OperationID: "op", CreatedBy: "admin",
		Message: models.Message{SendID: "admin", Content: json.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 1},
	}
}

// post stores a campaign and enqueues it, as a handler does.
func (r *rig) post(s models.CampaignSpec) string {
	r.t.Helper()
	c, err := r.store.CreateCampaign(r.t.Context(), s, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.queue.Stored(r.t.Context(), c); err != nil {
		r.t.Log("enqueue:", err)
	}
	return c.PublicID
}

// finished waits for a campaign to end; at every look its total must be the sum of its statuses.
func (r *rig) finished(id string, within time.Duration) models.CampaignView {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	for {
		c, err := r.store.Campaign(ctx, id)
		if err != nil {
			r.t.Fatal(err)
		}
		n := c.Counts
		if sum := n.Pending + n.Sent + n.Failed + n.Skipped + n.Expired + n.Cancelled + n.Unknown; sum != n.Total || n.Pending < 0 {
			r.t.Fatalf("total %d is not the sum of the statuses: %+v", n.Total, n)
		}
		if c.Status == models.StatusCompleted {
			return c
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("not finished in %s: %+v", within, c)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestAllUsersGetIt(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(2500)
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceAll})), 30*time.Second)
		if c.Sent != 2500 || c.Counts.Total != 2500 {
			t.Fatalf("counts %+v", c.Counts)
		}
	})
}
