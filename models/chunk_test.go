package models_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"carillon/internal/testkit"
	"carillon/models"
)

// ids draws IDs of all that is allowed in one, the characters that mean something to SQL and to the driver above all.
func ids(rt *rapid.T, n int) []string {
	special := []rune(`'"\?%_;-#/*()X` + "` \u00a0é🙂\u2028\ufffd")
	one := rapid.Custom(func(rt *rapid.T) string {
		r := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(special), rapid.RuneFrom(nil, unicode.Letter, unicode.Digit, unicode.Punct, unicode.Symbol, unicode.Zs)), 1, 16).Draw(rt, "id")
		return string(r)
	})
	out := rapid.SliceOfNDistinct(one, 1, n, func(id string) string { return id }).Draw(rt, "ids")
	slices.Sort(out)
	return out
}

// The hot statement is written out by hand: whatever stands in an ID or a text, the rows are those that placeholders
// would have written.
func TestOutcomesAreWrittenByteForByte(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			members := ids(rt, 30)
			created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: members}), []string{"admin"}, models.Idempotency{},
				func(models.Campaign) []byte { return []byte("{}") })
			if err != nil {
				rt.Fatal(err)
			}
			v, err := store.ClaimPage(t.Context(), created.Tasks[0])
			if err != nil || v == nil {
				rt.Fatal(err)
			}
			var want []models.RecipientOutcome
			for _, id := range members {
				want = append(want, drawOutcome(rt, id))
			}
			if err := store.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageRunning, Outcomes: want})); err != nil {
				rt.Fatal(err)
			}
			for i := range want { // and over the rows that stand
				if want[i].Status == models.RecipientPending {
					want[i] = drawOutcome(rt, want[i].UserID)
					want[i].HasRow = true
					if err := store.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageRunning, Outcomes: want[i : i+1]})); err != nil {
						rt.Fatal(err)
					}
				}
			}
			for _, o := range want {
				var got models.Recipient
				var smallInbox int
				row := db.QueryRowContext(t.Context(), "SELECT status, attempts, COALESCE(err_code,0), COALESCE(err_msg,''), COALESCE(server_msg_id,''), sent_at, next_attempt_at, (SELECT COUNT(*) FROM inbox_small i WHERE i.campaign_id=r.campaign_id AND i.user_id=r.user_id) FROM recipients r WHERE campaign_id=? AND kind=0 AND user_id=?", v.CampaignID, o.UserID)
				var code models.Code
				var msg, server string
				if err := row.Scan(&got.Status, &got.Attempts, &code, &msg, &server, &got.SentAt, &got.NextAttemptAt, &smallInbox); err != nil {
					rt.Fatalf("%q: %v", o.UserID, err)
				}
				sent, waits := o.Status == models.RecipientSent, o.Status == models.RecipientPending
				if got.Status != o.Status || got.Attempts != o.Attempts || code != o.ErrCode || msg != o.ErrMsg || server != o.ServerMsgID ||
					(got.SentAt != nil) != (sent || o.MaybeSent) || (got.NextAttemptAt != nil) != waits || (smallInbox == 1) != sent {
					rt.Fatalf("%+v stands as %+v, %d %q %q", o, got, code, msg, server)
				}
			}
			var rows int
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM recipients WHERE campaign_id=?", v.CampaignID).Scan(&rows); err != nil || rows != len(members) {
				rt.Fatalf("%d rows of %d, %v", rows, len(members), err)
			}
		})
	})
}

func drawOutcome(rt *rapid.T, id string) models.RecipientOutcome {
	o := models.RecipientOutcome{UserID: id, Attempts: rapid.IntRange(1, 9).Draw(rt, "attempts"), MaybeSent: rapid.Bool().Draw(rt, "maybe sent"),
		Status: rapid.SampledFrom([]models.RecipientStatus{models.RecipientSent, models.RecipientFailed, models.RecipientPending, models.RecipientSkipped}).Draw(rt, "status")}
	text := strings.Join(ids(rt, 3), "?'\\\x00\n")
	switch {
	case rapid.Bool().Draw(rt, "silent"):
	case o.Status == models.RecipientSent:
		o.ServerMsgID = strings.ToValidUTF8(text[:min(len(text), 64)], "")
	default:
		o.ErrCode, o.ErrMsg = models.CodeInternal, text
	}
	if o.Status == models.RecipientPending {
		o.RetryIn = time.Hour
	}
	return o
}

