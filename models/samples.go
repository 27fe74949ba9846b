package models

import (
	"context"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// SampleEvery is between two samples of a running campaign, in milliseconds.
	SampleEvery Millis = 10_000
	// sampledFrom is how many recipients a campaign must have to be sampled. Smaller ones are too many, and too short.
	sampledFrom = 1000
	minute      = Millis(60_000)
)

// CampaignSample is how many recipients of a campaign were sent to, and how many had failed, until a time. Samples are for
// charts: a process that dies may leave some out.
type CampaignSample struct {
	CampaignID int64
	At         Millis
	Sent       int64
	Failed     int64
}

// SampleCampaigns stores how far each running campaign is. Processes that do so at the same time store one sample.
func (s *Store) SampleCampaigns(ctx context.Context) error {
	running, err := s.RunningCounts(ctx)
	if err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	var samples []CampaignSample
	for _, c := range running {
		if c.Counts.Total >= sampledFrom {
			samples = append(samples, CampaignSample{c.ID, now - now%SampleEvery, c.Sent, c.Failed})
		}
	}
	if len(samples) == 0 {
		return nil
	}
	return s.w.WithContext(ctx).Clauses(clause.OnConflict{DoNothing: true}).CreateInBatches(samples, upsertRows).Error
}

// Samples are the samples of a campaign, the oldest first. A campaign that took long has fewer of them than were stored: about
// most at most.
func (s *Store) Samples(ctx context.Context, c Campaign, most int) (samples []CampaignSample, err error) {
	end := c.FinishedAt
	if end == 0 {
		if end, err = s.Now(ctx); err != nil {
			return nil, err
		}
	}
	apart := (end - c.StartedAt) / Millis(max(1, most))
	apart = max(1, (apart+SampleEvery-1)/SampleEvery) * SampleEvery
	err = s.db.WithContext(ctx).Where("campaign_id=? AND at % ? = 0", c.ID, apart).Order("at").Find(&samples).Error
	return samples, err
}

// SendMinute is how many recipients of all campaigns got an outcome within a minute.
type SendMinute struct {
	At     Millis `gorm:"primaryKey;autoIncrement:false"` // its begin
	Sent   int64
	Failed int64
}

// TableName is for gorm.
func (SendMinute) TableName() string { return "send_minutes" }

// sinceFlush is what this process has committed since its last FlushMinutes.
type sinceFlush struct {
	mu           sync.Mutex
	sent, failed int64
}

func (f *sinceFlush) add(sent, failed int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent += sent
	f.failed += failed
}

func (f *sinceFlush) take() (sent, failed int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent, failed = f.sent, f.failed
	f.sent, f.failed = 0, 0
	return sent, failed
}

// FlushMinutes adds what this process has sent since the last call to the current minute, which all processes share.
func (s *Store) FlushMinutes(ctx context.Context) error {
	sent, failed := s.unflushed.take()
	if sent == 0 && failed == 0 {
		return nil
	}
	err := s.addMinute(ctx, sent, failed)
	if err != nil {
		s.unflushed.add(sent, failed)
	}
	return err
}

func (s *Store) addMinute(ctx context.Context, sent, failed int64) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	add := clause.OnConflict{
		Columns:   []clause.Column{{Name: "at"}},
		DoUpdates: clause.Assignments(map[string]any{"sent": gorm.Expr("send_minutes.sent + ?", sent), "failed": gorm.Expr("send_minutes.failed + ?", failed)}),
	}
	return s.w.WithContext(ctx).Clauses(add).Create(&SendMinute{now - now%minute, sent, failed}).Error
}

// SendMinutes are the minutes from since on in which anybody got an outcome, the oldest first.
func (s *Store) SendMinutes(ctx context.Context, since Millis) (minutes []SendMinute, err error) {
	err = s.db.WithContext(ctx).Where("at >= ?", since).Order("at").Find(&minutes).Error
	return minutes, err
}

// PurgeMinutes deletes the minutes before an instant.
func (s *Store) PurgeMinutes(ctx context.Context, before Millis) error {
	_, err := s.exec(ctx, "DELETE FROM send_minutes WHERE at<?", before)
	return err
}
