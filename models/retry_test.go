package models_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// ofFailed makes a finished campaign of so many pages, each with one recipient, who failed.
func ofFailed(t *testing.T, store *models.Store, pages int) models.CampaignView {
	t.Helper()
	created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{userOf(0)}}), []string{"admin"}, models.Idempotency{},
		func(models.Campaign) []byte { return []byte("{}") })
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.Campaign(t.Context(), created.PublicID)
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		if _, err := tx.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("DELETE FROM pages WHERE campaign_id=?", c.ID)
	exec("DELETE FROM page_members WHERE campaign_id=?", c.ID)
	for i := range pages {
		exec("INSERT INTO pages (campaign_id, no, state, due_at, epoch, rev, size, pos, pending_rows, rest, first_id, zone, sent, failed, skipped, expired, cancelled, unknown) VALUES (?,?,?,0,1,1,1,1,0,0,?,'',0,1,0,0,0,0)",
			c.ID, i, int(models.PageDone), userOf(i))
		exec("INSERT INTO page_members (campaign_id, no, members) VALUES (?,?,?)", c.ID, i, models.PackMembers([]string{userOf(i)}))
		exec("INSERT INTO recipients (campaign_id, kind, user_id, status, attempts, err_code) VALUES (?,?,?,?,5,80000)", c.ID, c.Kind, userOf(i), int(models.RecipientFailed))
	}
	exec("UPDATE campaigns SET pages=?, total=?, planned=1, status='completed', finished_at=1, final_failed=? WHERE id=?", pages, pages, pages, c.ID)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return c
}

func retryFailed(t *testing.T, store *models.Store, c models.CampaignView) {
	t.Helper()
	if _, _, err := store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}}); err != nil {
		t.Fatal(err)
	}
}

// A retry that is asked for while somebody is about to finish the campaign is not finished with it.
func TestRetryIsNotFinishedByALateLook(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		c := ofFailed(t, store, 2)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET status='running', finished_at=0, final_failed=0 WHERE id=?", c.ID); err != nil {
			t.Fatal(err)
		}
		looked := false
		late := store.Traced(func(sql string) {
			if looked || !strings.Contains(sql, "FROM campaigns") {
				return
			}
			looked = true
			if done, err := store.FinishCampaign(t.Context(), c.ID); err != nil || !done {
				t.Fatal(done, err)
			}
			retryFailed(t, store, c)
		})
		if done, err := late.FinishCampaign(t.Context(), c.ID); err != nil || done || !looked {
			t.Errorf("finished: %t, looked: %t, %v", done, looked, err)
		}
		if c, err := store.Campaign(t.Context(), c.PublicID); err != nil || c.Status != models.StatusRunning {
			t.Errorf("%s, %v", c.Status, err)
		}
	})
}

// TestRetryReopensOutsideTheWindow: the pages of a retry stand in line for the window like those that nobody has visited, and
// all of them are reopened at a stretch.
func TestRetryReopensOutsideTheWindow(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages = 120
		store := testkit.OpenStore(t, s.DatabaseURL)
		campaigns := []models.CampaignView{ofFailed(t, store, pages), ofFailed(t, store, pages)}
		for _, c := range campaigns {
			retryFailed(t, store, c)
		}
		if err := store.ReopenPages(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range campaigns {
			for no := range pages {
				p, err := store.PageOf(t.Context(), c.ID, no)
				if err != nil || p.State != models.PageNew || p.DueAt == 0 || p.PendingRows != 1 || p.Failed != 0 {
					t.Fatalf("%+v, %v", p, err)
				}
			}
			w, err := store.WindowOf(t.Context(), c.ID)
			if err != nil || w.New == 0 || w.Inside() != 0 || w.Waiting != 0 {
				t.Fatalf("%+v, %v", w, err)
			}
			// On a slow machine some of the pages are LateRetry late, and come alone.
			for inside := 0; inside < 4; {
				tasks, err := store.QueuePages(t.Context(), c.Campaign, 4-inside)
				before := inside
				var insideErr error
				inside, insideErr = store.Inside(t.Context(), c.ID)
				if err != nil || insideErr != nil || len(tasks) == 0 || inside != before+len(tasks) || inside > 4 {
					t.Fatalf("%d pages let in, %d inside, %v, %v", len(tasks), inside, err, insideErr)
				}
			}
			if report, err := store.Verify(t.Context(), c.PublicID); err != nil || !report.OK {
				t.Errorf("%+v, %v", report, err)
			}
		}
		if ids, err := store.CampaignsToAdvance(t.Context()); err != nil || len(ids) != len(campaigns) {
			t.Errorf("to advance: %v, %v", ids, err)
		}
	})
}

