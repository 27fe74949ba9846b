package models

import (
	"context"
	"slices"

	"gorm.io/gorm"
)

// CampaignChange is what PATCH may change; nil = as it is.
type CampaignChange struct {
	Name          *string
	RatePerSecond *int
	ExpireAt      *Millis // 0 = never
	SendAt        *Millis // of one that has not started
	WallAt        *Millis // with SendAt, of a local-time campaign
}

// UpdateCampaign changes a campaign; workers see it within a second. The rate and the end of one that has
// finished cannot be changed, nor the beginning of one that has started (3001).
func (s *Store) UpdateCampaign(ctx context.Context, publicID string, ch CampaignChange) (CampaignView, error) {
	view, err := s.Campaign(ctx, publicID)
	if err != nil {
		return view, err
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		if _, err := s.lockCampaigns(tx, "id = ?", view.ID); err != nil {
			return err
		}
		var c Campaign
		if err := tx.Raw("SELECT "+listedColumns+" FROM campaigns WHERE id=?", view.ID).Scan(&c).Error; err != nil {
			return err
		}
		next, err := ch.on(c)
		if err != nil {
			return err
		}
		return tx.Exec("UPDATE campaigns SET name=?, rate_per_second=?, expire_at=?, expire_after=?, send_at=?, wall_at=? WHERE id=?",
			next.Name, next.RatePerSecond, next.ExpireAt, next.ExpireAfter, next.SendAt, next.WallAt, c.ID).Error
	})
	if err != nil {
		return view, err
	}
	return s.Campaign(ctx, publicID)
}

// on is a campaign with the change, or why it cannot be changed so.
func (ch CampaignChange) on(c Campaign) (Campaign, error) {
	open := slices.Contains([]Status{StatusScheduled, StatusRunning, StatusPaused}, c.Status)
	if (ch.RatePerSecond != nil || ch.ExpireAt != nil) && !open {
		return c, Errorf(CodeIllegalTransition, "the campaign is %s; only its name can be changed", c.Status)
	}
	if ch.SendAt != nil && (c.StartedAt != 0 || c.Status != StatusScheduled && c.Status != StatusPaused) {
		return c, Errorf(CodeIllegalTransition, "the campaign has started or ended; its sendAt can no longer be changed")
	}
	if ch.Name != nil {
		c.Name = *ch.Name
	}
	if ch.RatePerSecond != nil {
		c.RatePerSecond = *ch.RatePerSecond
	}
	if ch.ExpireAt != nil {
		c.ExpireAt, c.ExpireAfter = *ch.ExpireAt, 0 // one end for everybody
	}
	if ch.SendAt != nil {
		c.SendAt = *ch.SendAt
		if ch.WallAt != nil {
			c.WallAt = *ch.WallAt
		}
	}
	return c, nil
}
