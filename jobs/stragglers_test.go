package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carillon/channels"
	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// fussy is a channel that asks for another attempt at some users.
type fussy struct {
	sendLog
	refuses func(userID string, tries int) bool
	mended  atomic.Bool
}

func newFussy(refuses func(userID string, tries int) bool) *fussy {
	return &fussy{sendLog: sendLog{seen: map[string]int{}}, refuses: refuses}
}

func (f *fussy) Send(ctx context.Context, b channels.Batch) []channels.Outcome {
	out := f.sendLog.Send(ctx, b)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range b.Recipients {
		if !f.mended.Load() && f.refuses(r.UserID, f.seen[r.UserID]) {
			out[i] = channels.Outcome{Result: channels.Retry, ErrCode: 1500, ErrMsg: "not now"}
		}
	}
	return out
}

// stragglers refuses one user of each page of 1,000, always.
func stragglers(userID string, _ int) bool { return strings.HasSuffix(userID, "500") }

// alone runs a worker without a reconciler.
func (r *rig) alone(opts jobs.Options) {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	worker := jobs.NewWorker(r.store, r.queue, opts, log)
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

// wait says how many pages have nobody left but recipients that wait for their next attempt, outside the window.
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
	until(r.t, what, time.Minute, func() bool {
		c, err := r.store.Campaign(ctx, id)
		if err != nil {
			r.t.Fatal(err)
		}
		n, err := r.store.Inside(ctx, c.ID)
		if err != nil {
			r.t.Fatal(err)
		}
		waiting, err := r.rdb.LLen(ctx, "asynq:{bulk}:pending").Result()
		if err != nil {
			r.t.Fatal(err)
		}
		active, err := r.rdb.LLen(ctx, "asynq:{bulk}:active").Result()
		if err != nil {
			r.t.Fatal(err)
		}
		inside, tasks = max(inside, n), max(tasks, int(waiting+active))
		return ok(c)
	})
	return inside, tasks
}

// TestStragglersHoldUpNobody: each page keeps one recipient that waits for its next attempt. The others are sent meanwhile, by
// the workers alone and through a window that stays as small as it is.
func TestStragglersHoldUpNobody(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages, slots, window = 40, 8, 4
		r, clock := newQuietRigAt(t, s, time.Date(2027, 6, 4, 9, 0, 0, 0, time.UTC)) // the clock stands: no attempt becomes due
		ch := newFussy(stragglers)
		opts := jobs.Options{Channels: []channels.Channel{ch}, BulkSlots: slots, Backoff: time.Second}
		r.users(pages * models.PageSize)
		r.alone(opts)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		inside, tasks := r.most(id, "everybody else was sent", func(c models.CampaignView) bool { return c.Sent == pages*models.PageSize-pages })
		if inside > window || tasks > 2*window { // a task that has just ended stands beside the next one, and the plan beside all
			t.Errorf("%d pages were in the window of %d, and %d tasks in Redis", inside, window, tasks)
		}
		c := r.view(id)
		r.eventually("all pages wait outside the window", func() bool { return waitOutside(r.pages(c.ID)) == pages })
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
		r.until(id, "completed", func(c models.CampaignView) bool {
			return c.Status == models.StatusCompleted && c.Sent == pages*models.PageSize
		})
		r.verified(id)
	})
}

// TestAttemptsShareAVisit: the attempts of one page that are due within a second are made in one visit.
func TestAttemptsShareAVisit(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := newFussy(func(userID string, tries int) bool { return tries == 1 || tries < 4 && strings.HasSuffix(userID, "7") })
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, Backoff: 500 * time.Millisecond})
		r.users(300)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		c := r.finished(id, time.Minute)
		if c.Sent != 300 {
			t.Fatalf("counts %+v", c.Counts)
		}
		// Everybody's first attempt, their second, and of thirty the third and the fourth. What is due again comes within a fifth
		// more or less of 0.5 s, 1 s and 2 s.
		if p := r.pages(c.ID)[0]; p.epoch > 5 {
			t.Errorf("%d visits to one page for four attempts", p.epoch)
		}
		r.verified(id)
	})
}

