package models_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// fail writes the outcomes that pick says for all members of all pages.
func fail(t *testing.T, store *models.Store, tasks []models.PageTask, pick func(id string) models.RecipientOutcome) {
	t.Helper()
	for _, task := range tasks {
		v, err := store.ClaimPage(t.Context(), task)
		if err != nil || v == nil {
			t.Fatal(v, err)
		}
		outcomes := make([]models.RecipientOutcome, len(v.Members))
		for i, id := range v.Members {
			outcomes[i] = pick(id)
			outcomes[i].UserID, outcomes[i].Attempts = id, 1
		}
		if err := store.WriteChunk(t.Context(), v.Close(models.Chunk{Outcomes: outcomes, State: models.PageRunning})); err != nil {
			t.Fatal(err)
		}
	}
}

// The reasons of all pages are counted together, the most frequent first, and the sums hold.
func TestFailures(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		ids := make([]string, 4000)
		for i := range ids {
			ids[i] = fmt.Sprintf("user-%07d", i)
		}
		made, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		c, err := store.Campaign(t.Context(), made.PublicID)
		if err != nil {
			t.Fatal(err)
		}
		none, err := store.Failures(t.Context(), c.Campaign, 10)
		if err != nil || !reflect.DeepEqual(none, models.Failures{List: []models.Failure{}}) {
			t.Errorf("before anybody failed: %+v %v", none, err)
		}
		failed, unknown := models.RecipientFailed, models.RecipientUnknown
		fail(t, store, made.Tasks, func(id string) models.RecipientOutcome {
			var i int
			_, _ = fmt.Sscanf(id, "user-%d", &i)
			switch {
			case i >= 1000 && i < 2000: // a page of which nobody failed
			case i%1000 < 7:
				return models.RecipientOutcome{Status: failed, ErrCode: 80000, ErrMsg: "refused <&>"}
			case i%1000 < 9:
				return models.RecipientOutcome{Status: failed, ErrCode: 90004, ErrMsg: "refused <&>"}
			case i == 10:
				return models.RecipientOutcome{Status: unknown}
			case i == 3999:
				return models.RecipientOutcome{Status: unknown, ErrCode: 90004, ErrMsg: "no answer"}
			}
			return models.RecipientOutcome{Status: models.RecipientSent}
		})
		all := []models.Failure{{failed, 80000, "refused <&>", 21}, {failed, 90004, "refused <&>", 6}, {unknown, 0, models.NoReason, 1}, {unknown, 90004, "no answer", 1}}
		for limit := range 6 {
			f, err := store.Failures(t.Context(), c.Campaign, limit)
			want := models.Failures{List: all[:min(limit, 4)], Rest: 29, Total: 29}
			for _, one := range want.List {
				want.Rest -= one.Count
			}
			if err != nil || !reflect.DeepEqual(f, want) {
				t.Errorf("limit %d: %+v, want %+v, %v", limit, f, want, err)
			}
		}
		sameByStatus(t, store, c.Campaign)
	})
}

// Pages of different time zones interleave; a campaign that failed as a whole has recipients without rows.
func TestFailuresOfZonesAndOfTheWholeCampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		c := byZone(t, store, 2600)
		tasks, err := store.QueuePages(t.Context(), c.Campaign, 100)
		if err != nil {
			t.Fatal(err)
		}
		fail(t, store, tasks, func(id string) models.RecipientOutcome {
			if strings.HasSuffix(id, "99") {
				return models.RecipientOutcome{Status: models.RecipientFailed, ErrCode: 80000, ErrMsg: "x"}
			}
			return models.RecipientOutcome{Status: models.RecipientSent}
		})
		f, err := store.Failures(t.Context(), c.Campaign, 10)
		if err != nil || len(f.List) != 1 || f.List[0].Count != 26 || f.Total != 26 {
			t.Errorf("%+v %v", f, err)
		}
		sameByStatus(t, store, c.Campaign)

		made, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{"a", "b"}}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE campaigns SET status='failed', status_reason='could not start: x' WHERE public_id=?", made.PublicID); err != nil {
			t.Fatal(err)
		}
		if c, err = store.Campaign(t.Context(), made.PublicID); err != nil {
			t.Fatal(err)
		}
		if _, err := store.CloseCampaign(t.Context(), c.Campaign, true); err != nil {
			t.Fatal(err)
		}
		f, err = store.Failures(t.Context(), c.Campaign, 10)
		if want := []models.Failure{{models.RecipientFailed, 0, "could not start: x", 2}}; err != nil || !reflect.DeepEqual(f.List, want) || f.Total != 2 {
			t.Errorf("%+v %v", f, err)
		}
		if rec, err := store.Recipient(t.Context(), c.Campaign, "b"); err != nil || rec.ErrMsg == nil || *rec.ErrMsg != "could not start: x" {
			t.Errorf("%+v %v", rec, err)
		}
		sameByStatus(t, store, c.Campaign)
	})
}

// sameByStatus: the lists of recipients by status hold, page by page, what the list of all holds.
func sameByStatus(t *testing.T, store *models.Store, c models.Campaign) {
	t.Helper()
	walk := func(f models.RecipientFilter) (all []models.Recipient) {
		for next := (&models.RecipientCursor{}); next != nil; {
			var list []models.Recipient
			var err error
			f.From = *next
			if list, next, err = store.Recipients(t.Context(), c, f); err != nil || len(list) > f.Limit {
				t.Fatal(len(list), err)
			}
			all = append(all, list...)
		}
		return all
	}
	all := walk(models.RecipientFilter{Limit: 1500})
	if int64(len(all)) != c.Total {
		t.Errorf("%d recipients of %d", len(all), c.Total)
	}
	for i := range models.RecipientStatusNames {
		status := models.RecipientStatus(i)
		var want []models.Recipient
		for _, r := range all {
			if r.Status == status {
				want = append(want, r)
			}
		}
		if got := walk(models.RecipientFilter{Status: &status, Limit: max(1, len(want)/3)}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d recipients, want %d", status, len(got), len(want))
		}
	}
}
