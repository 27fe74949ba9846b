package models_test

import (
	"context"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/models"
)

// history is all that happened to a campaign, oldest first.
func history(t testing.TB, store *models.Store, publicID string) []models.Event {
	t.Helper()
	list, err := store.Events(t.Context(), models.EventFilter{CampaignID: publicID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var found []models.Event
	for i := range list {
		found = append(found, list[len(list)-1-i])
	}
	return found
}

// broken says what is wrong with a campaign's history, or "": each change begins where the one before ended, every change is one
// that the state machine allows, and the last one is how the campaign stands.
func broken(c models.Campaign, events []models.Event) string {
	if len(events) == 0 || events[0].Kind != models.EventCampaignCreated {
		return "it does not begin with the campaign's creation"
	}
	last := models.Event{}
	for i, e := range events {
		if e.Kind == models.EventCampaignChanged {
			continue
		}
		if i > 0 && e.FromStatus != last.ToStatus {
			return "after " + last.ToStatus + " it goes on from " + e.FromStatus
		}
		if i > 0 && e.FromStatus != e.ToStatus && models.Transition(models.Status(e.FromStatus), models.Status(e.ToStatus)) != nil {
			return "it goes from " + e.FromStatus + " to " + e.ToStatus
		}
		last = e
	}
	if last.ToStatus != string(c.Status) || last.ReasonCode != c.StatusReasonCode || last.Reason != c.StatusReason {
		return "it ends with " + last.ToStatus + " (" + string(last.ReasonCode) + ": " + last.Reason + ")"
	}
	return ""
}

// Each change of a campaign is told with who did it, by which way, under which operationID, and why.
func TestEventsOfACampaign(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 3)
		alice := models.WithActor(t.Context(), models.Actor{ID: "älice", Via: models.ViaAPI, OperationID: "op-1"})
		bob := models.WithActor(t.Context(), models.Actor{ID: "bob", Via: models.ViaCLI})
		c, err := store.CreateCampaign(alice, spec(models.Audience{Type: models.AudienceAll}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		id := c.PublicID
		view, err := store.Campaign(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		do := func(what string, f func() error) {
			t.Helper()
			if err := f(); err != nil {
				t.Fatal(what, err)
			}
		}
		one := func(f func(context.Context, string) (models.CampaignView, error), ctx context.Context) func() error {
			return func() error { _, err := f(ctx, id); return err }
		}
		do("guard", func() error {
			paused, _, err := store.Guard(t.Context(), view.ID, models.Trip{Kinds: models.FailureKinds{{ErrCode: 80000}}, Reason: "too many failed: 20 of 20"})
			if !paused {
				t.Error("the guard did not pause")
			}
			return err
		})
		do("resume", one(store.ResumeCampaign, bob))
		rate, name, never := 7, "new", models.Millis(0)
		for range 2 { // the second changes nothing
			do("change", func() error {
				_, err := store.UpdateCampaign(alice, id, models.CampaignChange{RatePerSecond: &rate, Name: &name, ExpireAt: &never})
				return err
			})
		}
		do("kill switch", func() error { _, err := store.PauseAll(bob, "all by bob"); return err })
		do("pause", one(func(ctx context.Context, id string) (models.CampaignView, error) {
			return store.PauseCampaign(ctx, id, "by alice")
		}, alice))
		do("cancel", one(func(ctx context.Context, id string) (models.CampaignView, error) {
			return store.CancelCampaign(ctx, id, "over")
		}, bob))
		want := []models.Event{
			{Kind: models.EventCampaignCreated, ToStatus: "running", Actor: "älice", Via: models.ViaAPI, OperationID: "op-1"},
			{Kind: models.EventCampaignPaused, FromStatus: "running", ToStatus: "paused", ReasonCode: models.ReasonGuard, Reason: "too many failed: 20 of 20", Via: models.ViaGuard},
			{Kind: models.EventCampaignResumed, FromStatus: "paused", ToStatus: "running", ReasonCode: models.ReasonOperator, Actor: "bob", Via: models.ViaCLI},
			{Kind: models.EventCampaignChanged, Actor: "älice", Via: models.ViaAPI, OperationID: "op-1"},
			{Kind: models.EventCampaignPaused, FromStatus: "running", ToStatus: "paused", ReasonCode: models.ReasonPauseAll, Reason: "all by bob", Actor: "bob", Via: models.ViaCLI},
			{Kind: models.EventCampaignPaused, FromStatus: "paused", ToStatus: "paused", ReasonCode: models.ReasonOperator, Reason: "by alice", Actor: "älice", Via: models.ViaAPI, OperationID: "op-1"},
			{Kind: models.EventCampaignCancelled, FromStatus: "paused", ToStatus: "cancelled", ReasonCode: models.ReasonOperator, Reason: "over", Actor: "bob", Via: models.ViaCLI},
		}
		got := history(t, store, id)
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d: %+v", len(got), len(want), got)
		}
		for i, e := range got {
			if e.At == 0 || e.CampaignID != id {
				t.Errorf("%+v", e)
			}
			if e.Kind == models.EventCampaignChanged {
				changed, ok := e.Data["changed"].(map[string]any)
				if !ok || len(changed) != 2 {
					t.Fatalf("%v", e.Data)
				}
				if r := changed["ratePerSecond"].(map[string]any); r["from"] != float64(0) || r["to"] != float64(7) {
					t.Errorf("%v", r)
				}
				if n := changed["name"].(map[string]any); n["from"] != "" || n["to"] != "new" {
					t.Errorf("%v", n)
				}
			}
			e.ID, e.At, e.CampaignID, e.Data = 0, 0, "", nil
			if e.Kind != want[i].Kind || e.FromStatus != want[i].FromStatus || e.ToStatus != want[i].ToStatus || e.ReasonCode != want[i].ReasonCode ||
				e.Reason != want[i].Reason || e.Actor != want[i].Actor || e.Via != want[i].Via || e.OperationID != want[i].OperationID {
				t.Errorf("%d: %+v, want %+v", i, e, want[i])
			}
		}
		for f, n := range map[models.EventFilter]int{
			{Kind: models.EventCampaignPaused}:                        3,
			{Actor: "bob"}:                                            3,
			{Actor: "älice", Kind: models.EventCampaignPaused}:        1,
			{CampaignID: id, Before: got[2].ID}:                       2,
			{CampaignID: "01J9ZQ4X0000000000000000ZZ"}:                0,
			{CampaignID: "é"}:                                         0,
			{ScheduleID: id}:                                          0,
			{Actor: "bob ", Kind: models.EventCampaignPaused}:         0,
			{Kind: models.EventCampaignPaused, Before: got[1].ID + 1}: 1,
		} {
			f.Limit = 100
			if list, err := store.Events(t.Context(), f); err != nil || len(list) != n {
				t.Errorf("%+v: %d events, want %d, %v", f, len(list), n, err)
			}
		}
		if c, err := store.Campaign(t.Context(), id); err != nil || broken(c.Campaign, got) != "" {
			t.Error(broken(c.Campaign, got), err)
		}
	})
}

// What is older than it is to be kept goes, in steps; what is younger stays.
func TestOldEventsGo(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		store, clock := testkit.OpenStoreAt(t, s.DatabaseURL, began)
		record := func(n int) {
			t.Helper()
			for range n {
				if err := store.Record(t.Context(), models.Event{Kind: models.EventServeStarted}); err != nil {
					t.Fatal(err)
				}
			}
		}
		record(25)
		clock.Set(began.Add(2 * time.Hour))
		record(5)
		before := models.Millis(began.Add(time.Hour).UnixMilli())
		for step, want := range []bool{false, false, true, true} {
			done, err := store.PurgeEvents(t.Context(), before, 10)
			if err != nil || done != want {
				t.Fatal(step, done, err)
			}
			list, err := store.Events(t.Context(), models.EventFilter{Limit: 100})
			if want := max(5, 20-10*step); err != nil || len(list) != want {
				t.Errorf("%d events after step %d, want %d, %v", len(list), step, want, err)
			}
		}
	})
}