// TestStragglersObey: pages that wait for attempts stay quiet while their campaign is paused, and are closed when it is
// cancelled or has expired.
func TestStragglersObey(t *testing.T) {
	t.Parallel()
	for name, end := range map[models.Status]func(r *rig, id string){
		models.StatusCancelled: func(r *rig, id string) { r.must(r.store.CancelCampaign(r.t.Context(), id, "by an operator")) },
		models.StatusExpired: func(r *rig, id string) {
			now, err := r.store.Now(r.t.Context())
			if err != nil {
				r.t.Fatal(err)
			}
			at := now + 300
			r.must(r.store.UpdateCampaign(r.t.Context(), id, models.CampaignChange{ExpireAt: &at}))
		},
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
				const pages = 3
				ch := newFussy(stragglers)
				r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, Backoff: 250 * time.Millisecond, MaxAttempts: 100})
				r.users(pages * models.PageSize)
				id := r.post(spec(models.Audience{Type: models.AudienceAll}))
				until(t, "attempts are made again", time.Minute, func() bool { return ch.total() > pages*models.PageSize })
				r.must(r.store.PauseCampaign(t.Context(), id, "by an operator"))
				paused := time.Now()
				if late := ch.quiet(t, paused); late > 2*time.Second {
					t.Errorf("an attempt began %s after the answer", late)
				}
				n := ch.total()
				r.must(r.store.ResumeCampaign(t.Context(), id))
				until(t, "attempts go on", time.Minute, func() bool { return ch.total() > n })
				end(r, id)
				over := time.Now()
				c := ended(t, r, id, name)
				if late := ch.quiet(t, over); late > 3*time.Second {
					t.Errorf("an attempt began %s after the end", late)
				}
				if c.Sent != pages*models.PageSize-pages || c.Cancelled+c.Expired != pages {
					t.Fatalf("counts %+v", c.Counts)
				}
				want := map[models.Status]models.RecipientStatus{models.StatusCancelled: models.RecipientCancelled, models.StatusExpired: models.RecipientExpired}[name]
				for user, rec := range r.statuses(c) {
					if stragglers(user, 0) && rec.Status != want || !stragglers(user, 0) && rec.Status != models.RecipientSent {
						t.Errorf("%s is %s", user, rec.Status)
					}
				}
				r.verified(id)
			})
		})
	}
}

// TestStragglersAtMostOnce: an attempt that surely was not taken is made again, by a claim of its own.
func TestStragglersAtMostOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		ch := newFussy(func(userID string, tries int) bool { return stragglers(userID, 0) && tries < 3 })
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{ch}, Backoff: 100 * time.Millisecond})
		r.users(3 * models.PageSize)
		sp := spec(models.Audience{Type: models.AudienceAll})
		sp.Delivery = models.AtMostOnce
		id := r.post(sp)
		if c := r.finished(id, time.Minute); c.Sent != 3*models.PageSize {
			t.Fatalf("counts %+v", c.Counts)
		}
		for user, n := range ch.seen {
			if want := map[bool]int{false: 1, true: 3}[stragglers(user, 0)]; n != want {
				t.Errorf("%s was sent %d times, want %d", user, n, want)
			}
		}
		r.verified(id)
	})
}

// TestRetryGoesThroughTheWindow: the pages of a retry are let in like those of a new campaign, not all at once.
func TestRetryGoesThroughTheWindow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages, slots, window = 20, 4, 2
		bad := &failing{sendLog: sendLog{seen: map[string]int{}}}
		r := newRig(t, s, jobs.Options{Channels: []channels.Channel{bad}, BulkSlots: slots})
		r.users(pages * models.PageSize)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		c := r.finished(id, time.Minute)
		if c.Failed != pages*models.PageSize/5 {
			t.Fatalf("counts %+v", c.Counts)
		}
		bad.mu.Lock()
		bad.mended = true
		bad.mu.Unlock()
		r.must(r.store.RetryCampaign(t.Context(), id, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}}))
		inside, tasks := r.most(id, "completed again", func(c models.CampaignView) bool { return c.Status == models.StatusCompleted && c.Failed == 0 })
		if inside > 2*window || tasks > 2*slots { // workers and reconciler may both let the next page in
			t.Errorf("%d pages were in the window of %d, and %d tasks in Redis", inside, window, tasks)
		}
		r.verified(id)
	})
}

// TestWaitForAttemptsIsSaid: while only retries are left the campaign says so, and when it goes on.
func TestWaitForAttemptsIsSaid(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r, _ := newQuietRigAt(t, s, time.Date(2027, 6, 4, 9, 0, 0, 0, time.UTC))
		r = r.with(jobs.Options{Channels: []channels.Channel{newFussy(stragglers)}, Backoff: time.Hour})
		r.users(3 * models.PageSize)
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		c := r.view(id)
		until(t, "all pages wait", time.Minute, func() bool { return waitOutside(r.pages(c.ID)) == 3 })
		next := r.pages(c.ID)[0].due
		for _, p := range r.pages(c.ID) {
			next = min(next, p.due)
		}
		_, _, limitedBy, why := r.rec.Pace(t.Context(), c.Campaign)
		want := fmt.Sprintf("the recipients that are left wait for their next attempt; the next one is due at %s", next.Time().Format(time.RFC3339))
		if limitedBy != "waiting" || why != want {
			t.Errorf("%q because %q, want %q", limitedBy, why, want)
		}
	})
}
