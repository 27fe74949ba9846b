package jobs_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/jobs"
	"carillon/models"
)

// Two processes purge what is old while another campaign runs; that one is whole, and the old one's counts stay.
func TestOldRecipientsGoWhileACampaignRuns(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		r := newRig(t, s, jobs.Options{})
		r.users(1500)
		old := r.finished(r.post(spec(models.Audience{Type: models.AudienceAll})))
		db, _, err := r.store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET finished_at=finished_at-7200000 WHERE id=?", old.ID); err != nil {
			t.Fatal(err)
		}
		id := r.post(spec(models.Audience{Type: models.AudienceAll}))
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		for range 2 {
			rec := jobs.NewReconciler(jobs.NewShared(r.store, r.queue, jobs.Options{}, log), jobs.Retention{IdempotencyKeys: time.Hour, Recipients: time.Hour})
			rec.Start()
			t.Cleanup(rec.Stop)
		}
		if c := r.finished(id); c.Sent != 1500 || len(r.statuses(c)) != 1500 {
			t.Errorf("%+v", c.Counts)
		}
		var left, open int
		testkit.Eventually(t, "the old campaign's rows are gone", testkit.Patience, func() bool {
			err := db.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM recipients WHERE campaign_id=?) + (SELECT COUNT(*) FROM pages WHERE campaign_id=?), (SELECT COUNT(*) FROM campaigns WHERE purge_due>0)",
				old.ID, old.ID).Scan(&left, &open)
			if err != nil {
				t.Fatal(err)
			}
			c, err := r.store.CampaignByID(t.Context(), old.ID)
			if err != nil || c.Counts != old.Counts {
				t.Fatalf("%+v, were %+v; %v", c.Counts, old.Counts, err)
			}
			return left == 0 && open == 0 && c.PurgedAt != 0
		}, func() any { return fmt.Sprintf("%d rows of it, %d campaigns to purge", left, open) })
	})
}
