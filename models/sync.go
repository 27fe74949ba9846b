package models

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A sync brings the users of a provider into the directory, by passes. A pass reads the provider's whole list, page by page.
//
// Pages move while they are read: others register and delete users meanwhile. So a user whom one pass did not see may
// live. The rules:
//   - A user vanishes from the directory when two complete passes in a row did not see the user.
//   - A user whom no sync has ever seen was added here, and no sync takes the user away.
//
// directory_sync has one row. Whoever holds its lease works on the pass; who comes next goes on where the row says.

// SyncPhase is what a pass is at.
type SyncPhase string

// All phases, in their order.
const (
	SyncIdle     SyncPhase = "" // no pass is under way
	SyncReading  SyncPhase = "reading"
	SyncRemoving SyncPhase = "removing" // users who have vanished
)

// SyncCounts says what a pass did so far. Created, Changed and Unchanged are the different users that it saw.
type SyncCounts struct {
	Created   int64 `json:"created"`
	Changed   int64 `json:"changed"`
	Unchanged int64 `json:"unchanged"`
	Repeated  int64 `json:"repeated"`  // seen before in the same pass
	Refused   int64 `json:"refused"`   // not taken, for an ID that Carillon does not take
	Shortened int64 `json:"shortened"` // taken without a text that Carillon does not take
	Vanished  int64 `json:"vanished"`
}

// add takes in what a further page did.
func (n *SyncCounts) add(more SyncCounts) {
	n.Created += more.Created
	n.Changed += more.Changed
	n.Unchanged += more.Unchanged
	n.Repeated += more.Repeated
	n.Refused += more.Refused
	n.Shortened += more.Shortened
	n.Vanished += more.Vanished
}

// Seen is how many different users the pass saw.
func (n SyncCounts) Seen() int64 { return n.Created + n.Changed + n.Unchanged }

// Sync is the state of the directory's sync.
type Sync struct {
	Epoch     int64 // raised by whoever takes the lease
	DueAt     Millis
	Asked     bool // a complete pass is wanted, until there is one
	Fewer     bool // the pass is complete however few users it saw
	WaitUntil Millis
	Failures  int // in a row
	Error     string

	Phase   SyncPhase
	Pass    int64 // the number of the pass under way, or of the last one
	Round   int   // how often the pass reads the list, from 1
	Page    int   // the next page of the round, from 1
	BegunAt Millis
	MovedAt Millis // the last step of the pass
	Total   int64  // how many users the provider says it has
	SyncCounts

	LastPass    int64 // the last complete pass
	LastSeen    int64 // how many users it saw
	CompletedAt Millis

	Now Millis `gorm:"->"` // by the database's clock, when the row was read
}

// TableName is the table of the one row.
func (Sync) TableName() string { return "directory_sync" }

const (
	// SyncLease is how long a pass stands still when its worker is gone. Each try of a page renews the lease. One try may be four
	// requests of 8 s, when the token is renewed on the way.
	SyncLease Millis = 40_000
	// syncWait is how long a sync waits after its first failure. The wait doubles with each further one.
	syncWait     Millis = 15_000
	syncWaitMost Millis = 10 * 60_000
)

// Works says whether somebody works on the pass now.
func (y *Sync) Works() bool { return y.DueAt > y.Now }

// due says whether there is work: a pass that is under way or asked for, or a directory older than period, 0 = any age.
func (y *Sync) due(period Millis) bool {
	switch {
	case y.Works():
		return false
	case y.Phase != SyncIdle || y.Asked:
		return y.Now >= y.WaitUntil
	}
	return period > 0 && y.Now >= y.CompletedAt+period
}

// PerSecond is how many users the pass saw per second, since it began.
func (y *Sync) PerSecond() float64 {
	if y.MovedAt <= y.BegunAt {
		return 0
	}
	return float64(y.Seen()+y.Repeated) / (time.Duration(y.MovedAt-y.BegunAt) * time.Millisecond).Seconds()
}

// Sync reads the state of the directory's sync.
func (s *Store) Sync(ctx context.Context) (Sync, error) { return s.syncRow(s.db.WithContext(ctx)) }

func (s *Store) syncRow(db *gorm.DB) (y Sync, err error) {
	err = db.Select("*, " + s.d.now + " AS now").Where("id = 1").Take(&y).Error
	return y, err
}

// AskSync asks for a complete pass, at once also after a failure. A pass that is under way is that pass. fewer completes the
// pass however few users it sees.
func (s *Store) AskSync(ctx context.Context, fewer bool) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE directory_sync SET asked=?, wait_until=0, fewer=CASE WHEN ? THEN ? ELSE fewer END WHERE id=1", true, fewer, true).Error; err != nil {
			return err
		}
		return s.record(tx, ViaAPI, Event{Kind: EventDirectorySyncAsked, Data: EventData{"fewer": fewer}})
	})
}

