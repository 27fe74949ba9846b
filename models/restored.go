package models

import (
	"context"

	"gorm.io/gorm"
)

// Mark is how far the ledger is. It moves on with the time, and never back. If it is behind what another store knows of it,
// the ledger was restored, or a replica took over. See ADR 17.
type Mark struct {
	Mark      Millis
	LostUntil Millis // the end of a ledger that was lost: until then it may have fired slots and sent messages; 0 = none was lost
	Now       Millis // by the database's clock
}

// Next is what the mark moves on to, and whether it is time.
func (m Mark) Next() (Millis, bool) {
	const still = 900 // ms; a mark that is younger was moved by another process
	return max(m.Mark+1, m.Now), m.Mark < m.Now-still || m.Mark > m.Now+5*still
}

// Mark reads the ledger's mark.
func (s *Store) Mark(ctx context.Context) (m Mark, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT mark, lost_until, " + s.d.now + " AS now FROM ledger_mark WHERE id=1").Take(&m).Error
	return m, err
}

// MoveMark moves the mark. moved is false when another process has moved it, or the ledger is another one by now.
func (s *Store) MoveMark(ctx context.Context, from, to Millis) (moved bool, err error) {
	n, err := s.exec(ctx, "UPDATE ledger_mark SET mark=? WHERE id=1 AND mark=?", to, from)
	return n == 1, err
}

// lost says whether recipients who have no outcome here may have been sent to from a ledger that was lost. They may if the
// campaign was made before that ledger's end, until (Mark.LostUntil). No row keeps this. So it holds also for pages that are
// planned later, and for a retry.
//
// It does not hold for an at-most-once campaign: its claims are lost, and whoever resumes it accepts that; see Hold.
func (c Campaign) lost(until Millis) bool {
	return c.CreatedAt <= until && c.Delivery != AtMostOnce
}

// RestoredReason is the statusReason of the campaigns that are held after the ledger was restored.
const RestoredReason = "restored: the ledger is older than what was sent from it; resume goes on from here, and sends again to whoever got it since"

// takenOverReason is the statusReason of the at-most-once campaigns that are held after a replica took over.
const takenOverReason = "restored: the database lost its last seconds; resume may send to somebody twice, which this campaign must not"

// Hold pauses what a ledger that is behind would send again:
//   - after a restore all campaigns that have not ended;
//   - when a replica took over that lacks the last seconds, the at-most-once campaigns.
//
// from is the mark that was found. until is how far the lost ledger had come. ours is false when another process did it.
func (s *Store) Hold(ctx context.Context, from, until Millis, replica bool) (held int64, ours bool, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		fence := tx.Exec("UPDATE ledger_mark SET lost_until=?, mark=CASE WHEN ?<"+s.d.now+" THEN "+s.d.now+" ELSE ?+1 END WHERE id=1 AND mark=?", until, until, until, from)
		if ours = fence.RowsAffected == 1; fence.Error != nil || !ours {
			return fence.Error
		}
		held, err = s.hold(tx, replica)
		return err
	})
	return held, ours && err == nil, err
}

// Restored is Hold when an operator says that the ledger was restored. How far the lost ledger had come is not known, so now
// counts as its end.
func (s *Store) Restored(ctx context.Context) (held int64, err error) {
	err = s.tx(ctx, func(tx *gorm.DB) error {
		res := tx.Exec("UPDATE ledger_mark SET lost_until=" + s.d.now + ", mark=CASE WHEN mark<" + s.d.now + " THEN " + s.d.now + " ELSE mark+1 END WHERE id=1")
		if res.Error != nil {
			return res.Error
		}
		held, err = s.hold(tx, false)
		return err
	})
	return held, err
}

// hold pauses for good: resume --all does not undo it.
func (s *Store) hold(tx *gorm.DB, replica bool) (int64, error) {
	m := move{to: StatusPaused, reason: Reason{ReasonRestored, RestoredReason}, via: ViaReconciler}
	if replica {
		m.reason = Reason{ReasonTakenOver, takenOverReason}
		return s.moveWhere(tx, m, "status IN ? AND delivery=?", []Status{StatusRunning}, AtMostOnce)
	}
	return s.moveWhere(tx, m, "status IN ?", []Status{StatusRunning, StatusScheduled, StatusPaused})
}
