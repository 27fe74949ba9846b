package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// fussy is a channel that does not take some users until it is mended.
type fussy struct {
	sendLog
	refuses func(userID string, tries int) bool
	says    channels.Result
	mended  atomic.Bool
}

func newFussy(says channels.Result, refuses func(userID string, tries int) bool) *fussy {
	return &fussy{sendLog: sendLog{seen: map[string]int{}}, refuses: refuses, says: says}
}

func (f *fussy) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := f.sendLog.Send(ctx, b)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range b.Recipients {
		if !f.mended.Load() && f.refuses(r.UserID, f.seen[r.UserID]) {
			out[i] = channels.Outcome{Result: f.says, ErrCode: 1500, ErrMsg: "not now"}
		}
	}
	return out
}

const perPage = 5

// oneOfEach is one user of each page of paged.
func oneOfEach(userID string, _ int) bool { return strings.HasPrefix(userID, "user-00002-") }

// paged fills the directory and returns a campaign of so many pages with perPage users each: pages are cut by time zone, and
// in none of the zones is night.
func (r *rig) paged(pages int) models.CampaignSpec {
	r.t.Helper()
	all := zones()
	for _, city := range []string{"Berlin", "Paris", "Rome", "Madrid", "Oslo", "Vienna", "Prague", "Warsaw", "Athens", "Riga", "Sofia", "London"} {
		all = append(all, zone{name: "Europe/" + city})
	}
	var batch []models.UserChange
	for i := range perPage {
		for k, z := range all[:pages] {
			batch = append(batch, models.UserChange{UserID: fmt.Sprintf("user-%05d-%02d", i, k), Timezone: &z.name})
		}
	}
	r.upsert(batch)
	sp := spec(models.Audience{Type: models.AudienceAll})
	sp.Timing = models.Timing{QuietFrom: 3*60 + 20, QuietTo: 3*60 + 21, Zone: "UTC"}
	return sp
}

var nine = time.Date(2027, 6, 4, 9, 0, 0, 0, time.UTC)

// alone runs a worker without a reconciler.
func (r *rig) alone(opts jobs.Options) {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	worker := jobs.NewWorker(jobs.NewShared(r.store, r.queue, opts, log))
	if err := worker.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(worker.Stop)
}

// page is where one page of a campaign stands.
type page struct {
	state      models.PageState
	due        models.Millis
	epoch      int
	pending    int
	unfinished int // members ahead of the cursor
}

