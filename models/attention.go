package models

import "context"

// troubles are the reasons for which a campaign that has not ended needs somebody.
var troubles = []ReasonCode{
	ReasonGuard, ReasonRestored, ReasonTakenOver, ReasonMissed, ReasonNoAudience, ReasonRefused, ReasonTotalDiffers, ReasonDirectorySync,
}

// Troubled is a campaign that has not ended and needs somebody.
type Troubled struct {
	Named
	Status           Status
	StatusReasonCode ReasonCode
	StatusReason     string
}

// TroubledCampaigns lists campaigns that paused themselves, that cannot end or cannot start, newest first.
func (s *Store) TroubledCampaigns(ctx context.Context, limit int) (list []Troubled, err error) {
	err = s.db.WithContext(ctx).Raw(`SELECT public_id, name, status, status_reason_code, status_reason FROM campaigns
		WHERE status IN ? AND status_reason_code IN ? ORDER BY id DESC LIMIT ?`, []Status{StatusScheduled, StatusRunning, StatusPaused}, troubles, limit).Scan(&list).Error
	return list, err
}

// DueCampaign is a campaign that waits for its time.
type DueCampaign struct {
	Named
	SendAt Millis
	WallAt Millis // by local time: the date and clock, as if in UTC; else 0
}

// NextCampaigns lists the scheduled campaigns that are due next.
func (s *Store) NextCampaigns(ctx context.Context, limit int) (list []DueCampaign, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT public_id, name, send_at, wall_at FROM campaigns WHERE status=? ORDER BY send_at LIMIT ?", StatusScheduled, limit).Scan(&list).Error
	return list, err
}

// NextSchedules lists the active schedules whose slots are due next, without their templates.
func (s *Store) NextSchedules(ctx context.Context, limit int) (list []Schedule, err error) {
	db := s.db.WithContext(ctx)
	err = db.Omit("campaign").Where("status = ? AND next_fire > 0", ScheduleActive).Order("next_fire").Limit(limit).Find(&list).Error
	if err == nil {
		err = readSkips(db, list)
	}
	return list, err
}

// EventsSince lists the newest events of a kind from an instant on, newest first.
func (s *Store) EventsSince(ctx context.Context, kind EventKind, since Millis, limit int) ([]Event, error) {
	list, err := s.Events(ctx, EventFilter{Kind: kind, Limit: limit})
	for i, e := range list {
		if e.At < since {
			return list[:i], err
		}
	}
	return list, err
}
