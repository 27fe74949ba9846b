package models_test

import (
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// The kill switch takes effect for 2,000 campaigns at once, and expiry of as many holds up nobody for long. Each campaign has its
// event.
func TestManyCampaignsMoveAtOnce(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		db, dialect, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		fill(t, db, dialect)
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET status='running', finished_at=0"); err != nil {
			t.Fatal(err)
		}
		var statements int
		traced := store.Traced(func(string) { statements++ })
		measured := func(what string, most int, f func() error) {
			t.Helper()
			statements = 0
			began := time.Now()
			if err := f(); err != nil {
				t.Fatal(what, err)
			}
			t.Logf("%s of %d campaigns: %s, %d statements", what, grown, time.Since(began).Round(time.Millisecond), statements)
			if statements > most {
				t.Errorf("%s: %d statements, at most %d", what, statements, most)
			}
		}
		count := func(kind models.EventKind) {
			t.Helper()
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(DISTINCT campaign_id) FROM events WHERE kind=? AND from_status<>to_status", kind).Scan(&n); err != nil || n != grown {
				t.Errorf("%d campaigns have %s, %v", n, kind, err)
			}
		}
		measured("pause --all", 20, func() error {
			list, err := traced.PauseAll(t.Context(), "all")
			if len(list) != grown {
				t.Errorf("%d were paused", len(list))
			}
			return err
		})
		count(models.EventCampaignPaused)
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET expire_at=1"); err != nil {
			t.Fatal(err)
		}
		measured("expiry", 100, func() error { return traced.ExpireCampaigns(t.Context()) })
		count(models.EventCampaignExpired)
	})
}
