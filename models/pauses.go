package models

import (
	"context"
	"errors"

	"gorm.io/gorm"
)

// A pause of everything is a row of its own, and what it paused carries the row's number until it moves again or
// somebody pauses it for itself: so it can be resumed as one, from any machine, with nothing else in it.

// What a pause of everything is about.
const (
	pauseCampaigns = "campaigns"
	pauseSchedules = "schedules"
)

// Pause is one pause of everything.
type Pause struct {
	ID   int64 `gorm:"primaryKey"`
	What string
}

// Named is a campaign or a schedule in a list of what a command has changed.
type Named struct {
	PublicID string `json:"id"`
	Name     string `json:"name"`
}

// errNothing ends the transaction of a pause that found nothing to pause: the one before it stays the last.
var errNothing = errors.New("nothing is there to be paused")

// PauseAll pauses every running and scheduled campaign in one transaction, whoever sends it, and says which they were.
func (s *Store) PauseAll(ctx context.Context, reason string) (paused []Named, err error) {
	return s.pauseAll(ctx, pauseCampaigns, func(tx *gorm.DB, pause int64) error {
		_, err := s.moveWhere(tx, move{to: StatusPaused, reason: Reason{ReasonPauseAll, reason}, pause: pause}, "status IN ?", []Status{StatusRunning, StatusScheduled})
		return err
	})
}

// pauseAll makes a pause, lets update pause under its number, and lists what carries the number.
func (s *Store) pauseAll(ctx context.Context, what string, update func(tx *gorm.DB, pause int64) error) (paused []Named, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		p := Pause{What: what}
		if err := tx.Create(&p).Error; err != nil {
			return err
		}
		if err := update(tx, p.ID); err != nil {
			return err
		}
		if paused, err = pausedBy(tx, p); err == nil && len(paused) == 0 {
			return errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	return paused, err
}

// pausedBy lists what is paused and carries the pause's number.
func pausedBy(db *gorm.DB, p Pause) (list []Named, err error) {
	err = db.Raw("SELECT public_id, name FROM "+p.What+" WHERE status=? AND pause_id=? ORDER BY id", StatusPaused, p.ID).Scan(&list).Error
	return list, err
}

// lastPause is the newest pause of everything of a kind; without one its number is 0, which nothing carries.
func (s *Store) lastPause(ctx context.Context, what string) (p Pause, err error) {
	p.What = what
	err = s.db.WithContext(ctx).Raw("SELECT COALESCE(MAX(id),0) FROM pauses WHERE what=?", what).Scan(&p.ID).Error
	return p, err
}

// ResumeAll resumes the campaigns that the last PauseAll paused and that are paused by it still, and says which they
// were. Whoever repeats one that did not come to its end resumes the rest.
func (s *Store) ResumeAll(ctx context.Context) (resumed []Named, err error) {
	return s.resumeAll(ctx, pauseCampaigns, func(publicID string, pause int64) (bool, error) {
		c, err := s.Campaign(ctx, publicID)
		if err != nil {
			return false, err
		}
		m := s.resumption(c.Campaign, ReasonResumeAll)
		m.only, m.onlyArgs = "pause_id=?", []any{pause}
		return s.moveCampaign(ctx, c.ID, StatusPaused, m)
	})
}

// resumeAll lets resume resume each of what the last pause paused; it says whether that was paused by it still.
func (s *Store) resumeAll(ctx context.Context, what string, resume func(publicID string, pause int64) (bool, error)) (resumed []Named, err error) {
	p, err := s.lastPause(ctx, what)
	if err != nil || p.ID == 0 {
		return nil, err
	}
	paused, err := pausedBy(s.db.WithContext(ctx), p)
	for _, one := range paused {
		done, err := resume(one.PublicID, p.ID)
		if err != nil {
			return resumed, err
		}
		if done {
			resumed = append(resumed, one)
		}
	}
	return resumed, err
}

// PauseCounts are how many campaigns and schedules a pause of everything would pause now, and how many are paused by the last
// one still.
type PauseCounts struct {
	Campaigns, Schedules             int64
	PausedCampaigns, PausedSchedules int64
}

// PauseCounts counts them.
func (s *Store) PauseCounts(ctx context.Context) (n PauseCounts, err error) {
	for _, one := range []struct {
		what         string
		open         []string
		would, still *int64
	}{
		{pauseCampaigns, []string{string(StatusRunning), string(StatusScheduled)}, &n.Campaigns, &n.PausedCampaigns},
		{pauseSchedules, []string{string(ScheduleActive)}, &n.Schedules, &n.PausedSchedules},
	} {
		p, err := s.lastPause(ctx, one.what)
		if err != nil {
			return n, err
		}
		db := s.db.WithContext(ctx)
		if err := db.Raw("SELECT COUNT(*) FROM "+one.what+" WHERE status IN ?", one.open).Scan(one.would).Error; err != nil {
			return n, err
		}
		if p.ID == 0 {
			continue
		}
		err = db.Raw("SELECT COUNT(*) FROM "+one.what+" WHERE status=? AND pause_id=?", StatusPaused, p.ID).Scan(one.still).Error
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
