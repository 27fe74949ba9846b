package models

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The events of the log are posted to a receiver by one process at a time: whoever holds the lease of the
// one row of event_webhook. The row's pos is the place up to which events were taken out of the log. Each
// event that was taken has a row in event_deliveries until it is posted or given up. So:
//
//   - A process that is killed loses nothing. What it had posted and not yet noted is posted again.
//   - A stream whose event fails waits, and the others go on. The rows of a stream go in their order.
//   - event_deliveries holds what is being posted, and the failing streams' events of at most three days.
//     While the receiver is away altogether nothing more is taken: events wait in the log.

const (
	// WebhookLease is how long a process that stands still keeps the event webhook, in milliseconds. It is
	// longer than one post may take.
	WebhookLease Millis = 25_000
	// GiveUpAfter is how long an event is tried, in milliseconds.
	GiveUpAfter Millis = 3 * 24 * 60 * 60 * 1000
	// restMost is how long nobody may have posted before the time counts as standing still. Then no event
	// comes nearer to its end.
	restMost Millis = 60_000
	// giveUpStep is how many events one transaction gives up.
	giveUpStep = 1000
)

// EventWebhook is how far the posting of events is.
type EventWebhook struct {
	Epoch        int64  // raised by whoever takes the lease
	DueAt        Millis // end of the lease; 0 = nothing was ever posted
	Pos          int64  // events up to this place were taken
	Failures     int    // posts in a row that found the receiver away; 0 = it is not away
	FailingSince Millis
	ProbeAt      Millis // when to try again
	Error        string // of the last failure
	GivenUp      int64  // ever
	GivenUpAt    Millis
	GivenUpLast  string // the public ID of the last one; empty = it was one of many

	Now Millis `gorm:"->"` // by the database's clock, when the row was read
}

// TableName is the table of the one row.
func (EventWebhook) TableName() string { return "event_webhook" }

// goesOn says that the webhook goes on where it was. One that was off for longer begins anew.
func (w *EventWebhook) goesOn() bool { return w.DueAt > 0 && w.Now-w.DueAt <= GiveUpAfter }

// EventWebhook reads how far the posting of events is.
func (s *Store) EventWebhook(ctx context.Context) (EventWebhook, error) {
	return s.webhookRow(s.db.WithContext(ctx))
}

func (s *Store) webhookRow(db *gorm.DB) (w EventWebhook, err error) {
	err = db.Select("*, " + s.d.now + " AS now").Where("id = 1").Take(&w).Error
	return w, err
}

// TakenWebhook is what a process finds that takes the event webhook.
type TakenWebhook struct {
	EventWebhook
	Anew    bool  // the webhook begins with what happens from now on
	GivenUp int64 // events that waited when it was switched off, more than three days ago
}