func (r *rig) pages(id int64) (all []page) {
	r.t.Helper()
	db, _, err := r.store.Writer()
	if err != nil {
		r.t.Fatal(err)
	}
	rows, err := db.QueryContext(r.t.Context(), "SELECT state, due_at, epoch, pending_rows, size-pos FROM pages WHERE campaign_id=? ORDER BY no", id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p page
		if err := rows.Scan(&p.state, &p.due, &p.epoch, &p.pending, &p.unfinished); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// waitOutside says how many pages have nobody left but recipients that wait for their next attempt, outside the window.
func waitOutside(all []page) (n int) {
	for _, p := range all {
		if p.state == models.PageNew && p.due > 0 && p.pending > 0 && p.unfinished == 0 {
			n++
		}
	}
	return n
}

// most watches a campaign until ok: the most pages in its window at any look, and the most tasks in Redis.
func (r *rig) most(id, what string, ok func(models.CampaignView) bool) (inside, tasks int) {
	r.t.Helper()
	ctx := r.t.Context()
	testkit.Eventually(r.t, what, testkit.Patience, func() bool {
		c, err := r.store.Campaign(ctx, id)
		if err != nil {
			r.t.Fatal(err)
		}
		n, err := r.store.Inside(ctx, c.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		// One look at both lists: a task goes from one to the other.
		var lists [2]*redis.IntCmd
		if _, err := r.rdb.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			lists = [2]*redis.IntCmd{tx.LLen(ctx, "asynq:{bulk}:pending"), tx.LLen(ctx, "asynq:{bulk}:active")}
			return nil
		}); err != nil {
			r.t.Fatal(err)
		}
		waiting, active := lists[0].Val(), lists[1].Val()
		inside, tasks = max(inside, n), max(tasks, int(waiting+active))
		return ok(c)
	})
	return inside, tasks
}

// requeue stands in for the reconciler at pages with somebody to send to: on a machine that is too busy to read the campaign's
// state in time, a worker leaves one.
func (r *rig) requeue(c models.CampaignView) {
	r.t.Helper()
	db, _, err := r.store.Writer()
	if err != nil {
		r.t.Fatal(err)
	}
	p := models.Page{CampaignID: c.ID, State: models.PageWaiting}
	err = db.QueryRowContext(r.t.Context(), "SELECT no, epoch, rev, due_at FROM pages WHERE campaign_id=? AND state=? AND pos<size LIMIT 1", p.CampaignID, int(p.State)).
		Scan(&p.No, &p.Epoch, &p.Rev, &p.DueAt)
	if errors.Is(err, sql.ErrNoRows) {
		return
	}
	if err != nil {
		r.t.Fatal(err)
	}
	task, ok, err := r.store.QueuePage(r.t.Context(), p, models.PriorityBulk)
	if err == nil && ok {
		err = r.queue.Pages(r.t.Context(), []models.PageTask{task})
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestStragglersHoldUpNobody: each page keeps one recipient that waits for its next attempt. The others are sent meanwhile, by
// the workers alone and through a window that stays as small as it is.
func TestStragglersHoldUpNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages, slots, window = 40, 8, 4
		r, clock := newQuietRigAt(t, s, nine) // the clock stands: no attempt becomes due
		ch := newFussy(channels.Retry, oneOfEach)
		opts := jobs.Options{Channels: []channels.Channel{ch}, BulkSlots: slots, Backoff: time.Second}
		sp := r.paged(pages)
		r.alone(opts)
		id := r.post(sp)
		inside, tasks := r.most(id, "everybody else was sent", func(c models.CampaignView) bool {
			r.requeue(c)
			return c.Sent == pages*(perPage-1)
		})
		// Slots that look at the same instant see the same room and let in a page each. A task that has just ended stands beside the
		// next one, and the plan beside all.
		if inside > window+2 || tasks > 2*window+2 {
			t.Errorf("%d pages were in the window of %d, and %d tasks in Redis", inside, window, tasks)
		}
		c := r.view(id)
		testkit.Eventually(t, "all pages wait outside the window", testkit.Patience, func() bool { return waitOutside(r.pages(c.ID)) == pages })
		if n, err := r.store.Inside(t.Context(), c.ID); err != nil || n != 0 {
			t.Errorf("%d pages in the window, %v", n, err)
		}
		visits := 0
		for _, p := range r.pages(c.ID) {
			visits += p.epoch
		}
		if visits > pages*3/2 {
			t.Errorf("%d visits to %d pages before any attempt was due", visits, pages)
		}
		ch.mended.Store(true)
		r = r.with(opts)
		clock.Tick(time.Minute)
		r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Sent == pages*perPage })
		r.verified(id)
	})
}

// TestAttemptsShareAVisit: the attempts of one page that are due within a second are made in one visit. Here eight are due
// between 1.6 s and 2.4 s after the first ones.
func TestAttemptsShareAVisit(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 8
		r, clock := newQuietRigAt(t, s, nine)
		ch := newFussy(channels.Retry, func(_ string, tries int) bool { return tries == 1 })
		r = r.with(jobs.Options{Channels: []channels.Channel{ch}, Backoff: 2 * time.Second})
		r.users(n)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		c := r.view(id)
		visits := 0
		for r.view(id).Sent < n {
			var p page // the only one
			testkit.Eventually(t, "the page waits for attempts", testkit.Patience, func() bool {
				all := r.pages(c.ID)
				if waitOutside(all) == 1 {
					p = all[0]
				}
				return p.due > 0
			})
			clock.Set(p.due.Time().Add(50 * time.Millisecond)) // the visit before took some of it
			testkit.Eventually(t, "the page was visited again", testkit.Patience, func() bool { return r.pages(c.ID)[0].epoch > p.epoch })
			testkit.Eventually(t, "the visit is over", testkit.Patience, func() bool {
				now := r.pages(c.ID)[0]
				return now.state == models.PageDone || waitOutside([]page{now}) == 1
			})
			visits++
		}
		if visits > 2 {
			t.Errorf("%d visits for attempts that are due within a second", visits)
		}
		r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted })
		r.verified(id)
	})
}

// TestStragglersObey: pages that wait for attempts stay quiet while their campaign is paused, and are closed when it is
// cancelled or has expired.
func TestStragglersObey(t *testing.T) {
	t.Parallel()
	for status, end := range map[models.Status]func(r *rig, id string){
		models.StatusCancelled: func(r *rig, id string) { r.must(r.store.CancelCampaign(r.t.Context(), id, "by an operator")) },
		models.StatusExpired: func(r *rig, id string) {
			now, err := r.store.Now(r.t.Context())
			if err != nil {
				r.t.Fatal(err)
			}
			now += 300
			r.must(r.store.UpdateCampaign(r.t.Context(), id, models.CampaignChange{ExpireAt: &now}))
		},
	} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) { stragglersObey(t, s, status, end) })
		})
	}
}

