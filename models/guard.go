package models

import (
	"context"
	"slices"
)

// Trip is why the guard wants to pause a campaign.
type Trip struct {
	Run    int          // of the campaign, as the outcomes were counted
	Kinds  FailureKinds // without them it would let the campaign go on
	Nobody bool         // as far as was counted, nobody was sent in this run
	Reason string
}

// Guard pauses a running campaign and lets the trip's kinds of failure pass from then on: whoever resumes the campaign does
// so regardless of them. It pauses none that has moved meanwhile, has nobody pending, or lets the kinds pass already. someSent
// says that the ledger knows better than a trip by which nobody was sent, and does not pause it either.
func (s *Store) Guard(ctx context.Context, campaignID int64, t Trip) (paused, someSent bool, err error) {
	c, err := s.CampaignByID(ctx, campaignID)
	if err != nil || c.Status != StatusRunning || c.GuardRun != t.Run || c.Pending == 0 {
		return false, false, err
	}
	if t.Nobody && c.Sent > c.GuardBase {
		return false, true, nil
	}
	allows := c.GuardAllows.with(t.Kinds)
	if slices.Equal(allows, c.GuardAllows) {
		return false, false, nil
	}
	paused, err = s.moveCampaign(ctx, campaignID, StatusRunning, move{to: StatusPaused, reason: Reason{ReasonGuard, t.Reason}, via: ViaGuard,
		set: "guard_allows=?", setArgs: []any{allows}, only: "guard_run=? AND guard_allows=?", onlyArgs: []any{t.Run, c.GuardAllows}})
	return paused, false, err
}

// PauseUnreadable pauses a running campaign of which the provider's answers cannot be read. why says so in words. paused is
// false for a campaign that does not run any more.
func (s *Store) PauseUnreadable(ctx context.Context, campaignID int64, why string) (paused bool, err error) {
	return s.moveCampaign(ctx, campaignID, StatusRunning, move{to: StatusPaused, reason: Reason{ReasonGuard, why}, via: ViaGuard})
}
