package models_test

import (
	"slices"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// planStep plans the next pages of a campaign, every zone's turn being now.
func planStep(t *testing.T, store *models.Store, task models.PlanTask) (done bool) {
	t.Helper()
	step, err := store.PlanNext(t.Context(), task, func(*models.Campaign, string, models.Millis) models.ZoneStart { return models.ZoneStart{} })
	if err != nil {
		t.Fatal(err)
	}
	return step.Done
}

func create(t *testing.T, store *models.Store, sp models.CampaignSpec) models.Created {
	t.Helper()
	c, err := store.CreateCampaign(t.Context(), sp, []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSenderAmongRecipients: a broadcast leaves its sender out; a list and a group keep whom they name. Quiet hours and
// local time change nothing about that, and planning, the total, verify, and the reason for one user agree.
func TestSenderAmongRecipients(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		names := []string{"ann", "bob", "sender"}
		for _, id := range names {
			if _, err := store.UpsertUsers(t.Context(), []models.UserChange{{UserID: id}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.PutGroup(t.Context(), "g", nil, names); err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]models.Audience{
			"all":   {Type: models.AudienceAll},
			"list":  {Type: models.AudienceUsers, UserIDs: names},
			"group": {Type: models.AudienceGroup, GroupID: "g"},
		} {
			for timing, tm := range map[string]models.Timing{"at once": {}, "quiet hours": {QuietFrom: 60, QuietTo: 120, Zone: "UTC"}, "local time": {WallAt: 1, Missed: models.MissedSkip, Zone: "UTC"}} {
				t.Run(name+" "+timing, func(t *testing.T) {
					sp := spec(a)
					sp.Message.SendID, sp.Timing = "sender", tm
					if a.GroupID != "" {
						sp.Message.SessionType = models.SessionGroup
					}
					made := create(t, store, sp)
					c := campaignOf(t, store, made)
					first := c.Counts.Total
					for made.Plan != nil && !planStep(t, store, *made.Plan) {
					}
					c = campaignOf(t, store, made)
					want := names
					if name == "all" {
						want = names[:2]
					}
					list, next, err := store.Recipients(t.Context(), c.Campaign, models.RecipientFilter{Limit: 10})
					var got []string
					for _, r := range list {
						got = append(got, r.UserID)
					}
					if err != nil || next != nil || !slices.Equal(got, want) || c.Counts.Total != int64(len(want)) || first != c.Counts.Total {
						t.Fatalf("%v, total %d, then %d, %v, %v", got, first, c.Counts.Total, next, err)
					}
					if report, err := store.Verify(t.Context(), made.PublicID); err != nil || !report.OK {
						t.Errorf("%+v, %v", report, err)
					}
					_, err = store.Recipient(t.Context(), c.Campaign, "sender")
					if (name == "all") != (err != nil && strings.Contains(err.Error(), "the sender of a campaign to all users")) {
						t.Errorf("why: %v", err)
					}
					if name != "all" { // as planning once dropped the sender
						withoutLast(t, store, c)
						if report, err := store.Verify(t.Context(), made.PublicID); err != nil || report.OK {
							t.Errorf("a list without the sender: %+v, %v", report, err)
						}
					}
				})
			}
		}
	})
}

func campaignOf(t *testing.T, store *models.Store, made models.Created) models.CampaignView {
	t.Helper()
	c, err := store.Campaign(t.Context(), made.PublicID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// withoutLast takes the last member out of a campaign's only page. A group's total follows, a list's is what it named.
func withoutLast(t *testing.T, store *models.Store, c models.CampaignView) {
	t.Helper()
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	for query, args := range map[string][]any{
		"UPDATE page_members SET members=? WHERE campaign_id=? AND no=0":                {models.PackMembers([]string{"ann", "bob"}), c.ID},
		"UPDATE pages SET size=2 WHERE campaign_id=? AND no=0":                          {c.ID},
		"UPDATE campaigns SET total=2 WHERE id=? AND audience_type='group' AND total=3": {c.ID},
	} {
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListWhileAudienceIsCut: a reader that follows the cursor while the audience is being cut meets everybody once,
// whatever step planning is at, and verify proves nothing before the end.
func TestListWhileAudienceIsCut(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		const n = 9500 // three steps
		for name, tm := range map[string]models.Timing{"in one walk": {}, "by zone": {QuietFrom: 60, QuietTo: 120, Zone: "Asia/Kolkata"}} {
			t.Run(name, func(t *testing.T) {
				store := testkit.OpenStore(t, s.DatabaseURL)
				users(t, store, n)
				for i, zone := range someZones {
					if _, err := store.UpsertUsers(t.Context(), []models.UserChange{{UserID: "user-000000" + string(rune('0'+i)), Timezone: &zone}}); err != nil {
						t.Fatal(err)
					}
				}
				for _, pending := range []bool{false, true} {
					f := models.RecipientFilter{Limit: 700}
					if pending {
						status := models.RecipientPending
						f.Status = &status
					}
					sp := spec(models.Audience{Type: models.AudienceAll})
					sp.Timing = tm
					made := create(t, store, sp)
					c, seen := campaignOf(t, store, made).Campaign, map[string]bool{}
					read := func() (end bool) {
						for {
							list, next, err := store.Recipients(t.Context(), c, f)
							if err != nil {
								t.Fatal(err)
							}
							for _, r := range list {
								if seen[r.UserID] {
									t.Fatalf("%s comes twice", r.UserID)
								}
								seen[r.UserID] = true
							}
							if next == nil || len(list) == 0 {
								return next == nil
							}
							f.From = *next
						}
					}
					for done := false; !done; done = planStep(t, store, *made.Plan) {
						if read() {
							t.Fatalf("the list ends at %d recipients, before the plan does", len(seen))
						}
						if r, err := store.Verify(t.Context(), made.PublicID); err != nil || r.OK || r.Planned || len(r.Findings) > 0 {
							t.Errorf("verify in the middle: %+v, %v", r, err)
						}
					}
					if !read() || len(seen) != n {
						t.Errorf("%d of %d are listed", len(seen), n)
					}
					if r, err := store.Verify(t.Context(), made.PublicID); err != nil || !r.OK || !r.Planned {
						t.Errorf("verify at the end: %+v, %v", r, err)
					}
				}
			})
		}
	})
}
