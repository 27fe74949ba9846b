package models

import (
	"context"
	"time"
)

// LimitedBy is what holds a campaign back.
type LimitedBy string

// All that can hold a campaign back; docs/api.md says what each means.
const (
	LimitedByNothing      LimitedBy = ""
	LimitedByCampaignRate LimitedBy = "campaign rate"
	LimitedByChannelRate  LimitedBy = "channel rate"
	LimitedByChannelSlow  LimitedBy = "channel slow" // its provider is away, fails, slowed down or asked for rest
	LimitedByTurn         LimitedBy = "turn"         // other campaigns hold the channel's places
	LimitedByWorkersBusy  LimitedBy = "workers busy"
	LimitedByNoWorkers    LimitedBy = "no workers"
	LimitedByRedis        LimitedBy = "redis"
	LimitedByWaiting      LimitedBy = "waiting" // for a time to come
	LimitedByPaused       LimitedBy = "paused"
)

// Pace is how fast a campaign goes and what holds it back.
type Pace struct {
	PerSecond float64 // recipients that the channel had, over the last seconds
	Known     bool    // PerSecond is
	LimitedBy LimitedBy
	Why       string // the same in words; empty when nothing does
	ETA       time.Duration
	ETAKnown  bool
}

// Tried is how many recipients of c the channel has had, which is what takes time: those who are offline too, in a campaign for users
// who are online. Who left the directory, or missed their local time, is passed over.
func (s *Store) Tried(c CampaignView) int64 {
	n := c.Sent + c.Failed + c.Unknown
	if s.StoresInInbox(c.Channel) && c.Inbox == inboxNone {
		n += c.Skipped
	}
	return n
}

// NextDue reads the page outside a campaign's window whose time comes next; nil when there is none.
func (s *Store) NextDue(ctx context.Context, campaignID int64) (*Page, error) {
	return s.dueLater(ctx, campaignID, "due_at")
}

// LastDue reads the one whose time comes last.
func (s *Store) LastDue(ctx context.Context, campaignID int64) (*Page, error) {
	return s.dueLater(ctx, campaignID, "due_at DESC")
}

func (s *Store) dueLater(ctx context.Context, campaignID int64, order string) (*Page, error) {
	var pages []Page
	err := s.db.WithContext(ctx).Where("campaign_id = ? AND state = ? AND due_at > "+s.d.now, campaignID, PageNew).Order(order).Limit(1).Find(&pages).Error
	if err != nil || len(pages) == 0 {
		return nil, err
	}
	return &pages[0], nil
}

// LastWords is what was said of the recipient of a page whose next attempt comes first; empty when nobody waits for one.
func (s *Store) LastWords(ctx context.Context, c Campaign, p Page) (string, error) {
	db := s.db.WithContext(ctx)
	members, err := s.members(db, p.CampaignID, p.No)
	if err != nil {
		return "", err
	}
	var words []string
	err = db.Raw("SELECT COALESCE(err_msg,'') FROM recipients WHERE campaign_id=? AND kind=? AND user_id IN ? AND status=? ORDER BY next_attempt_at LIMIT 1",
		c.ID, c.Kind, members[:min(p.Pos, len(members))], RecipientPending).Scan(&words).Error
	if err != nil || len(words) == 0 {
		return "", err
	}
	return words[0], nil
}