// TakeSync takes the lease of the sync, and begins a pass when none is under way. period is how old the directory may become;
// 0 = a pass begins when it is asked for. The answer is nil when there is nothing to do, or another process does it.
func (s *Store) TakeSync(ctx context.Context, period Millis) (*Sync, error) {
	seen, err := s.Sync(ctx)
	if err != nil || !seen.due(period) {
		return nil, err
	}
	var taken *Sync
	err = s.tx(ctx, func(tx *gorm.DB) error {
		taken = nil
		q := tx
		if s.d.name == "mysql" {
			q = tx.Clauses(clause.Locking{Strength: "UPDATE"})
		}
		y, err := s.syncRow(q)
		if err != nil || !y.due(period) {
			return err
		}
		y.Epoch, y.DueAt = y.Epoch+1, y.Now+SyncLease
		if y.Phase == SyncIdle {
			y.Phase, y.Pass, y.Round, y.Page, y.Asked = SyncReading, y.Pass+1, 1, 1, true
			y.BegunAt, y.MovedAt, y.Total, y.SyncCounts = y.Now, y.Now, 0, SyncCounts{}
		}
		taken = &y
		return tx.Model(&Sync{}).Where("id = 1").Select("*").Omit("now").Updates(&y).Error
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// moveSync changes the row of a pass that the caller works on, and renews its lease. ErrFenced: another worker has the pass.
func (s *Store) moveSync(tx *gorm.DB, y *Sync, set string, args ...any) error {
	fence := tx.Exec("UPDATE directory_sync SET due_at="+s.d.now+"+?, moved_at="+s.d.now+set+" WHERE id=1 AND epoch=?", append(append([]any{SyncLease}, args...), y.Epoch)...)
	if fence.Error == nil && fence.RowsAffected == 0 {
		return ErrFenced
	}
	return fence.Error
}

// KeepSync renews the lease of a pass. ErrFenced: another worker has the pass.
func (s *Store) KeepSync(ctx context.Context, y *Sync) error {
	return s.tx(ctx, func(tx *gorm.DB) error { return s.moveSync(tx, y, "") })
}

// LeaveSync gives the lease back: the next worker need not wait for its end.
func (s *Store) LeaveSync(ctx context.Context, y *Sync) error {
	_, err := s.exec(ctx, "UPDATE directory_sync SET due_at=0 WHERE id=1 AND epoch=?", y.Epoch)
	return err
}

// FailSync notes that a pass cannot go on now, and gives the lease back. The pass goes on later where it is; with over, it is
// over, and a new one begins. The first of several failures in a row is an event.
func (s *Store) FailSync(ctx context.Context, y *Sync, why string, over bool) error {
	wait := min(syncWait<<min(y.Failures, 10), syncWaitMost)
	phase := y.Phase
	if over {
		phase = SyncIdle
	}
	return s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE directory_sync SET due_at=0, failures=failures+1, error=?, wait_until="+s.d.now+"+?, phase=?, asked=? WHERE id=1 AND epoch=?",
			cut(why), wait, phase, true, y.Epoch)
		switch {
		case fence.Error != nil:
			return fence.Error
		case fence.RowsAffected == 0:
			return ErrFenced
		case y.Failures > 0:
			return nil
		}
		return s.record(tx, ViaScheduler, Event{Kind: EventDirectorySyncFailed, Reason: why, Data: EventData{"pass": y.Pass, "seen": y.Seen(), "total": y.Total}})
	})
}

// CompleteSync ends a pass that has read the whole list and removed who vanished, with the one event of the sync.
func (s *Store) CompleteSync(ctx context.Context, y *Sync) error {
	return s.tx(ctx, func(tx *gorm.DB) error {
		err := s.moveSync(tx, y, ", phase=?, asked=?, fewer=?, wait_until=0, failures=0, error='', last_pass=?, last_seen=?, completed_at="+s.d.now,
			SyncIdle, false, false, y.Pass, y.Seen())
		if err != nil {
			return err
		}
		if err := tx.Exec("UPDATE directory_sync SET due_at=0 WHERE id=1").Error; err != nil {
			return err
		}
		n := y.SyncCounts
		return s.record(tx, ViaScheduler, Event{Kind: EventDirectorySynced, Data: EventData{"pass": y.Pass, "total": y.Total, "created": n.Created, "changed": n.Changed,
			"unchanged": n.Unchanged, "repeated": n.Repeated, "refused": n.Refused, "shortened": n.Shortened, "vanished": n.Vanished}})
	})
}
