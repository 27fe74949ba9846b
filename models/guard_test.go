package models_test

import (
	"fmt"
	"slices"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// Of two processes one pauses the campaign. A trip that is out of date pauses nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		one, other := testkit.OpenStore(t, s.DatabaseURL), testkit.OpenStore(t, s.DatabaseURL)
		users(t, one, 30)
		created, err := one.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
		if err != nil {
			t.Fatal(err)
		}
		id := created.Plan.Campaign
		guard := func(store *models.Store, trip models.Trip) (paused, someSent bool) {
			t.Helper()
			trip.Reason = "too many failed"
			paused, someSent, err := store.Guard(t.Context(), id, trip)
			if err != nil {
				t.Fatal(err)
			}
			return paused, someSent
		}
		resume := func(allows ...models.FailureKind) {
			t.Helper()
			c, err := other.ResumeCampaign(t.Context(), created.PublicID)
			if err != nil || c.Status != models.StatusRunning || !slices.Equal(c.GuardAllows, allows) {
				t.Fatalf("%s, it lets %v pass, %v", c.Status, c.GuardAllows, err)
			}
			now, err := one.Controls(t.Context(), []int64{id})
			if err != nil || !slices.Equal(now[id].GuardAllows, allows) {
				t.Errorf("a worker reads %v, %v", now[id], err)
			}
		}
		denied, unread := models.FailureKind{ErrCode: 80000, HTTP: 401}, models.FailureKind{ErrCode: 80000}
		trip := models.Trip{Kinds: models.FailureKinds{denied}, Nobody: true}

		if paused, _ := guard(one, models.Trip{Run: 1, Kinds: trip.Kinds}); paused {
			t.Error("a trip of another run paused it")
		}
		if paused, _ := guard(one, trip); !paused {
			t.Error("it went on")
		}
		if paused, _ := guard(other, trip); paused {
			t.Error("it was paused twice")
		}
		resume(denied)
		if paused, _ := guard(other, trip); paused {
			t.Error("it was paused again for the same kind")
		}
		if paused, _ := guard(other, models.Trip{Kinds: models.FailureKinds{denied, unread}}); !paused {
			t.Error("it went on although a kind is new")
		}
		resume(denied, unread)
		var many models.FailureKinds
		for code := range models.Code(40) {
			many = append(many, models.FailureKind{ErrCode: 1000 + code})
		}
		if paused, _ := guard(one, models.Trip{Kinds: many}); !paused {
			t.Error("it went on although all kinds are new")
		}
		resume(models.FailureKind{ErrCode: -1}) // which is any
		if paused, _ := guard(one, models.Trip{Kinds: models.FailureKinds{{ErrCode: 7}}}); paused {
			t.Error("it was paused although every kind may pass")
		}
	})
}

// Who was sent before a retry does not count in it, and the ledger knows of those who were sent since.
func TestGuardAfterRetry(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		var ids []string
		for i := range 30 {
			ids = append(ids, fmt.Sprintf("user-%07d", i))
		}
		users(t, store, 30)
		created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: ids}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return []byte("{}") })
		if err != nil {
			t.Fatal(err)
		}
		id := created.Tasks[0].Campaign
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		exec := func(query string) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), query, id); err != nil {
				t.Fatal(err)
			}
		}
		testkit.FreePageStates(t, db)
		nobody := models.Trip{Kinds: models.FailureKinds{{ErrCode: 80000}}, Nobody: true}
		exec("UPDATE pages SET sent=10, failed=20, pos=30, state=4 WHERE campaign_id=?")
		exec("UPDATE campaigns SET status='completed', finished_at=1, final_sent=10, final_failed=20, guard_allows='80000/0' WHERE id=?")
		c, _, err := store.RetryCampaign(t.Context(), created.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientFailed}})
		if err != nil || c.GuardRun != 1 || c.GuardBase != 10 || len(c.GuardAllows) > 0 {
			t.Fatalf("run %d from %d, %v, %v", c.GuardRun, c.GuardBase, c.GuardAllows, err)
		}
		nobody.Run = 1
		exec("UPDATE pages SET sent=11, failed=9, pending_rows=10, state=3 WHERE campaign_id=?")
		if paused, someSent, err := store.Guard(t.Context(), id, nobody); paused || !someSent || err != nil {
			t.Errorf("one was sent: %t, %t, %v", paused, someSent, err)
		}
		exec("UPDATE pages SET sent=10, failed=10 WHERE campaign_id=?")
		if paused, _, err := store.Guard(t.Context(), id, nobody); !paused || err != nil {
			t.Errorf("nobody was sent: %t, %v", paused, err)
		}
	})
}