func stragglersObey(t *testing.T, s testkit.Stores, status models.Status, end func(r *rig, id string)) {
	const n, stragglers = 60, 6
	ch := newFussy(channels.Retry, func(userID string, _ int) bool { return strings.HasSuffix(userID, "2") })
	r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, Backoff: 250 * time.Millisecond, MaxAttempts: 100})
	r.users(n)
	id := r.post(spec(models.Audience{Type: models.AudienceAll}))
	testkit.Eventually(t, "attempts are made again", testkit.Patience, func() bool { return ch.total() > n })
	r.must(r.store.PauseCampaign(t.Context(), id, "by an operator"))
	since := time.Now()
	if late := ch.quiet(t, since); late > 2*time.Second {
		t.Errorf("an attempt began %s after the pause", late)
	}
	sends := ch.total()
	r.must(r.store.ResumeCampaign(t.Context(), id))
	testkit.Eventually(t, "attempts go on", testkit.Patience, func() bool { return ch.total() > sends })
	end(r, id)
	c := ended(t, r, id, status)
	if c.Sent != n-stragglers || c.Cancelled+c.Expired != stragglers {
		t.Fatalf("counts %+v", c.Counts)
	}
	want := map[models.Status]models.RecipientStatus{models.StatusCancelled: models.RecipientCancelled, models.StatusExpired: models.RecipientExpired}[status]
	for user, rec := range r.statuses(c) {
		if (rec.Status == want) != strings.HasSuffix(user, "2") {
			t.Errorf("%s is %s", user, rec.Status)
		}
	}
	r.verified(id)
}

// TestStragglersAtMostOnce: an attempt that surely was not taken is made again, by a claim of its own.
func TestStragglersAtMostOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 60
		straggler := func(userID string) bool { return strings.HasSuffix(userID, "2") }
		ch := newFussy(channels.Retry, func(userID string, tries int) bool { return straggler(userID) && tries < 3 })
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, Backoff: 100 * time.Millisecond})
		r.users(n)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Delivery = models.AtMostOnce
		id := r.post(sp)
		if c := r.finished(id); c.Sent != n {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, times := range ch.seen {
			if want := map[bool]int{false: 1, true: 3}[straggler(user)]; times != want {
				t.Errorf("%s was sent %d times, want %d", user, times, want)
			}
		}
		r.verified(id)
	})
}

// TestRetryGoesThroughTheWindow: the pages of a retry are let in like those of a new campaign, not all at once.
func TestRetryGoesThroughTheWindow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages, slots, window = 20, 2, 2
		ch := newFussy(channels.Failed, oneOfEach)
		r, _ := newQuietRigAt(t, s, nine)
		sp := r.paged(pages)
		r = r.with(jobs.Options{Channels: []channels.Channel{ch}, BulkSlots: slots})
		id := r.post(sp)
		r.until(id, "completed", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Failed == pages })
		ch.mended.Store(true)
		if _, n, err := r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}}); err != nil || n != pages {
			t.Fatal(n, err)
		}
		inside, tasks := r.most(id, "completed again", func(c models.CampaignView) bool {
			r.clock.Tick(4 * time.Millisecond) // what waits for a moment must not wait for ever
			return c.Status == models.StatusCompleted && c.Failed == 0
		})
		// Worker and reconciler may both let the next page in. A task that has just ended stands beside the next one until asynq has
		// removed it, one in each slot.
		if inside > 2*window || tasks > 2*window+slots {
			t.Errorf("%d pages were in the window of %d, and %d tasks in Redis", inside, window, tasks)
		}
		r.verified(id)
	})
}

// TestWaitForAttemptsIsSaid: while only retries are left the campaign says so, and when it goes on.
func TestWaitForAttemptsIsSaid(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages = 3
		r, _ := newQuietRigAt(t, s, nine)
		sp := r.paged(pages)
		r = r.with(jobs.Options{Channels: []channels.Channel{newFussy(channels.Retry, oneOfEach)}, Backoff: time.Minute})
		id := r.post(sp)
		c := r.view(id)
		testkit.Eventually(t, "all pages wait", testkit.Patience, func() bool { return waitOutside(r.pages(c.ID)) == pages })
		next := r.pages(c.ID)[0].due
		for _, p := range r.pages(c.ID) {
			next = min(next, p.due)
		}
		p := r.rec.Pace(t.Context(), c)
		want := "the recipients that are left wait for their next attempt; the next one is due at " + next.Time().Format(time.RFC3339) + "; one of them has failed with: not now"
		if p.LimitedBy != models.LimitedByWaiting || p.Why != want {
			t.Errorf("%q because %q, want %q", p.LimitedBy, p.Why, want)
		}
	})
}