// TestChunkWrittenTwice: whoever got no answer to a COMMIT writes the chunk again, and is not told that the page is another's
// when it was its own first try that moved it.
func TestChunkWrittenTwice(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a", "b", "c"}}), []string{"admin"}, models.Idempotency{},
			func(models.Campaign) []byte { return []byte("{}") })
		if err != nil {
			t.Fatal(err)
		}
		v, err := store.ClaimPage(t.Context(), created.Tasks[0])
		if err != nil || v == nil {
			t.Fatal(err)
		}
		first := v.Close(models.Chunk{State: models.PageRunning, Outcomes: []models.RecipientOutcome{{UserID: "a", Status: models.RecipientSent, Attempts: 1}}})
		for range 2 {
			if err := store.WriteChunk(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
		second := v.Close(models.Chunk{State: models.PageWaiting, Outcomes: []models.RecipientOutcome{{UserID: "b", Status: models.RecipientSent, Attempts: 1}}})
		if err := store.WriteChunk(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if err := store.WriteChunk(t.Context(), first); !errors.Is(err, models.ErrFenced) {
			t.Errorf("a chunk behind the page: %v", err)
		}
		if c, err := store.Campaign(t.Context(), created.PublicID); err != nil || c.Sent != 2 || c.Pending != 1 {
			t.Errorf("%+v, %v", c.Counts, err)
		}
		pages, err := store.DuePages(t.Context(), models.PageWaiting)
		if err != nil || len(pages) != 1 {
			t.Fatal(pages, err)
		}
		if _, ok, err := store.QueuePage(t.Context(), pages[0], models.PriorityBulk); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := store.WriteChunk(t.Context(), second); !errors.Is(err, models.ErrFenced) {
			t.Errorf("the page was queued again meanwhile: %v", err)
		}
	})
}

// firstOf25 is a visit to the first page of a campaign of 25.
func firstOf25(t *testing.T, store *models.Store) *models.Visit {
	t.Helper()
	var list []string
	for i := range 25 * models.PageSize {
		list = append(list, fmt.Sprintf("user-%07d", i))
	}
	created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: list}), []string{"admin"}, models.Idempotency{},
		func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	v, err := store.ClaimPage(t.Context(), created.Tasks[0])
	if err != nil || v == nil {
		t.Fatalf("%v, %v", v, err)
	}
	return v
}

// TestPutBackIsFirst: a page that a worker has no room for goes among the first new ones, not behind all of them: it may
// come from a worker that died, and must move again soon however long the campaign is.
func TestPutBackIsFirst(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		v := firstOf25(t, store)
		if err := store.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageNew})); err != nil {
			t.Fatal(err)
		}
		// New pages are taken in the order of their time and number.
		back, err := store.PageOf(t.Context(), v.CampaignID, v.No)
		last, errLast := store.PageOf(t.Context(), v.CampaignID, 24)
		if err != nil || errLast != nil || back.State != models.PageNew || last.State != models.PageNew || back.DueAt > last.DueAt {
			t.Errorf("put back %+v, never begun %+v, %v, %v", back, last, err, errLast)
		}
		next, err := store.ClaimNext(t.Context(), v.Campaign)
		if err != nil || next == nil {
			t.Fatalf("%v, %v", next, err)
		}
		if err := store.WriteChunk(t.Context(), next.Close(models.Chunk{State: models.PageNew, ReadyIn: time.Hour})); err != nil {
			t.Fatal(err)
		}
		if late, err := store.PageOf(t.Context(), next.CampaignID, next.No); err != nil || late.DueAt <= v.Now() {
			t.Errorf("put off %+v, %v", late, err)
		}
	})
}

