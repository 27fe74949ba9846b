package models_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"carillon/models"
)

// TestListsTakeFewStatements: on a busy machine, each statement that a list waits for costs more than what it reads.
func TestListsTakeFewStatements(t *testing.T) {
	t.Parallel()
	eachGrown(t, func(t *testing.T, store *models.Store, db *sql.DB, _ string) {
		const many, wanted = 40, 20
		several := models.Campaign{ID: grown + 5, Planned: true}
		for no := range many { // each page has one recipient, who failed
			blob := models.PackMembers([]string{userOf(no)})
			for _, q := range []string{
				fmt.Sprintf("INSERT INTO pages (campaign_id, no, state, due_at, epoch, rev, size, pos, pending_rows, rest, first_id, sent, failed, skipped, expired, cancelled, unknown)"+
					" VALUES (%d,%d,%d,0,1,1,1,1,0,0,'%s',0,1,0,0,0,0)", several.ID, no, models.PageDone, userOf(no)),
				fmt.Sprintf("INSERT INTO page_members (campaign_id, no, members) VALUES (%d,%d,X'%X')", several.ID, no, blob),
				fmt.Sprintf("INSERT INTO recipients (campaign_id, kind, user_id, status, attempts) VALUES (%d,0,'%s',%d,1)", several.ID, userOf(no), models.RecipientFailed),
			} {
				if _, err := db.ExecContext(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET final_sent=total WHERE finished_at<>0 AND id<1000"); err != nil {
			t.Fatal(err)
		}
		n := 0
		traced := store.Traced(func(string) { n++ })
		for _, list := range []struct {
			what string
			most int
			read func() (int, error)
			want int
		}{
			{"campaigns of a user who has many", 8, func() (int, error) {
				list, _, err := traced.UserCampaigns(t.Context(), userOf(7), 0, 100)
				return len(list), err
			}, 100},
			{"campaigns of a user who has none", 13, func() (int, error) {
				list, _, err := traced.UserCampaigns(t.Context(), userOf(9), 1900, 100)
				return len(list), err
			}, 0},
			{"the same where all were sent, which needs no pages", 11, func() (int, error) {
				list, _, err := traced.UserCampaigns(t.Context(), userOf(9), 1000, 100)
				return len(list), err
			}, 0},
			{"failed recipients, one a page", wanted + 5, func() (int, error) {
				failed := models.RecipientFailed
				list, next, err := traced.Recipients(t.Context(), several, models.RecipientFilter{Status: &failed, Limit: wanted})
				if next == nil || next.Page != wanted {
					t.Errorf("goes on at %v", next)
				}
				return len(list), err
			}, wanted},
		} {
			n = 0
			if got, err := list.read(); err != nil || got != list.want || n == 0 || n > list.most {
				t.Errorf("%s: %d entries after %d statements, want %d after at most %d: %v", list.what, got, n, list.want, list.most, err)
			}
		}
	})
}

// TestNamesAreComparedOnce: a part of a name has no index, so that all rows may have to be read for it.
func TestNamesAreComparedOnce(t *testing.T) {
	t.Parallel()
	eachGrown(t, func(t *testing.T, store *models.Store, _ *sql.DB, _ string) {
		compared := 0
		traced := store.Traced(func(sql string) { compared += strings.Count(sql, " LIKE ") })
		for name, want := range map[string]int{"PART 7": 10, "part 77": 10, "nothing like it": 0} {
			compared = 0
			list, err := traced.Campaigns(t.Context(), models.CampaignFilter{Name: name, Limit: 10})
			if err != nil || len(list) != want || compared != 1 {
				t.Errorf("%s: %d campaigns after %d comparisons, want %d after one: %v", name, len(list), compared, want, err)
			}
			for i, c := range list {
				if !strings.Contains(c.Name, strings.ToLower(name)) || c.Sent != 1 || i > 0 && c.ID >= list[i-1].ID {
					t.Errorf("%s: %d %q, %d sent", name, c.ID, c.Name, c.Sent)
				}
			}
		}
	})
}
