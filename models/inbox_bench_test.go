package models_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

const (
	benchCampaigns = 10_000
	benchBegan     = models.Millis(1_700_000_000_000)
	benchMinute    = models.Millis(60_000) // from one campaign to the next
)

// BenchmarkInboxRead prints the p50 and p99 of reading 100 messages on MariaDB, with 10,000 finished
// campaigns in the ledger, every other one of them large: for a user who is in all of them, for one who is in
// none, and for one who is in none but in 100 groups that got the small ones, from the inbox's start, middle
// and end; and of the streams' look for what is new. The promise is p99 ≤ 50 ms. It needs MariaDB's sequence
// engine.
//
//	go test ./models -run '^$' -bench InboxRead -benchtime 1x
func BenchmarkInboxRead(b *testing.B) {
	store := testkit.OpenStore(b, testkit.MySQLURL(b))
	fillInboxes(b, store)
	last := benchBegan + benchCampaigns*benchMinute
	for range b.N {
		for _, user := range []string{"user-in-all", "user-in-none", "user-in-groups"} {
			for _, from := range []struct {
				name string
				at   models.Millis
				want int
			}{{"start", 0, 100}, {"middle", (benchBegan + last) / 2, 100}, {"end", last, 1}} {
				want := from.want
				if user == "user-in-none" {
					want = 0
				}
				report(b, user+"-"+from.name, func() error {
					got, err := store.Inbox(b.Context(), user, models.InboxCursor{SentAt: from.at}, 100)
					if err == nil && len(got) != want {
						err = fmt.Errorf("%d messages, want %d", len(got), want)
					}
					return err
				})
			}
		}
		report(b, "news", func() error {
			_, err := store.InboxNews(b.Context(), []string{"user-in-all", "user-in-none"}, last+60*benchMinute)
			return err
		})
	}
}

func report(b *testing.B, name string, read func() error) {
	took := make([]time.Duration, 300)
	for i := range took {
		begun := time.Now()
		if err := read(); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", name, p))
	}
}

// fillInboxes writes the campaigns, the readers' rows, and beside them 150 recipients of each large campaign,
// so that each of those look-ups has a page of its own to read.
func fillInboxes(b *testing.B, store *models.Store) {
	b.Helper()
	db, _, err := store.Writer()
	if err != nil {
		b.Fatal(err)
	}
	message := `{"sendID":"admin","content":{"content":"` + fmt.Sprintf("%0200d", 0) + `"},"contentType":101,"sessionType":1}`
	for _, q := range []string{
		fmt.Sprintf(`INSERT INTO campaigns (id, public_id, message, inbox, status, channel, audience_type, total, planned, created_at, started_at, finished_at,
				name, status_reason, group_id, group_version, kind, mark, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, retry, retry_page,
				priority, operation_id, created_by, expire_at)
			SELECT seq, LPAD(seq,26,'0'), '%s', 1+seq%%2, 'completed', 'inbox', 'all', 1000000, 1, %[2]d+seq*%[3]d-2000, %[2]d+seq*%[3]d-1000, %[2]d+seq*%[3]d+1000,
				'', '', '', 0, 0, 0, '', 1, 0, 1, 0, 'atLeastOnce', '', 0, 'bulk', 'op', 'admin', 0 FROM seq_1_to_%[4]d`,
			message, benchBegan, benchMinute, benchCampaigns),
		fmt.Sprintf(`INSERT INTO recipients SELECT seq, 0, 'user-in-all', 1, 1, %d+seq*%d, NULL, NULL, NULL, NULL FROM seq_1_to_%d`, benchBegan, benchMinute, benchCampaigns),
		`INSERT INTO recipients SELECT c.id, 0, CONCAT('user-', LPAD(s.seq*7,7,'0')), 1, 1, c.started_at+1000, NULL, NULL, NULL, NULL
			FROM campaigns c JOIN seq_1_to_150 s WHERE c.inbox=2`,
		`INSERT INTO inbox_small SELECT 0, 'user-in-all', started_at+1000, id FROM campaigns WHERE inbox=1`,
		`INSERT INTO chat_groups SELECT CONCAT('group-', seq), '', 1, 1 FROM seq_0_to_99`,
		`INSERT INTO group_members SELECT CONCAT('group-', seq), 1, 'user-in-groups' FROM seq_0_to_99`,
		`INSERT INTO inbox_small SELECT 1, CONCAT('group-', id DIV 2 % 100), started_at+1000, id FROM campaigns WHERE inbox=1`,
		`ANALYZE TABLE campaigns, recipients, inbox_small`,
	} {
		if _, err := db.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
