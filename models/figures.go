package models

import (
	"context"
	"maps"
	"slices"

	"gorm.io/gorm"
)

// PageStateNames are the names of the states of unfinished pages, for metrics.
var PageStateNames = map[PageState]string{
	PageNew: "new", PageQueued: "queued", PageRunning: "running", PageWaiting: "waiting", PageOpen: "open", PageParked: "parked",
}

// Figures are what the ledger says of all campaigns together.
type Figures struct {
	Open   map[Status]int64     // scheduled, running and paused campaigns by state
	Paused map[ReasonCode]int64 // paused campaigns by reason
	Pages  map[PageState]int64  // unfinished pages
	Overdue
}

// Overdue is how late the ledger is. SlotOverdue is how long the oldest slot of an active schedule has
// waited to be fired, and StartOverdue how long the oldest scheduled campaign has waited to be
// started. 0 = none is due. Campaigns that wait for the directory's sync are left out.
type Overdue struct{ SlotOverdue, StartOverdue Millis }

// Figures reads them, in a few statements that go by narrow indexes. What they cost does not grow
// with the ledger.
func (s *Store) Figures(ctx context.Context) (f Figures, err error) {
	db := s.db.WithContext(ctx)
	f.Open, err = countBy[Status](db, countStatuses, []Status{StatusScheduled, StatusRunning, StatusPaused})
	if err != nil {
		return f, err
	}
	f.Paused, err = countBy[ReasonCode](db, "SELECT status_reason_code AS what, COUNT(*) AS n FROM campaigns WHERE status=? GROUP BY status_reason_code", StatusPaused)
	if err != nil {
		return f, err
	}
	f.Pages, err = countBy[PageState](db, "SELECT state AS what, COUNT(*) AS n FROM pages WHERE state IN ? GROUP BY state", slices.Collect(maps.Keys(PageStateNames)))
	if err != nil {
		return f, err
	}
	f.Overdue, err = s.Overdue(ctx)
	return f, err
}

// Overdue reads how late the schedules and the scheduled campaigns are.
func (s *Store) Overdue(ctx context.Context) (o Overdue, err error) {
	db := s.db.WithContext(ctx)
	err = db.Raw("SELECT COALESCE("+s.d.now+"-MIN(next_fire),0) FROM schedules WHERE status=? AND next_fire<="+s.d.now, ScheduleActive).Scan(&o.SlotOverdue).Error
	if err != nil {
		return o, err
	}
	where, args := "status=? AND send_at<="+s.d.now, []any{StatusScheduled}
	waiting, more, err := s.waiting(ctx)
	if err != nil {
		return o, err
	}
	if waiting != "" {
		where, args = where+" AND NOT ("+waiting+")", append(args, more...)
	}
	err = db.Raw("SELECT COALESCE("+s.d.now+"-MIN(send_at),0) FROM campaigns WHERE "+where, args...).Scan(&o.StartOverdue).Error
	return o, err
}

const countStatuses = "SELECT status AS what, COUNT(*) AS n FROM campaigns WHERE status IN ? GROUP BY status"

// Ended counts the campaigns that are over, by state. It reads an index of all campaigns, so it is
// for now and then.
func (s *Store) Ended(ctx context.Context) (map[Status]int64, error) {
	return countBy[Status](s.db.WithContext(ctx), countStatuses, []Status{StatusCompleted, StatusFailed, StatusExpired, StatusCancelled})
}

// countBy reads rows of a value and a number.
func countBy[K comparable](db *gorm.DB, query string, args ...any) (map[K]int64, error) {
	var rows []struct {
		What K
		N    int64
	}
	if err := db.Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, err
	}
	counts := make(map[K]int64, len(rows))
	for _, r := range rows {
		counts[r.What] = r.N
	}
	return counts, nil
}
