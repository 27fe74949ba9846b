package models_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// Each way of breaking a ledger by hand is found.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 3000)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			damage string
			want   string
		}{
			"nothing":         {"", ""},
			"a row deleted":   {"DELETE FROM recipients WHERE campaign_id=%d AND user_id='user-0001234'", "have no row"},
			"a row added":     {"INSERT INTO recipients (campaign_id,kind,user_id,status,attempts) VALUES (%d,0,'stranger',1,1)", "the pages' cursors say"},
			"added twice":     {"UPDATE page_members SET members=(SELECT m FROM (SELECT members AS m FROM page_members WHERE campaign_id=%[1]d AND no=0) x) WHERE campaign_id=%[1]d AND no=1", "comes twice"},
			"counter changed": {"UPDATE pages SET sent=sent-1, failed=failed+1 WHERE campaign_id=%d AND no=2", "counts 999 sent"},
			"page removed":    {"DELETE FROM pages WHERE campaign_id=%d AND no=1", "pages 1 to 1 are missing"},
			"last one gone":   {"DELETE FROM pages WHERE campaign_id=%d AND no=2", "stand in no page"},
			"status changed":  {"UPDATE recipients SET status=0 WHERE campaign_id=%d AND user_id='user-0000001'", "pending"},
			"total changed":   {"UPDATE campaigns SET total=total+1 WHERE id=%d", "the campaign's total is 3001"},
		} {
			created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
			if err != nil {
				t.Fatal(err)
			}
			sendAll(t, store, created)
			if c.damage != "" {
				if _, err := db.ExecContext(t.Context(), fmt.Sprintf(c.damage, created.Plan.Campaign)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			report, err := store.Verify(t.Context(), created.PublicID)
			if err != nil {
				t.Fatal(err)
			}
			if report.OK != (c.want == "") || !strings.Contains(fmt.Sprint(report.Findings), c.want) {
				t.Errorf("%s: %+v", name, report)
			}
		}
	})
}