// TestRetryWaitsWhilePaused: a paused retry goes on where it stood once the campaign is resumed.
func TestRetryWaitsWhilePaused(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		c := ofFailed(t, store, 3)
		retryFailed(t, store, c)
		for _, pending := range []int64{0, 3} {
			if pending == 0 {
				if _, err := store.PauseCampaign(t.Context(), c.PublicID, "by an operator"); err != nil {
					t.Fatal(err)
				}
			} else if _, err := store.ResumeCampaign(t.Context(), c.PublicID); err != nil {
				t.Fatal(err)
			}
			if err := store.ReopenPages(t.Context()); err != nil {
				t.Fatal(err)
			}
			if now, err := store.Campaign(t.Context(), c.PublicID); err != nil || now.Pending != pending || now.Pending+now.Failed != 3 {
				t.Errorf("%s: %+v, want %d pending, %v", now.Status, now.Counts, pending, err)
			}
		}
	})
}

// TestEachPageIsReopenedOnce: several processes go on with one retry.
func TestEachPageIsReopenedOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const pages = 60
		store := testkit.OpenStore(t, s.DatabaseURL)
		c := ofFailed(t, store, pages)
		retryFailed(t, store, c)
		var wg sync.WaitGroup
		for range 3 {
			other := store
			if s.Name != "embedded" { // of which there is one process only
				other = testkit.OpenStore(t, s.DatabaseURL)
			}
			wg.Go(func() {
				if err := other.ReopenPages(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := store.ReopenPages(t.Context()); err != nil { // whatever was left to one that stopped meanwhile
			t.Fatal(err)
		}
		for no := range pages {
			if p, err := store.PageOf(t.Context(), c.ID, no); err != nil || p.State != models.PageNew || p.Epoch != 2 || p.PendingRows != 1 {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		if report, err := store.Verify(t.Context(), c.PublicID); err != nil || !report.OK {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestLateRetryIsFirst: a page whose next attempts are due comes after the pages that nobody has visited, until it is ten
// seconds late: then it comes first.
func TestLateRetryIsFirst(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, time.Date(2027, 6, 4, 9, 0, 0, 0, time.UTC))
		v := firstOf25(t, store)
		retry := models.Chunk{State: models.PageNew, ReadyIn: time.Second, Outcomes: []models.RecipientOutcome{{UserID: v.Members[0], Status: models.RecipientPending, RetryIn: time.Second}}}
		if err := store.WriteChunk(t.Context(), v.Close(retry)); err != nil {
			t.Fatal(err)
		}
		next := func(want int) {
			t.Helper()
			n, err := store.ClaimNext(t.Context(), v.Campaign)
			if err != nil || n == nil || n.No != want {
				t.Fatalf("not page %d: %+v, %v", want, n, err)
			}
		}
		fresh := 4 // the first ones are queued with the POST
		for _, at := range []time.Duration{900 * time.Millisecond, 200 * time.Millisecond, 9 * time.Second} {
			clock.Tick(at)
			next(fresh)
			fresh++
		}
		if w, err := store.WindowOf(t.Context(), v.CampaignID); err != nil || w.New == 0 || w.Later != 0 {
			t.Errorf("%+v, %v", w, err)
		}
		clock.Tick(time.Second)
		if pages, err := store.QueuePages(t.Context(), v.Campaign, 1); err != nil || len(pages) != 1 || pages[0].Page != v.No {
			t.Fatalf("let in: %+v, %v", pages, err)
		}
		next(fresh)
	})
}
