package models

import (
	"context"
	"slices"

	"gorm.io/gorm"
)

// A campaign to all users waits for the directory's sync when the directory is old. The rules:
//   - It waits where its channel is one of AwaitSync's, and no pass was complete within the age that AwaitSync allows.
//   - Its POST is answered at once. Its audience is frozen when it starts, after the sync.
//   - A campaign by local time does not wait: a time zone's time would pass meanwhile.
//   - ResumeCampaign lets it start with the directory as it is.

// freshness is which campaigns need a directory that was synced not long ago.
type freshness struct {
	maxAge   Millis
	channels []string // none = no campaign waits
}

// AwaitSync makes campaigns to all users through the given channels wait when the last complete pass of a sync is longer ago
// than maxAge. It is called before anything else uses the store.
func (s *Store) AwaitSync(maxAge Millis, channels ...string) { s.fresh = freshness{maxAge, channels} }

// old says whether the directory is older than campaigns allow, and what they are told then.
func (f freshness) old(y Sync) (why Reason, old bool) {
	if y.CompletedAt > 0 && y.Now-y.CompletedAt <= f.maxAge {
		return Reason{}, false
	}
	text := "waiting for the directory sync"
	if y.Error != "" {
		text += ", which fails: " + y.Error
	}
	return Reason{ReasonDirectorySync, cut(text)}, true
}

// needs says whether a campaign is one that waits.
func (f freshness) needs(c *Campaign) bool {
	if c.AudienceType != AudienceAll || c.WallAt != 0 || c.StatusReasonCode == ReasonDirectoryAsIs {
		return false
	}
	return slices.Contains(f.channels, c.Channel)
}

// awaits says whether a campaign that could start now waits for the directory's sync.
func (s *Store) awaits(db *gorm.DB, c *Campaign) (why Reason, waits bool, err error) {
	if !s.fresh.needs(c) {
		return Reason{}, false, nil
	}
	y, err := s.syncRow(db)
	if err != nil {
		return Reason{}, false, err
	}
	why, waits = s.fresh.old(y)
	return why, waits, nil
}

// holdForSync keeps a scheduled campaign whose time has come until the directory is synced, and asks for the sync. The campaign says
// so, once for each reason.
func (s *Store) holdForSync(tx *gorm.DB, id int64) (held bool, err error) {
	if len(s.fresh.channels) == 0 {
		return false, nil
	}
	var c Campaign
	err = tx.Select("id", "status", "channel", "audience_type", "wall_at", "status_reason", "status_reason_code").Where("id = ?", id).Take(&c).Error
	if err != nil || c.Status != StatusScheduled {
		return false, err
	}
	why, waits, err := s.awaits(tx, &c)
	if err != nil || !waits {
		return false, err
	}
	if c.StatusReasonCode == why.Code && c.StatusReason == why.Text {
		return true, nil
	}
	n, err := s.transition(tx, StatusScheduled, move{to: StatusScheduled, reason: why, via: ViaScheduler, only: "send_at<=" + s.d.now}, id)
	if err != nil || n == 0 {
		return true, err
	}
	return true, wantSync(tx)
}

// wantSync asks for a complete pass. After a failure the sync keeps its waits.
func wantSync(tx *gorm.DB) error {
	return tx.Exec("UPDATE directory_sync SET asked=? WHERE id=1", true).Error
}

// waiting is a condition for the scheduled campaigns that wait for the sync and have been told why; empty = none waits now.
func (s *Store) waiting(ctx context.Context) (where string, args []any, err error) {
	if len(s.fresh.channels) == 0 {
		return "", nil, nil
	}
	y, err := s.Sync(ctx)
	if err != nil {
		return "", nil, err
	}
	why, old := s.fresh.old(y)
	if !old {
		return "", nil, nil
	}
	return "channel IN ? AND status_reason_code=? AND status_reason=?", []any{s.fresh.channels, why.Code, why.Text}, nil
}
