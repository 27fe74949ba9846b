package models_test

import (
	"errors"
	"fmt"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

var someZones = []string{"Asia/Tokyo", "Europe/Berlin", "America/New_York", "America/Lima", ""}

// byZone posts an all-users campaign with quiet hours over n users of some zones, and plans it to its end. Between the
// steps the plan is taken over, as after a crash.
func byZone(t *testing.T, store *models.Store, n int) models.CampaignView {
	t.Helper()
	var list []models.UserChange
	for i := range n {
		list = append(list, models.UserChange{UserID: fmt.Sprintf("user-%07d", i), Timezone: new(someZones[(i+i/7)%len(someZones)])})
	}
	for i := 0; i < n; i += 1000 {
		if _, err := store.UpsertUsers(t.Context(), list[i:min(n, i+1000)]); err != nil {
			t.Fatal(err)
		}
	}
	sp := spec(models.Audience{Type: models.AudienceAll})
	sp.Timing = models.Timing{QuietFrom: 60, QuietTo: 120, Zone: "Asia/Kolkata"}
	c, err := store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	turn := func(*models.Campaign, string, models.Millis) models.ZoneStart { return models.ZoneStart{} }
	for task, steps := *c.Plan, 0; ; steps++ {
		step, err := store.PlanNext(t.Context(), task, turn)
		if err != nil {
			t.Fatal(err)
		}
		if step.Done {
			break
		}
		if _, err := store.PlanNext(t.Context(), models.PlanTask{Campaign: task.Campaign, Epoch: task.Epoch - 1}, turn); !errors.Is(err, models.ErrFenced) {
			t.Fatalf("a planner that was taken over: %v", err)
		}
	}
	v, err := store.Campaign(t.Context(), c.PublicID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPlanByZone: one walk cuts every user into one page of their zone, and pages are full but for the last of each zone.
func TestPlanByZone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		const n = 23_456 // three steps of planning
		c := byZone(t, store, n)
		if c.Counts.Total != n || !c.Planned {
			t.Fatalf("%+v", c)
		}
		short, members := map[string]int{}, 0
		for no := range c.Pages {
			p, err := store.PageOf(t.Context(), c.ID, no)
			if err != nil {
				t.Fatal(err)
			}
			if p.State != models.PageNew || p.Zone == "" {
				t.Errorf("page %d: state %d, zone %q", no, p.State, p.Zone)
			}
			if p.Size < models.PageSize {
				short[p.Zone]++
			}
			members += p.Size
		}
		for zone, n := range short {
			if n > 1 {
				t.Errorf("%d pages of %s are not full", n, zone)
			}
		}
		if members != n || len(short) > len(someZones) {
			t.Errorf("%d members, %d zones", members, len(short))
		}
		if report, err := store.Verify(t.Context(), c.PublicID); err != nil || !report.OK {
			t.Fatalf("%+v, %v", report, err)
		}
		for _, id := range []string{"user-0000000", "user-0012345", "user-0023455"} {
			if rec, err := store.Recipient(t.Context(), c.Campaign, id); err != nil || rec.UserID != id || rec.Status != models.RecipientPending {
				t.Errorf("%s: %+v, %v", id, rec, err)
			}
		}
		if _, err := store.Recipient(t.Context(), c.Campaign, "user-0023456"); models.AsError(err).Code != models.CodeRecordNotFound {
			t.Errorf("a stranger: %v", err)
		}
	})
}

// TestVerifyByZone: a user in pages of two zones is found, and one who is in none.
func TestVerifyByZone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		c := byZone(t, store, 500)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
				t.Fatal(err)
			}
		}
		damaged := func(what string) {
			t.Helper()
			report, err := store.Verify(t.Context(), c.PublicID)
			if err != nil || report.OK {
				t.Errorf("%s: %+v, %v", what, report, err)
			}
			t.Log(report.Findings)
		}
		var members []byte
		if err := db.QueryRowContext(t.Context(), "SELECT members FROM page_members WHERE campaign_id=? AND no=0", c.ID).Scan(&members); err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO pages (campaign_id,no,state,due_at,epoch,rev,size,pos,pending_rows,rest,first_id,sent,failed,skipped,expired,cancelled,unknown,zone)"+
			" SELECT campaign_id,?,state,due_at,epoch,rev,size,pos,pending_rows,rest,first_id,sent,failed,skipped,expired,cancelled,unknown,'Asia/Dili' FROM (SELECT * FROM pages WHERE campaign_id=? AND no=0) p", c.Pages, c.ID)
		exec("INSERT INTO page_members (campaign_id,no,members) VALUES (?,?,?)", c.ID, c.Pages, members)
		exec("UPDATE campaigns SET pages=pages+1, total=total+(SELECT size FROM pages WHERE campaign_id=? AND no=0) WHERE id=?", c.ID, c.ID)
		damaged("a page of another zone with the same users")
		exec("UPDATE campaigns SET pages=pages-2, total=500-(SELECT size FROM pages WHERE campaign_id=? AND no=?) WHERE id=?", c.ID, c.Pages-1, c.ID)
		exec("DELETE FROM pages WHERE campaign_id=? AND no>=?", c.ID, c.Pages-1)
		damaged("a page of a zone removed")
	})
}