// TakeEventWebhook takes the lease of the event webhook. The answer is nil when another process has it.
//
// A webhook that was never on begins at now, and so does one that nobody has posted for longer than three
// days. What waited then is given up.
func (s *Store) TakeEventWebhook(ctx context.Context) (*TakenWebhook, error) {
	seen, err := s.EventWebhook(ctx)
	if err != nil || seen.DueAt > seen.Now {
		return nil, err
	}
	if err := s.OrderEvents(ctx); err != nil {
		return nil, err
	}
	var taken *TakenWebhook
	err = s.txAgain(ctx, isDeadlock, func(tx *gorm.DB) error {
		taken = nil
		q := tx
		if s.d.name == "mysql" {
			q = tx.Clauses(clause.Locking{Strength: "UPDATE"})
		}
		w, err := s.webhookRow(q)
		if err != nil || w.DueAt > w.Now {
			return err
		}
		found := &TakenWebhook{EventWebhook: w, Anew: !w.goesOn()}
		if found.Anew {
			err = s.beginAnew(tx, found)
		} else if rest := w.Now - w.DueAt; rest > restMost {
			err = s.standStill(tx, &found.EventWebhook, rest)
		}
		if err != nil {
			return err
		}
		found.Epoch, found.DueAt = w.Epoch+1, w.Now+WebhookLease
		taken = found
		return tx.Model(&EventWebhook{}).Where("id = 1").Select("*").Omit("now").Updates(&found.EventWebhook).Error
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// beginAnew gives up what waited when the webhook was switched off, and moves to the end of the order.
func (s *Store) beginAnew(tx *gorm.DB, w *TakenWebhook) error {
	o, err := s.eventOrder(tx)
	if err != nil {
		return err
	}
	if w.DueAt > 0 {
		var behind int64
		err := tx.Raw("SELECT COUNT(*) FROM events WHERE seq>? AND at<=?", w.Pos, w.DueAt).Scan(&behind).Error
		if err != nil {
			return err
		}
		gone := tx.Exec("DELETE FROM event_deliveries WHERE seq>0")
		if gone.Error != nil {
			return gone.Error
		}
		w.GivenUp = behind + gone.RowsAffected
		if w.GivenUp > 0 {
			w.EventWebhook.GivenUp, w.GivenUpAt, w.GivenUpLast = w.EventWebhook.GivenUp+w.GivenUp, w.Now, ""
		}
	}
	w.Pos, w.Failures, w.FailingSince, w.ProbeAt, w.Error = o.Seq, 0, 0, 0, ""
	return nil
}

// standStill takes a time in which nobody posted out of the reckoning.
func (s *Store) standStill(tx *gorm.DB, w *EventWebhook, rest Millis) error {
	if w.FailingSince > 0 {
		w.FailingSince += rest
	}
	return tx.Exec("UPDATE event_deliveries SET first_at=first_at+? WHERE seq>0", rest).Error
}

// LeaveEventWebhook gives the lease back: the next process need not wait for its end.
func (s *Store) LeaveEventWebhook(ctx context.Context, w *EventWebhook) error {
	_, err := s.exec(ctx, "UPDATE event_webhook SET due_at="+s.d.now+" WHERE id=1 AND epoch=?", w.Epoch)
	return err
}

// moveWebhook is the first statement of each transaction of whoever posts. It renews the lease. ErrFenced:
// another process has it.
func (s *Store) moveWebhook(tx *gorm.DB, w *EventWebhook, set string, args ...any) error {
	args = append(append([]any{WebhookLease}, args...), w.Epoch)
	fence := tx.Exec("UPDATE event_webhook SET due_at="+s.d.now+"+?"+set+" WHERE id=1 AND epoch=?", args...) // guard: webhook-fence
	if fence.Error == nil && fence.RowsAffected == 0 {
		return ErrFenced
	}
	return fence.Error
}

// ReceiverAway notes that a post found the receiver away, and when to try again. It renews the lease.
func (s *Store) ReceiverAway(ctx context.Context, w *EventWebhook, why string, wait time.Duration) error {
	err := s.tx(ctx, func(tx *gorm.DB) error {
		since := "failing_since=CASE WHEN failing_since=0 THEN " + s.d.now + " ELSE failing_since END"
		return s.moveWebhook(tx, w, ", failures=failures+1, "+since+", probe_at="+s.d.now+"+?, error=?", wait.Milliseconds(), cut(why))
	})
	if err != nil {
		return err
	}
	return s.rereadWebhook(ctx, w)
}

// ReceiverBack notes that the receiver takes events again. It renews the lease.
func (s *Store) ReceiverBack(ctx context.Context, w *EventWebhook) error {
	err := s.tx(ctx, func(tx *gorm.DB) error {
		return s.moveWebhook(tx, w, ", failures=0, failing_since=0, probe_at=0, error=''")
	})
	if err != nil {
		return err
	}
	return s.rereadWebhook(ctx, w)
}

func (s *Store) rereadWebhook(ctx context.Context, w *EventWebhook) error {
	row, err := s.EventWebhook(ctx)
	switch {
	case err != nil:
		return err
	case row.Epoch != w.Epoch:
		return ErrFenced
	}
	*w = row
	return nil
}
