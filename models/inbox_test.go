package models_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// ledgerMessage is one message as a test puts it into the ledger.
type ledgerMessage struct {
	campaign int64
	group    string
	sentAt   models.Millis
}

func (m ledgerMessage) cursor() models.InboxCursor {
	return models.InboxCursor{SentAt: m.sentAt, Campaign: m.campaign}
}

// overlapping fills the ledger with 400 campaigns that run for up to a minute at the same time, small and
// large ones and ones for groups, some unfinished, and returns the reader's messages in order.
func overlapping(t *testing.T, store *models.Store, random *rand.Rand) []ledgerMessage {
	t.Helper()
	db, _, err := store.Writer()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"choir", "band"} {
		if _, err := store.PutGroup(t.Context(), group, nil, []string{"reader"}); err != nil {
			t.Fatal(err)
		}
	}
	// the messages are older than the test, and so have the groups to be
	if _, err := db.ExecContext(t.Context(), "UPDATE chat_groups SET added_at=0"); err != nil {
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
	var want []ledgerMessage
	for id := range int64(400) {
		m := ledgerMessage{campaign: id + 1}
		started := benchBegan + models.Millis(random.IntN(400))*250 // many start at once
		m.sentAt = started + models.Millis(random.IntN(60_000))
		inbox, kind, to := 1+random.IntN(2), models.KindUser, "reader"
		if inbox == 1 && random.IntN(3) == 0 {
			m.group = []string{"choir", "band"}[random.IntN(2)]
			kind, to = models.KindGroup, m.group
		}
		finished := m.sentAt + models.Millis(random.IntN(5_000))
		if random.IntN(20) == 0 {
			finished = 0
		}
		exec(`INSERT INTO campaigns (id, public_id, message, inbox, kind, group_id, started_at, finished_at, status, channel, audience_type, total, planned, created_at,
			name, status_reason, group_version, mark, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, retry, retry_page, priority, operation_id, created_by, expire_at)
			VALUES (?, ?, '{}', ?, ?, ?, ?, ?, 'running', 'inbox', 'users', 1, 1, 0, '', '', 0, 0, '', 1, 0, 1, 0, 'atLeastOnce', '', 0, 'bulk', 'op', 'admin', 0)`,
			m.campaign, fmt.Sprintf("%026d", id), inbox, kind, m.group, started, finished)
		if random.IntN(10) == 0 {
			to = "another"
		} else {
			want = append(want, m)
		}
		exec("INSERT INTO recipients (campaign_id, kind, user_id, status, attempts, sent_at) VALUES (?, ?, ?, 1, 1, ?)", m.campaign, kind, to, m.sentAt)
		if inbox == 1 {
			exec("INSERT INTO inbox_small (kind, user_id, sent_at, campaign_id) VALUES (?, ?, ?, ?)", kind, to, m.sentAt, m.campaign)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, func(a, b ledgerMessage) int {
		return cmp.Or(cmp.Compare(a.sentAt, b.sentAt), cmp.Compare(a.campaign, b.campaign))
	})
	return want
}

// Every page holds the next messages in order, and before them all of the ten seconds up to the cursor,
// however campaigns overlap.
func TestInboxPagesAreInOrderAndComplete(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		store := testkit.OpenStore(t, stores.DatabaseURL)
		want := overlapping(t, store, random)
		for _, limit := range []int{10 + random.IntN(10), 50, 1000} {
			var cursor models.InboxCursor
			for next := 0; next < len(want); {
				got, err := store.Inbox(t.Context(), "reader", cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				from := next
				for from > 0 && want[from-1].sentAt >= cursor.SentAt-10_000 {
					from--
				}
				page := want[from:min(next+limit, len(want))]
				if len(got) != len(page) {
					t.Fatalf("limit %d at message %d: %d messages, want %d", limit, next, len(got), len(page))
				}
				for i, m := range page {
					if got[i].Cursor() != m.cursor() || got[i].GroupID != m.group || got[i].Campaign.ID != m.campaign {
						t.Fatalf("limit %d at message %d: %+v, want %+v", limit, next, got[i].Cursor(), m)
					}
				}
				cursor = page[len(page)-1].cursor()
				next += limit
			}
		}
	})
}

// InboxNews names each message of the given users since a time and of the ten seconds before, and no other.
func TestInboxNewsIsWhatWasStored(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		store := testkit.OpenStore(t, stores.DatabaseURL)
		all := overlapping(t, store, rand.New(rand.NewPCG(seed, 0)))
		for _, since := range []models.Millis{0, all[len(all)/2].sentAt, all[len(all)-1].sentAt + 10_001} {
			var want []models.InboxNews
			for _, m := range all {
				if m.sentAt >= since-10_000 {
					want = append(want, models.InboxNews{UserID: "reader", Campaign: m.campaign, GroupID: m.group})
				}
			}
			got, err := store.InboxNews(t.Context(), []string{"nobody", "reader"}, since)
			if err != nil {
				t.Fatal(err)
			}
			for _, list := range [][]models.InboxNews{got, want} {
				slices.SortFunc(list, func(a, b models.InboxNews) int { return cmp.Compare(a.Campaign, b.Campaign) })
			}
			if !slices.Equal(got, want) {
				t.Errorf("since %d: %d news, want %d", since, len(got), len(want))
			}
		}
	})
}

// However many messages are asked for, one read holds a bounded number of bytes, and gets on.
func TestInboxReadIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, stores testkit.Stores) {
		store := testkit.OpenStore(t, stores.DatabaseURL)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		const messages, each = 120, 64 << 10
		for i := range messages {
			message := fmt.Sprintf(`{"content":{"n":%d,"text":"%s"}}`, i, strings.Repeat("x", each))
			for _, q := range []struct {
				text string
				args []any
			}{
				{`INSERT INTO campaigns (id, public_id, message, inbox, kind, group_id, started_at, finished_at, status, channel, audience_type, total, planned, created_at,
					name, status_reason, group_version, mark, plan_cursor, plan_epoch, plan_due, pages, rate_per_second, delivery, guard_allows, retry, retry_page, priority, operation_id, created_by, expire_at)
					VALUES (?, ?, ?, 1, 0, '', 1, 2, 'completed', 'inbox', 'users', 1, 1, 0, '', '', 0, 0, '', 1, 0, 1, 0, 'atLeastOnce', '', '', 0, 'bulk', 'op', 'admin', 0)`,
					[]any{i + 1, fmt.Sprintf("%026d", i), message}},
				{"INSERT INTO inbox_small (kind, user_id, sent_at, campaign_id) VALUES (0, 'reader', ?, ?)", []any{benchBegan + models.Millis(i)*60_000, i + 1}},
			} {
				if _, err := db.ExecContext(t.Context(), q.text, q.args...); err != nil {
					t.Fatal(err)
				}
			}
		}
		seen, reads := map[int64]bool{}, 0
		for cursor := (models.InboxCursor{}); len(seen) < messages; reads++ {
			page, err := store.Inbox(t.Context(), "reader", cursor, 1000)
			if err != nil {
				t.Fatal(err)
			}
			size, before := 0, len(seen)
			for _, m := range page {
				size += len(m.Campaign.Message.Content)
				seen[m.Campaign.ID], cursor = true, cursor.Later(m.Cursor())
			}
			if size > 5<<20 || len(seen) == before {
				t.Fatalf("a read of %d bytes, %d new messages", size, len(seen)-before)
			}
		}
		if reads > 4 {
			t.Errorf("%d reads", reads)
		}
	})
}
