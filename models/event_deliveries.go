package models

import (
	"context"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// The states of a row of event_deliveries. The numbers are stored.
const (
	deliveryBehind = 0 // another event of its stream comes first
	deliveryFresh  = 1 // to be posted
	deliveryFailed = 2 // has failed, and is to be posted again
)

// deliveryRow is a row of event_deliveries.
type deliveryRow struct {
	Seq      int64 `gorm:"primaryKey;autoIncrement:false"`
	EventID  int64
	Stream   string
	State    int
	Attempts int
	FirstAt  Millis
	NextAt   Millis
}

// TableName is where gorm stores a row.
func (deliveryRow) TableName() string { return "event_deliveries" }

// EventDelivery is an event that was taken out of the log to be posted.
type EventDelivery struct {
	Seq      int64
	EventID  int64
	Stream   string // events of one stream are posted in their order
	Attempts int    // that failed
	FirstAt  Millis
	Event    Event `gorm:"embedded;embeddedPrefix:e_"` // without an ID: the event was purged
}

// streamOf is what an event is in order with: the events of its campaign, or of its schedule when it is
// about no campaign. Other events have no order among each other.
func streamOf(e Event) string {
	switch {
	case e.CampaignID != "":
		return "c" + e.CampaignID
	case e.ScheduleID != "":
		return "s" + e.ScheduleID
	}
	return "e" + strconv.FormatInt(e.ID, 10)
}

// Posted is how the post of a delivery ended.
type Posted struct {
	EventDelivery
	Failed bool
	Wait   time.Duration // of one that failed: until it is tried again
}

// MoveDeliveries notes how posts ended, takes up to take further events out of the log, and renews the
// lease, in one transaction. A post that failed three days after its event was taken is the last one:
// gaveUp lists those. taken is how many events were taken. ErrFenced: another process has the lease.
func (s *Store) MoveDeliveries(ctx context.Context, w *EventWebhook, posted []Posted, take int) (gaveUp []EventDelivery, taken int, err error) {
	pos := w.Pos
	err = s.tx(ctx, func(tx *gorm.DB) error {
		gaveUp, taken, pos = nil, 0, w.Pos
		if err := s.moveWebhook(tx, w, ""); err != nil {
			return err
		}
		now, err := s.nowIn(tx)
		if err != nil {
			return err
		}
		if gaveUp, err = s.notePosted(tx, now, posted); err != nil {
			return err
		}
		if err := s.noteGivenUp(tx, gaveUp, int64(len(gaveUp))); err != nil || take == 0 {
			return err
		}
		taken, pos, err = s.takeEvents(tx, w.Pos, now, take)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	w.Pos = pos
	return gaveUp, taken, nil
}

// notePosted removes what is done, puts off what failed, and lets the next events of the streams come.
func (s *Store) notePosted(tx *gorm.DB, now Millis, posted []Posted) (gaveUp []EventDelivery, err error) {
	var done []int64
	var streams []string
	for _, p := range posted {
		last := p.Failed && now-p.FirstAt >= GiveUpAfter
		if p.Failed && !last {
			err := tx.Exec("UPDATE event_deliveries SET state=?, attempts=attempts+1, next_at=? WHERE seq=?", deliveryFailed, now+Millis(p.Wait.Milliseconds()), p.Seq).Error
			if err != nil {
				return nil, err
			}
			continue
		}
		if last {
			gaveUp = append(gaveUp, p.EventDelivery)
		}
		done, streams = append(done, p.Seq), append(streams, p.Stream)
	}
	return gaveUp, s.removeDeliveries(tx, now, done, streams)
}

// removeDeliveries removes rows. The next row of each of their streams is to be posted now.
func (s *Store) removeDeliveries(tx *gorm.DB, now Millis, done []int64, streams []string) error {
	if len(done) == 0 {
		return nil
	}
	if err := tx.Exec("DELETE FROM event_deliveries WHERE seq IN ?", done).Error; err != nil {
		return err
	}
	var next []int64
	err := tx.Raw("SELECT MIN(seq) FROM event_deliveries WHERE stream IN ? GROUP BY stream", streams).Scan(&next).Error
	if err != nil || len(next) == 0 {
		return err
	}
	return tx.Exec("UPDATE event_deliveries SET state=?, next_at=? WHERE seq IN ? AND state=?", deliveryFresh, now, next, deliveryBehind).Error
}

// noteGivenUp counts events that were given up. last are the newest of them; empty = they are not known
// one by one, and none is named.
func (s *Store) noteGivenUp(tx *gorm.DB, last []EventDelivery, n int64) error {
	if n == 0 {
		return nil
	}
	name := ""
	if len(last) > 0 {
		name = last[len(last)-1].Event.PublicID()
	}
	return tx.Exec("UPDATE event_webhook SET given_up=given_up+?, given_up_at="+s.d.now+", given_up_last=? WHERE id=1", n, name).Error
}

// takeEvents makes deliveries of the next events behind a place.
func (s *Store) takeEvents(tx *gorm.DB, after int64, now Millis, most int) (n int, pos int64, err error) {
	var events []Event
	err = tx.Select("id", "seq", "campaign_id", "schedule_id").Where("seq > ?", after).Order("seq").Limit(most).Find(&events).Error
	if err != nil || len(events) == 0 {
		return 0, after, err
	}
	streams := make([]string, len(events))
	for i, e := range events {
		streams[i] = streamOf(e)
	}
	var waiting []string
	if err := tx.Raw("SELECT DISTINCT stream FROM event_deliveries WHERE stream IN ?", streams).Scan(&waiting).Error; err != nil {
		return 0, after, err
	}
	behind := map[string]bool{}
	for _, stream := range waiting {
		behind[stream] = true
	}
	rows := make([]deliveryRow, len(events))
	for i, e := range events {
		state := deliveryFresh
		if behind[streams[i]] {
			state = deliveryBehind
		}
		behind[streams[i]] = true
		rows[i] = deliveryRow{Seq: e.Seq, EventID: e.ID, Stream: streams[i], State: state, FirstAt: now, NextAt: now}
	}
	if err := tx.Create(&rows).Error; err != nil {
		return 0, after, err
	}
	pos = events[len(events)-1].Seq
	return len(events), pos, tx.Exec("UPDATE event_webhook SET pos=? WHERE id=1", pos).Error
}

// EventsBehind says whether there are events behind a place.
func (s *Store) EventsBehind(ctx context.Context, place int64) (bool, error) {
	e, err := oneOf(s.db.WithContext(ctx).Model(&Event{}).Where("seq > ?", place).Order("seq"))
	return e != nil, err
}

// DeliveriesDue are up to limit deliveries that are to be posted now, each the first of its stream: those
// that are new, or those that have failed. soon also takes those that are to be posted later.
func (s *Store) DeliveriesDue(ctx context.Context, failed, soon bool, limit int) (due []EventDelivery, err error) {
	state, until := deliveryFresh, s.d.now
	if failed {
		state = deliveryFailed
	}
	if soon {
		until = "9000000000000000"
	}
	const of = "e.id AS e_id, e.seq AS e_seq, e.at AS e_at, e.kind AS e_kind, e.campaign_id AS e_campaign_id, e.schedule_id AS e_schedule_id, " +
		"e.from_status AS e_from_status, e.to_status AS e_to_status, e.reason_code AS e_reason_code, e.reason AS e_reason, e.actor AS e_actor, " +
		"e.via AS e_via, e.operation_id AS e_operation_id, e.data AS e_data"
	err = s.db.WithContext(ctx).Raw("SELECT d.seq, d.event_id, d.stream, d.attempts, d.first_at, "+of+" FROM event_deliveries d LEFT JOIN events e ON e.id=d.event_id "+
		"WHERE d.state=? AND d.next_at<="+until+" ORDER BY d.next_at, d.seq LIMIT ?", state, limit).Scan(&due).Error
	return due, err
}

// GiveUpOld gives up the next events that have waited for three days for a receiver that was away all the
// time. n = 0: no further one is that old. It renews the lease. ErrFenced: another process has it.
func (s *Store) GiveUpOld(ctx context.Context, w *EventWebhook) (n int64, err error) {
	pos := w.Pos
	err = s.tx(ctx, func(tx *gorm.DB) error {
		n, pos = 0, w.Pos
		if err := s.moveWebhook(tx, w, ""); err != nil {
			return err
		}
		now, err := s.nowIn(tx)
		if err != nil || w.FailingSince == 0 || w.FailingSince > now-GiveUpAfter {
			return err
		}
		var old []EventDelivery
		err = tx.Raw("SELECT seq, event_id, stream FROM event_deliveries WHERE seq>0 AND first_at<=? ORDER BY seq LIMIT ?", now-GiveUpAfter, giveUpStep).Scan(&old).Error
		if err != nil {
			return err
		}
		if n = int64(len(old)); n == 0 {
			n, pos, err = s.passOld(tx, w.Pos, now-GiveUpAfter)
		} else {
			done, streams := make([]int64, len(old)), make([]string, len(old))
			for i, d := range old {
				done[i], streams[i] = d.Seq, d.Stream
			}
			err = s.removeDeliveries(tx, now, done, streams)
		}
		if err != nil {
			return err
		}
		return s.noteGivenUp(tx, nil, n)
	})
	if err == nil {
		w.Pos = pos
	}
	return n, err
}

// passOld moves the webhook's place past events that happened before a time.
func (s *Store) passOld(tx *gorm.DB, after int64, before Millis) (n, pos int64, err error) {
	var events []Event
	err = tx.Select("id", "seq", "at").Where("seq > ?", after).Order("seq").Limit(giveUpStep).Find(&events).Error
	if err != nil {
		return 0, after, err
	}
	pos = after
	for _, e := range events {
		if e.At > before {
			break
		}
		n, pos = n+1, e.Seq
	}
	if n == 0 {
		return 0, after, nil
	}
	return n, pos, tx.Exec("UPDATE event_webhook SET pos=? WHERE id=1", pos).Error
}
