package migrations_test

import (
	"fmt"
	"testing"

	"carillon/internal/testkit"
	"carillon/migrations"
	"carillon/models"
)

// Campaigns that finished before their counts were stored get them by the migration, and its way back loses none.
func TestCountsOfOlderCampaigns(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		db, dialect, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		p, err := migrations.Provider(db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		for id, finished := range map[int]int{1: 5, 2: 0, 3: 5} { // the third has no pages
			total := 20
			if id == 3 {
				total = 0
			}
			_, err := db.ExecContext(t.Context(), `INSERT INTO campaigns (id, public_id, message, inbox, kind, group_id, started_at, finished_at, status, channel, audience_type, total, planned, created_at,
				name, status_reason, group_version, mark, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, guard, retry, retry_page, priority, operation_id, created_by, expire_at)
				VALUES (?, ?, '{}', 1, 0, '', 1, ?, 'completed', 'inbox', 'users', ?, 1, 0, '', '', 0, 0, '', 1, 0, 2, 0, 'atLeastOnce', 0, '', 0, 'bulk', 'op', 'admin', 0)`,
				id, fmt.Sprintf("%026d", id), finished, total)
			if err != nil {
				t.Fatal(err)
			}
			for no := range 2 {
				if id == 3 {
					break
				}
				_, err := db.ExecContext(t.Context(), `INSERT INTO pages (campaign_id, no, state, due_at, epoch, rev, size, pos, pending_rows, rest, first_id, sent, failed, skipped, expired, cancelled, unknown)
					VALUES (?, ?, 4, 0, 1, 1, 10, 10, 0, 0, '', 3, 2, 2, 1, 1, 1)`, id, no)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := migrations.Up(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
		var stored [3]int
		for id := range 3 {
			if err := db.QueryRowContext(t.Context(), "SELECT final_sent FROM campaigns WHERE id=?", id+1).Scan(&stored[id]); err != nil {
				t.Fatal(err)
			}
		}
		if stored != [3]int{6, 0, 0} {
			t.Errorf("stored as sent: %v", stored)
		}
		want := models.Counts{Total: 20, Sent: 6, Failed: 4, Skipped: 4, Expired: 2, Cancelled: 2, Unknown: 2}
		for id, want := range []models.Counts{want, want, {}} {
			if c, err := store.CampaignByID(t.Context(), int64(id+1)); err != nil || c.Counts != want {
				t.Errorf("%d: %+v, %v", id+1, c.Counts, err)
			}
		}
	})
}
