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
	r := &rig{t: t, store: testkit.OpenStore(t, s.DatabaseURL)}
	r.connect(s)
	return r.with(opts)
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

func TestAllUsersUpToTheMark(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		n := 20_000
		if s.Name != "embedded" {
			n = 100_000
		}
		r := newRig(t, s, jobs.Options{})
		r.users(n)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Message.SendID = "user-0000005"
		id := r.post(sp)
		// While it runs, users come (before, among and after the frozen ones) and go (at the far end, so that
		// the campaign has not been there).
		var added []models.UserChange
		for i := range 300 {
			added = append(added, models.UserChange{UserID: fmt.Sprintf("a-%d", i)}, models.UserChange{UserID: fmt.Sprintf("user-%07d+", i)}, models.UserChange{UserID: fmt.Sprintf("z-%d", i)})
		}
		if _, err := r.store.UpsertUsers(t.Context(), added); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := r.store.DeleteUser(t.Context(), fmt.Sprintf("user-%07d", n-1-i)); err != nil {
				t.Fatal(err)
			}
		}
		c := r.finished(id, 3*time.Minute)
		all := r.statuses(c)
		if int64(len(all)) != c.Counts.Total {
			t.Errorf("%d recipients stand in a campaign of %d", len(all), c.Counts.Total)
		}
		for i := range n {
			userID := fmt.Sprintf("user-%07d", i)
			rec, there := all[userID]
			gone := i >= n-20
			switch {
			case i == 5:
				if there {
					t.Error("the sender got their own message")
				}
			case !gone && (!there || rec.Status != models.RecipientSent):
				t.Fatalf("%s: %+v", userID, rec)
			case gone && there && rec.Status != models.RecipientSkipped && rec.Status != models.RecipientSent:
				t.Errorf("%s was deleted while it ran: %+v", userID, rec)
			}
			delete(all, userID)
		}
		if len(all) != 0 {
			t.Errorf("%d recipients were added after the mark", len(all))
		}
	})
}

func TestListedRecipients(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(6900)
		var ids []string
		for i := range 6900 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		for i := range 100 {
			ids = append(ids, fmt.Sprintf("nobody-%d", i))
		}
		ids = append(ids, ids[:3000]...)
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids})), time.Minute)
		if c.Counts != (models.Counts{Total: 7000, Sent: 6900, Failed: 100}) {
			t.Fatalf("counts %+v", c.Counts)
		}
		status := models.RecipientFailed
		failed, _, err := r.store.Recipients(t.Context(), c.Campaign, models.RecipientFilter{Status: &status, Limit: 1000})
		if err != nil || len(failed) != 100 {
			t.Fatalf("%d failed, %v", len(failed), err)
		}
		for _, rec := range failed {
			if *rec.ErrCode != models.CodeRecordNotFound {
				t.Fatalf("%+v", rec)
			}
		}
	})
}

func TestIDsCompareByteForByte(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		four := []string{"Bob", "bob", "bób", "bob "}
		for _, id := range four {
			if n, err := r.store.UpsertUsers(t.Context(), []models.UserChange{{UserID: id}}); err != nil || n.Created != 1 {
				t.Fatalf("%q: %+v, %v", id, n, err)
			}
		}
		c := r.finished(r.post(spec(models.Audience{Type: models.AudienceUsers, UserIDs: append(four, four...)})), 30*time.Second)
		if c.Sent != 4 || c.Counts.Total != 4 || len(r.statuses(c)) != 4 {
			t.Fatalf("counts %+v", c.Counts)
		}
		for _, id := range four {
			msgs, err := r.store.Inbox(t.Context(), id, models.InboxCursor{}, 10)
			if err != nil || len(msgs) != 1 {
				t.Errorf("%q has %d messages, %v", id, len(msgs), err)
			}
		}
	})
}

func TestGroups(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(1200)
		var members []string
		for i := range 1100 {
			members = append(members, fmt.Sprintf("user-%07d", i))
		}
		if _, err := r.store.PutGroup(t.Context(), "user-0000001", new("a group with a user's ID"), members); err != nil {
			t.Fatal(err)
		}
		sp := spec(models.Audience{Type: models.AudienceGroup, GroupID: "user-0000001"})
		sp.Message.SessionType = models.SessionLargeGroup
		once := r.finished(r.post(sp), 30*time.Second)
		if once.Counts != (models.Counts{Total: 1, Sent: 1}) {
			t.Fatalf("sessionType 3: %+v", once.Counts)
		}
		sp.Message.SessionType = models.SessionGroup
		each := r.post(sp)
		// a member added after the POST is not in it
		if _, err := r.store.PutGroup(t.Context(), "user-0000001", nil, append(members, "user-0001150")); err != nil {
			t.Fatal(err)
		}
		if c := r.finished(each, 30*time.Second); c.Counts != (models.Counts{Total: 1100, Sent: 1100}) {
			t.Fatalf("sessionType 2: %+v", c.Counts)
		}
		for id, want := range map[string]int{"user-0000003": 2, "user-0001150": 1, "user-0001199": 0} {
			msgs, err := r.store.Inbox(t.Context(), id, models.InboxCursor{}, 10)
			if err != nil || len(msgs) != want {
				t.Errorf("%s reads %d messages, want %d (%v)", id, len(msgs), want, err)
			}
		}
	})
}
