package models

import (
	"context"
	"errors"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// DueSchedules returns up to limit active schedules whose next slot has come, by public ID, and the
// database's clock. The schedules that fired longest ago come first. So a schedule that is due each
// second does not stand in the way of a schedule that is due once a day.
func (s *Store) DueSchedules(ctx context.Context, limit int) (ids []string, now Millis, err error) {
	if now, err = s.Now(ctx); err != nil {
		return nil, 0, err
	}
	// The narrow index is sorted, not the rows with their templates.
	err = s.db.WithContext(ctx).Raw("SELECT s.public_id FROM (SELECT id, fired_at FROM schedules WHERE status=? AND next_fire<=? ORDER BY fired_at, next_fire LIMIT ?) d JOIN schedules s ON s.id=d.id ORDER BY d.fired_at",
		ScheduleActive, now, limit).Scan(&ids).Error
	return ids, now, err
}

// errNotOurs ends a firing that another scheduler does or has done.
var errNotOurs = errors.New("another scheduler has this slot")

// Fire acts upon a schedule's next slot in one transaction. Its first statement takes the schedule
// by its version: however many processes try, one of them fires. For all others, fired is false. If
// the campaign cannot be made (its audience is gone, an earlier campaign still runs), that is the
// slot's outcome and no error.
func (s *Store) Fire(ctx context.Context, sch Schedule, f Firing, admins []string) (out Created, fired bool, err error) {
	var c Campaign
	var refused *Error
	if f.Slot != 0 {
		f.Campaign.OperationID, f.Campaign.CreatedBy = sch.OperationID, sch.CreatedBy
		f.Campaign.ScheduleID, f.Campaign.Slot = sch.PublicID, f.Slot
		// The slot's campaign is frozen before the transaction, like the campaign of a POST.
		if c, err = s.newCampaign(ctx, &f.Campaign, admins); err != nil && !errors.As(err, &refused) {
			return Created{}, false, err
		}
	}
	err = s.tx(ctx, func(tx *gorm.DB) error {
		out = Created{}
		if err := s.takeSlot(tx, sch, f); err != nil {
			return err
		}
		now, err := s.nowIn(tx)
		if err != nil {
			return err
		}
		if err := s.passOver(tx, sch, f, ReasonMissed, now); err != nil || f.Refused != "" {
			return err
		}
		if f.Slot == 0 {
			return nil
		}
		return s.recordOccurrence(tx, sch, f, c, refused, now, &out)
	})
	if errors.Is(err, errNotOurs) {
		return Created{}, false, nil
	}
	return out, err == nil, err
}

// passOver writes the lines of the slots that make no campaign: those that were missed, those that
// somebody leaves out, and one that cannot be acted upon. why is why slots were missed.
func (s *Store) passOver(tx *gorm.DB, sch Schedule, f Firing, why ReasonCode, now Millis) error {
	if m := f.Missed; m != nil {
		row := Occurrence{ScheduleID: sch.ID, Slot: &m.From, LastSlot: m.To, Slots: m.Slots, Outcome: OutcomeMissed, Reason: m.Reason, CreatedAt: now}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		data := EventData{"slots": m.Slots, "from": sch.shownSlot(m.From), "to": sch.shownSlot(m.To)}
		if err := s.recordSlot(tx, sch, f, Event{Kind: EventScheduleMissed, ReasonCode: why, Reason: m.Reason, Data: data}); err != nil {
			return err
		}
	}
	if err := s.passSkips(tx, sch, f, now); err != nil {
		return err
	}
	if f.Refused != "" {
		return s.refuse(tx, sch, f, now)
	}
	return nil
}

// takeSlot is the fence. A row that another scheduler has locked is passed over, not waited for:
// one frozen process must not hold up the others.
func (s *Store) takeSlot(tx *gorm.DB, sch Schedule, f Firing) error {
	if s.d.name == "mysql" {
		var ids []int64
		q := tx.Model(&Schedule{}).Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"})
		if err := q.Where("id = ? AND version = ?", sch.ID, sch.Version).Pluck("id", &ids).Error; err != nil {
			return err
		}
		if len(ids) == 0 {
			return errNotOurs
		}
	}
	status := ScheduleActive
	if f.NextSlot == 0 {
		status = ScheduleEnded
	}
	// guard: schedule-version
	res := tx.Exec("UPDATE schedules SET version=version+1, status=?, next_slot=?, next_fire=?, fired_at="+s.d.now+" WHERE id=? AND version=? AND next_slot=? AND status=?",
		status, f.NextSlot, f.NextFire, sch.ID, sch.Version, sch.NextSlot, ScheduleActive)
	if res.Error == nil && res.RowsAffected == 0 {
		return errNotOurs
	}
	return res.Error
}

// recordOccurrence writes what became of the slot. If the slot may fire, its campaign is made too.
func (s *Store) recordOccurrence(tx *gorm.DB, sch Schedule, f Firing, c Campaign, refused *Error, now Millis, out *Created) error {
	row := Occurrence{ScheduleID: sch.ID, Slot: &f.Slot, Slots: 1, Outcome: OutcomeFired, CampaignID: c.PublicID, CreatedAt: now}
	switch {
	case refused != nil:
		row.Outcome, row.CampaignID, row.Reason = OutcomeRefused, "", refusal(refused)
	case sch.Overlap == OverlapSkip && !sch.LocalTime:
		earlier, err := s.unfinished(tx, sch.PublicID)
		if err != nil {
			return err
		}
		if earlier != "" {
			row.Outcome, row.CampaignID, row.Reason = OutcomeOverlap, "", "campaign "+earlier+" of this schedule had not ended"
		}
	}
	if err := tx.Create(&row).Error; err != nil {
		return err
	}
	e := Event{Kind: EventScheduleFired, CampaignID: row.CampaignID, Reason: row.Reason, Data: EventData{"slot": sch.shownSlot(f.Slot)}}
	if row.CampaignID == "" {
		e.Kind, e.ReasonCode = EventScheduleSkipped, ReasonOverlap
		if row.Outcome == OutcomeRefused {
			e.ReasonCode = ReasonRefused
		}
	}
	if err := s.recordSlot(tx, sch, f, e); err != nil || row.CampaignID == "" {
		out.Refused = row.Reason
		return err
	}
	out.PublicID = c.PublicID
	return s.insertCampaign(tx, &c, f.Campaign.Audience, out)
}

// refuse records that the schedule's next slot could not be acted upon. It is recorded once,
// however often that is found.
func (s *Store) refuse(tx *gorm.DB, sch Schedule, f Firing, now Millis) error {
	row := Occurrence{ScheduleID: sch.ID, Slot: &sch.NextSlot, Slots: 1, Outcome: OutcomeRefused, Reason: cut(f.Refused), CreatedAt: now}
	var known bool
	err := tx.Raw("SELECT EXISTS(SELECT 1 FROM occurrences WHERE schedule_id=? AND slot=?)", sch.ID, sch.NextSlot).Scan(&known).Error
	if err != nil || known {
		return err
	}
	if err := tx.Create(&row).Error; err != nil {
		return err
	}
	return s.recordSlot(tx, sch, f, Event{Kind: EventScheduleSkipped, ReasonCode: ReasonRefused, Reason: f.Refused, Data: EventData{"slot": sch.shownSlot(sch.NextSlot)}})
}

// recordSlot stores what became of a slot. If no slot is left, the schedule ends.
func (s *Store) recordSlot(tx *gorm.DB, sch Schedule, f Firing, e Event) error {
	e.ScheduleID = sch.PublicID
	// The last event of a firing says that the schedule has ended.
	if f.NextSlot == 0 && (f.Slot == 0 || e.Kind != EventScheduleMissed) {
		e.FromStatus, e.ToStatus = string(ScheduleActive), string(ScheduleEnded)
	}
	return s.record(tx, ViaScheduler, e)
}

// passSkips writes the line of each slot that a firing passes over, and deletes the rows of the
// slots that are behind.
func (s *Store) passSkips(tx *gorm.DB, sch Schedule, f Firing, now Millis) error {
	for _, slot := range f.Skipped {
		row := Occurrence{ScheduleID: sch.ID, Slot: &slot, Slots: 1, Outcome: OutcomeSkipped, Reason: skippedByHand}
		row.CreatedAt = now
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
	}
	if err := storeSkips(tx, sch, sch.skipsLeft(f.NextSlot)); err != nil {
		return err
	}
	// The request to skip the slot has its event. The end of the schedule has none yet.
	if len(f.Skipped) == 0 || f.Slot != 0 || f.Missed != nil || f.NextSlot != 0 {
		return nil
	}
	last := f.Skipped[len(f.Skipped)-1]
	e := Event{Kind: EventScheduleSkipped, ReasonCode: ReasonSkippedByHand, Reason: skippedByHand}
	e.Data = EventData{"slot": sch.shownSlot(last)}
	return s.recordSlot(tx, sch, f, e)
}

func refusal(e *Error) string {
	texts := []string{e.Detail}
	if len(e.Fields) > 0 {
		texts = texts[:0]
	}
	for _, f := range e.Fields {
		texts = append(texts, f.Field+" "+f.Reason)
	}
	return cut(strings.Join(texts, "; "))
}

// unfinished returns one of the schedule's last campaigns that has not ended, if there is one.
func (s *Store) unfinished(tx *gorm.DB, schedulePublicID string) (publicID string, err error) {
	const last = 10 // the campaign before, and those run by hand
	err = tx.Raw("SELECT public_id FROM (SELECT public_id, status FROM campaigns WHERE schedule_id=? ORDER BY id DESC LIMIT ?) c WHERE status IN ? LIMIT 1",
		schedulePublicID, last, []Status{StatusScheduled, StatusRunning, StatusPaused}).Scan(&publicID).Error
	return publicID, err
}
