package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/internal/metrics"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// rig is a ledger with a worker and a reconciler on it.
type rig struct {
	t     *testing.T
	store *models.Store
	rdb   redis.UniversalClient
	queue *jobs.Queue
	rec   *jobs.Reconciler
	stop  func()
	clock *testkit.Clock // nil = the database's own
}

func newRig(t *testing.T, s testkit.Stores, opts jobs.Options) *rig {
	t.Helper()
	return newQuietRig(t, s).with(opts)
}

// newQuietRig is newRig without a worker.
func newQuietRig(t *testing.T, s testkit.Stores) *rig {
	t.Helper()
	r := &rig{t: t, store: testkit.OpenStore(t, s.DatabaseURL)}
	r.connect(s)
	return r
}

// connect opens the rig's Redis.
func (r *rig) connect(s testkit.Stores) {
	r.t.Helper()
	ro, err := redis.ParseURL(s.RedisURL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.rdb = redis.NewClient(ro)
	r.t.Cleanup(func() { _ = r.rdb.Close() })
	r.queue = jobs.NewQueue(r.rdb)
}

// with runs another worker and reconciler on the same ledger and Redis, as another process would.
func (r *rig) with(opts jobs.Options) *rig {
	r.t.Helper()
	return r.withLog(opts, r.t.Output())
}

// withLog is with, and says where warnings go.
func (r *rig) withLog(opts jobs.Options, out io.Writer) *rig {
	r.t.Helper()
	if opts.Channels == nil {
		opts.Channels = []channels.Channel{inbox.New(r.rdb)}
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	shared := jobs.NewShared(r.store, r.queue, opts, log)
	worker, rec := jobs.NewWorker(shared), jobs.NewReconciler(shared, jobs.Retention{IdempotencyKeys: time.Hour})
	if err := worker.Start(); err != nil {
		r.t.Fatal(err)
	}
	rec.Start()
	other := *r
	other.rec = rec
	other.stop = func() { worker.Stop(); rec.Stop() }
	r.t.Cleanup(other.stop)
	return &other
}

func (r *rig) users(n int) {
	r.t.Helper()
	var batch []models.UserChange
	for i := range n {
		batch = append(batch, models.UserChange{UserID: fmt.Sprintf("user-%07d", i)})
		if len(batch) == 1000 || i == n-1 {
			if _, err := r.store.UpsertUsers(r.t.Context(), batch); err != nil {
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
func (r *rig) finished(id string) (c models.CampaignView) {
	r.t.Helper()
	testkit.Eventually(r.t, "the campaign is completed", testkit.Patience, func() bool {
		c = r.view(id)
		n := c.Counts
		if sum := n.Pending + n.Sent + n.Failed + n.Skipped + n.Expired + n.Cancelled + n.Unknown; sum != n.Total || n.Pending < 0 {
			r.t.Fatalf("total %d is not the sum of the statuses: %+v", n.Total, n)
		}
		return c.Status == models.StatusCompleted
	}, func() any { return fmt.Sprintf("%s %q, %+v", c.Status, c.StatusReason, c.Counts) })
	return c
}

// statuses reads every recipient, refuses one that stands twice, and returns their rows by ID.
func (r *rig) statuses(c models.CampaignView) map[string]models.Recipient {
	r.t.Helper()
	all := map[string]models.Recipient{}
	next := &models.RecipientCursor{}
	for next != nil {
		var list []models.Recipient
		var err error
		list, next, err = r.store.Recipients(r.t.Context(), c.Campaign, models.RecipientFilter{From: *next, Limit: 997})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, rec := range list {
			if _, twice := all[rec.UserID]; twice {
				r.t.Fatalf("%q stands twice", rec.UserID)
			}
			all[rec.UserID] = rec
		}
	}
	return all
}

// newRigAt is newRig with a clock that the test drives, and a scheduler.
func newRigAt(t *testing.T, s testkit.Stores, now time.Time) (*rig, *testkit.Clock) {
	t.Helper()
	r, clock := newQuietRigAt(t, s, now)
	r = r.with(jobs.Options{})
	r.schedule()
	return r, clock
}

func (r *rig) upsert(batch []models.UserChange) {
	r.t.Helper()
	if len(batch) == 0 {
		return
	}
	if _, err := r.store.UpsertUsers(r.t.Context(), batch); err != nil {
		r.t.Fatal(err)
	}
}

// recipients reads all recipients of a campaign.
func (r *rig) recipients(id string) map[string]models.Recipient {
	r.t.Helper()
	c, err := r.store.Campaign(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	list, _, err := r.store.Recipients(r.t.Context(), c.Campaign, models.RecipientFilter{Limit: 1 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]models.Recipient{}
	for _, rec := range list {
		all[rec.UserID] = rec
	}
	if len(all) != len(list) {
		r.t.Errorf("%d recipients are listed for %d users", len(list), len(all))
	}
	return all
}

// until waits for a campaign to be as ok says.
func (r *rig) until(id, what string, ok func(models.CampaignView) bool) (c models.CampaignView) {
	r.t.Helper()
	r.eventually(what, func() bool {
		c = r.view(id)
		return ok(c)
	}, func() any {
		w, err := r.store.WindowOf(context.Background(), c.ID)
		return fmt.Sprintf("%s %q, %+v, %+v, %v", c.Status, c.StatusReason, c.Counts, w, err)
	})
	return c
}

// eventually is testkit.Eventually on a rig whose clock may be the test's: what waits for a moment must not wait for ever.
func (r *rig) eventually(what string, ok func() bool, last ...func() any) {
	r.t.Helper()
	testkit.Eventually(r.t, what, testkit.Patience, func() bool {
		if ok() {
			return true
		}
		if r.clock != nil {
			r.clock.Tick(4 * time.Millisecond)
		}
		return false
	}, last...)
}

// newQuietRigAt is a ledger and a clock, and nobody works yet.
func newQuietRigAt(t *testing.T, s testkit.Stores, now time.Time) (*rig, *testkit.Clock) {
	t.Helper()
	r := &rig{t: t}
	r.store, r.clock = testkit.OpenStoreAt(t, s.DatabaseURL, now)
	r.connect(s)
	return r, r.clock
}

// schedule runs a scheduler until the test ends, or stop.
func (r *rig) schedule() (stop func()) {
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	sch := jobs.NewScheduler(r.store, r.queue.Stored, func() []string { return []string{"admin"} }, metrics.New(""), nil, log)
	sch.Start()
	r.t.Cleanup(sch.Stop)
	return sch.Stop
}

func (r *rig) view(id string) models.CampaignView {
	r.t.Helper()
	c, err := r.store.Campaign(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) must(_ models.CampaignView, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) sql(query string, args ...any) {
	r.t.Helper()
	db, _, err := r.store.Writer()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := db.ExecContext(r.t.Context(), query, args...); err != nil {
		r.t.Fatal(err)
	}
}
