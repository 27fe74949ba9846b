package models_test

import (
	"context"
	"testing"

	"carillon/internal/testkit"
	"carillon/models"
)

// interrupted is a change of a campaign that can be cut off.
type interrupted struct {
	ready func(store *models.Store, id string) error // brings a running campaign to where the change begins; nil = it is there
	act   func(ctx context.Context, store *models.Store, c models.CampaignView) error
	kind  models.EventKind
}

// interruptible are all changes of a campaign.
func interruptible(t *testing.T) map[string]interrupted {
	t.Helper()
	ctx := t.Context()
	pause := func(s *models.Store, id string) error { _, err := s.PauseCampaign(ctx, id, "first"); return err }
	pauseAll := func(s *models.Store, _ string) error { _, err := s.PauseAll(ctx, "first"); return err }
	past := models.Millis(1)
	late := func(s *models.Store, id string) error {
		_, err := s.UpdateCampaign(ctx, id, models.CampaignChange{ExpireAt: &past})
		return err
	}
	over := func(s *models.Store, id string) error {
		if err := late(s, id); err != nil {
			return err
		}
		return end(ctx, s, id)
	}
	rate := 7
	return map[string]interrupted{
		"pause": {nil, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, err := s.PauseCampaign(ctx, c.PublicID, "")
			return err
		}, models.EventCampaignPaused},
		"pause for itself": {pauseAll, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, err := s.PauseCampaign(ctx, c.PublicID, "second")
			return err
		}, models.EventCampaignPaused},
		"kill switch": {nil, func(ctx context.Context, s *models.Store, _ models.CampaignView) error {
			_, err := s.PauseAll(ctx, "")
			return err
		}, models.EventCampaignPaused},
		"guard": {nil, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, _, err := s.Guard(ctx, c.ID, models.Trip{Run: c.GuardRun, Kinds: models.FailureKinds{{ErrCode: 80000}}})
			return err
		}, models.EventCampaignPaused},
		"restored": {nil, func(ctx context.Context, s *models.Store, _ models.CampaignView) error {
			_, err := s.Restored(ctx)
			return err
		}, models.EventCampaignPaused},
		"resume": {pause, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, err := s.ResumeCampaign(ctx, c.PublicID)
			return err
		}, models.EventCampaignResumed},
		"resume all": {pauseAll, func(ctx context.Context, s *models.Store, _ models.CampaignView) error {
			_, err := s.ResumeAll(ctx)
			return err
		}, models.EventCampaignResumed},
		"cancel": {nil, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, err := s.CancelCampaign(ctx, c.PublicID, "")
			return err
		}, models.EventCampaignCancelled},
		"expire": {late, func(ctx context.Context, s *models.Store, _ models.CampaignView) error { return s.ExpireCampaigns(ctx) }, models.EventCampaignExpired},
		"retry": {over, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, _, err := s.RetryCampaign(ctx, c.PublicID, models.Retry{Statuses: []models.RecipientStatus{models.RecipientExpired}})
			return err
		}, models.EventCampaignRetried},
		"change": {nil, func(ctx context.Context, s *models.Store, c models.CampaignView) error {
			_, err := s.UpdateCampaign(ctx, c.PublicID, models.CampaignChange{RatePerSecond: &rate})
			return err
		}, models.EventCampaignChanged},
	}
}

// end expires a campaign that is late, and closes it.
func end(ctx context.Context, s *models.Store, id string) error {
	if err := s.ExpireCampaigns(ctx); err != nil {
		return err
	}
	c, err := s.Campaign(ctx, id)
	if err == nil {
		_, err = s.CloseCampaign(ctx, c.Campaign, false)
	}
	return err
}

// Whatever changes a campaign is cut off behind each of its statements, as by kill -9: what was begun is undone, or stands with its
// event. Done again it stands with one event, not with two.
func TestAnEventAndItsChangeAreOne(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		store := testkit.OpenStore(t, s.DatabaseURL)
		users(t, store, 3)
		cut := 0
		for name, change := range interruptible(t) {
			c, err := store.CreateCampaign(t.Context(), spec(models.Audience{Type: models.AudienceUsers, UserIDs: []string{userOf(1)}}), []string{"admin"},
				models.Idempotency{}, func(models.Campaign) []byte { return nil })
			if err == nil && change.ready != nil {
				err = change.ready(store, c.PublicID)
			}
			if err != nil {
				t.Fatal(name, err)
			}
			before := len(history(t, store, c.PublicID))
			for at := 1; ; at++ {
				seen := 0
				ctx, kill := context.WithCancel(t.Context())
				traced := store.Traced(func(string) {
					if seen++; seen == at {
						kill()
					}
				})
				view, err := store.Campaign(t.Context(), c.PublicID)
				if err != nil {
					t.Fatal(name, err)
				}
				err = change.act(ctx, traced, view)
				kill()
				view, again := store.Campaign(t.Context(), c.PublicID)
				if again != nil {
					t.Fatal(name, again)
				}
				events := history(t, store, c.PublicID)
				if what := broken(view.Campaign, events); what != "" {
					t.Errorf("%s, cut off behind statement %d: %s", name, at, what)
				}
				if seen < at { // it came to its end
					if err != nil || len(events) != before+1 || events[before].Kind != change.kind {
						t.Errorf("%s: %d events beyond the %d before, %v", name, len(events)-before, before, err)
					}
					break
				}
				cut++
			}
			if err := end(t.Context(), store, c.PublicID); err != nil {
				t.Fatal(err)
			}
			if _, err := store.CancelCampaign(t.Context(), c.PublicID, ""); err != nil && models.AsError(err).Code != models.CodeIllegalTransition {
				t.Fatal(err)
			}
		}
		if cut < 50 {
			t.Errorf("only %d statements were cut off", cut)
		}
	})
}
