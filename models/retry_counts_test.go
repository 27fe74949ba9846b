package models_test

import (
	"fmt"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// TestRetryNamedTwice: a status that is named twice is counted off once, and what would make a
// counter negative is refused by the ledger, whoever asks.
func TestRetryNamedTwice(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 20)
		c := expiredInTheMiddle(t, store)
		expired, unknown := models.RecipientExpired, models.RecipientUnknown
		for _, bad := range []models.Retry{
			{}, {Statuses: []models.RecipientStatus{models.RecipientSent}}, {Statuses: []models.RecipientStatus{models.RecipientPending}}, {Statuses: []models.RecipientStatus{models.RecipientCancelled}},
			{Statuses: []models.RecipientStatus{expired, -1}}, {Statuses: []models.RecipientStatus{expired}, ErrCodes: []models.Code{1 << 40}}, {Statuses: []models.RecipientStatus{expired}, ErrCodes: manyCodes(51)},
		} {
			if _, _, err := store.RetryCampaign(t.Context(), c.PublicID, bad); models.AsError(err).Code != models.CodeArgs {
				t.Errorf("%v: %v", bad, err)
			}
		}
		retry := models.Retry{Statuses: []models.RecipientStatus{expired, unknown, expired, expired}}
		for range 2 { // asked twice, it is one retry
			if _, n, err := store.RetryCampaign(t.Context(), c.PublicID, retry); err != nil || n != 20 {
				t.Fatal(n, err)
			}
		}
		if _, _, err := store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{unknown}}); models.AsError(err).Code != models.CodeIllegalTransition {
			t.Errorf("another retry: %v", err)
		}
		for range 2 {
			if err := store.ReopenPages(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c, err := store.Campaign(t.Context(), c.PublicID)
		if err != nil || c.Counts != (models.Counts{Total: 20, Pending: 20}) {
			t.Fatalf("%+v, %v", c.Counts, err)
		}
		if report, err := store.Verify(t.Context(), c.PublicID); err != nil || !report.OK {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestLedgerCountsNoFurtherThanZero: a counter that was damaged is not made negative, and the other
// campaigns go on.
func TestLedgerCountsNoFurtherThanZero(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 20)
		damaged, well := expiredInTheMiddle(t, store), expiredInTheMiddle(t, store)
		db, _, err := store.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE pages SET expired=expired-1 WHERE campaign_id=?", damaged.ID); err != nil {
			t.Fatal(err)
		}
		for _, c := range []models.CampaignView{damaged, well} {
			if _, _, err := store.RetryCampaign(t.Context(), c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.ReopenPages(t.Context()); err == nil {
			t.Error("the damage is not reported")
		}
		for _, c := range []models.CampaignView{damaged, well} {
			c, err := store.Campaign(t.Context(), c.PublicID)
			if err != nil || c.Expired < 0 || (c.Pending == 20) != (c.ID == well.ID) {
				t.Errorf("%+v, %v", c.Counts, err)
			}
		}
	})
}

// expiredInTheMiddle is a campaign that expired before anybody of it was sent.
func expiredInTheMiddle(t *testing.T, store *models.Store) models.CampaignView {
	t.Helper()
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf("user-%07d", i))
	}
	created, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: list}), []string{"admin"}, models.Idempotency{}, func(models.Campaign) []byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
	past := models.Millis(1)
	if _, err := store.UpdateCampaign(t.Context(), created.PublicID, models.CampaignChange{ExpireAt: &past}); err != nil {
		t.Fatal(err)
	}
	if err := store.ExpireCampaigns(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := store.Campaign(t.Context(), created.PublicID)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := store.CloseCampaign(t.Context(), c.Campaign, false); err != nil || !done {
		t.Fatal(done, err)
	}
	c, err = store.Campaign(t.Context(), created.PublicID)
	if err != nil || c.Expired != 20 {
		t.Fatalf("%+v, %v", c.Counts, err)
	}
	return c
}

func manyCodes(n int) []models.Code {
	codes := make([]models.Code, n)
	for i := range codes {
		codes[i] = models.Code(i)
	}
	return codes
}