// TestPageKeepsItsPlace: a page whose visit is over stays in the window while new ones wait, and moves on at once: its worker
// takes it again, or queues it for another, but never both.
func TestPageKeepsItsPlace(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		v := firstOf25(t, store)
		over := models.Chunk{State: models.PageWaiting, Outcomes: []models.RecipientOutcome{{UserID: v.Members[0], Status: models.RecipientSent}}}
		inside, err := store.Inside(t.Context(), v.CampaignID)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.WriteChunk(t.Context(), v.Close(over)); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Inside(t.Context(), v.CampaignID); err != nil || n != inside {
			t.Errorf("%d pages in the window, before the visit was over %d, %v", n, inside, err)
		}
		again, err := store.ClaimAgain(t.Context(), v)
		if err != nil || again == nil || again.No != v.No || again.Epoch != v.Epoch+1 || again.Pos != 1 {
			t.Fatalf("claimed again: %+v, %v", again, err)
		}
		if tasks, err := store.HandOn(t.Context(), v); err != nil || len(tasks) != 0 {
			t.Errorf("a page that moved on was queued: %+v, %v", tasks, err)
		}
		over.Outcomes[0].UserID = v.Members[1]
		if err := store.WriteChunk(t.Context(), again.Close(over)); err != nil {
			t.Fatal(err)
		}
		tasks, err := store.HandOn(t.Context(), again)
		if err != nil || len(tasks) != 1 || tasks[0].Page != v.No || tasks[0].Epoch != again.Epoch+1 {
			t.Fatalf("handed on: %+v, %v", tasks, err)
		}
		if lost, err := store.ClaimAgain(t.Context(), again); err != nil || lost != nil {
			t.Errorf("a queued page was claimed past its task: %+v, %v", lost, err)
		}
		if next, err := store.ClaimPage(t.Context(), tasks[0]); err != nil || next == nil || next.Pos != 2 {
			t.Errorf("the task found %+v, %v", next, err)
		}
	})
}

// A database that was restored, or that a replica took over from, may hold less than a worker was told. Whoever holds a page that
// is gone is fenced: it ends instead of trying for ever.
func TestPageThatIsGone(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 1)
		v := firstOf25(t, store)
		plan := models.PlanTask{Campaign: v.CampaignID, Epoch: 1, Priority: models.PriorityBulk}
		task := models.PageTask{Campaign: v.CampaignID, Page: v.No, Epoch: v.Epoch, Priority: models.PriorityBulk}
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		lose := func(table, key string) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), "DELETE FROM "+table+" WHERE "+key+"=?", v.CampaignID); err != nil {
				t.Fatal(err)
			}
		}
		// The campaign alone: its page can still be queued, but not be visited.
		lose("campaigns", "id")
		if _, err := db.ExecContext(t.Context(), "UPDATE pages SET state=? WHERE campaign_id=? AND no=?", models.PageQueued, v.CampaignID, v.No); err != nil {
			t.Fatal(err)
		}
		if got, err := store.ClaimPage(t.Context(), task); got != nil || !errors.Is(err, models.ErrFenced) {
			t.Errorf("a page without its campaign: %v, %v", got, err)
		}
		lose("page_members", "campaign_id")
		claimed := *v
		claimed.Rev++ // by the try above
		if got, err := store.ClaimAgain(t.Context(), &claimed); got != nil || !errors.Is(err, models.ErrFenced) {
			t.Errorf("a page without its members: %v, %v", got, err)
		}
		lose("pages", "campaign_id")
		if err := store.RenewPage(t.Context(), task); !errors.Is(err, models.ErrFenced) {
			t.Errorf("its lease: %v", err)
		}
		if got, err := store.ClaimPage(t.Context(), task); got != nil || !errors.Is(err, models.ErrNotYet) {
			t.Errorf("its task: %v, %v", got, err)
		}
		if got, err := store.ClaimAgain(t.Context(), v); got != nil || err != nil {
			t.Errorf("its next visit: %v, %v", got, err)
		}
		if tasks, err := store.HandOn(t.Context(), v); len(tasks) > 0 || err != nil {
			t.Errorf("handed on: %v, %v", tasks, err)
		}
		if step, err := store.PlanNext(t.Context(), plan, nil); step.Done || !errors.Is(err, models.ErrNotYet) {
			t.Errorf("its plan: %+v, %v", step, err)
		}
		if err := store.WriteChunk(t.Context(), v.Close(models.Chunk{State: models.PageRunning})); !errors.Is(err, models.ErrFenced) {
			t.Errorf("its outcomes: %v", err)
		}
	})
}
