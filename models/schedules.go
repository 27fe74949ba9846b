package models

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateSchedule stores a schedule, checked and with its next slot, and its Idempotency-Key with the complete answer
// that answer renders. Its template must be one that would be a campaign today: 1004 as in CreateCampaign.
func (s *Store) CreateSchedule(ctx context.Context, sch Schedule, admins []string, idem Idempotency, answer func(Schedule) []byte) (Created, error) {
	if done, err := s.replay(ctx, idem); err != nil || done != nil {
		return deref(done), err
	}
	if err := s.CheckTemplate(ctx, sch.Campaign, admins); err != nil {
		return Created{}, err
	}
	sch.PublicID, sch.Status, sch.Version = ulid.Make().String(), statusFor(sch), 1
	out := Created{PublicID: sch.PublicID, Answer: answer(sch)}
	return s.once(ctx, idem, out, sch.CreatedAt, func(tx *gorm.DB, _ *Created) error {
		row := sch
		return tx.Create(&row).Error
	})
}

// statusFor is active as long as there is a slot to come.
func statusFor(sch Schedule) ScheduleStatus {
	if sch.NextSlot == 0 {
		return ScheduleEnded
	}
	return ScheduleActive
}

// CheckTemplate says what would keep a campaign of this template from being made now.
func (s *Store) CheckTemplate(ctx context.Context, spec CampaignSpec, admins []string) error {
	_, err := s.newCampaign(ctx, &spec, admins)
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	in := *e
	in.Fields = nil
	for _, f := range e.Fields {
		in.Fields = append(in.Fields, FieldError{"campaign." + f.Field, f.Reason})
	}
	return &in
}

// Schedule reads a schedule by its public ID; 1004 when there is none.
func (s *Store) Schedule(ctx context.Context, publicID string) (Schedule, error) {
	if !isPublicID(publicID) {
		return Schedule{}, NotFound("schedule")
	}
	var rows []Schedule
	err := s.db.WithContext(ctx).Where("public_id = ?", publicID).Limit(1).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		err = NotFound("schedule")
	}
	if err != nil {
		return Schedule{}, err
	}
	return rows[0], nil
}

// ScheduleFilter selects schedules, newest first; deleted ones only when asked for.
type ScheduleFilter struct {
	Status ScheduleStatus // empty = all but the deleted
	Before int64          // internal number to go on before; 0 = from the newest
	Limit  int
}

// Schedules lists schedules, without their templates: one may hold a list of 100,000 recipients.
func (s *Store) Schedules(ctx context.Context, f ScheduleFilter) ([]Schedule, error) {
	q := s.db.WithContext(ctx).Omit("campaign").Where("id < ?", cmp.Or(f.Before, math.MaxInt64)).Order("id DESC").Limit(f.Limit)
	if f.Status != "" {
		q = q.Where("status = ?", f.Status)
	} else {
		q = q.Where("status <> ?", ScheduleDeleted)
	}
	var rows []Schedule
	err := q.Find(&rows).Error
	return rows, err
}

// Occurrences lists what became of a schedule's slots, newest first.
func (s *Store) Occurrences(ctx context.Context, scheduleID, before int64, limit int) ([]Occurrence, error) {
	q := s.db.WithContext(ctx).Where("schedule_id = ?", scheduleID).Order("id DESC").Limit(limit)
	if before > 0 {
		q = q.Where("id < ?", before)
	}
	var rows []Occurrence
	err := q.Find(&rows).Error
	return rows, err
}

// ChangeSchedule lets change alter a schedule as it stands, and stores what it made of it unless somebody else was
// faster: then change is asked again. change gets the database's clock, and sets the next slot. A deleted schedule cannot be
// changed (3001).
//
// A slot that is due by then is settled first, as due says, and has its line in the history: a change holds from the
// next slot on. made are the campaigns of such slots, to be enqueued. A change that leaves the slots alone needs no due.
func (s *Store) ChangeSchedule(ctx context.Context, publicID string, admins []string, due func(sch Schedule, now Millis) (Firing, error), change func(sch *Schedule, now Millis) error) (sch Schedule, made []Created, err error) {
	for {
		if sch, err = s.Schedule(ctx, publicID); err != nil {
			return sch, made, err
		}
		if sch.Status == ScheduleDeleted {
			return sch, made, Errorf(CodeIllegalTransition, "the schedule is deleted; make a new one")
		}
		now, err := s.Now(ctx)
		if err != nil {
			return sch, made, err
		}
		next := sch
		if err := change(&next, now); err != nil {
			return sch, made, err
		}
		if due != nil && sch.Due(now) {
			if made, err = s.settle(ctx, sch, now, admins, due, made); err != nil {
				return sch, made, err
			}
			continue
		}
		if next.Status == ScheduleActive || next.Status == ScheduleEnded {
			next.Status = statusFor(next)
		}
		next.Version++
		var n int64
		err = s.tx(ctx, func(tx *gorm.DB) error {
			res := tx.Model(&Schedule{}).Select("*").Omit("id").Where("id = ? AND version = ?", sch.ID, sch.Version).Updates(&next)
			n = res.RowsAffected
			return res.Error
		})
		if err != nil || n == 1 {
			return next, made, err
		}
	}
}

// settleAgain is how long to wait for a scheduler that has a slot which is to be settled.
const settleAgain = 10 * time.Millisecond

// settle acts upon a due slot, unless a scheduler does, and adds its campaign to made.
func (s *Store) settle(ctx context.Context, sch Schedule, now Millis, admins []string, due func(Schedule, Millis) (Firing, error), made []Created) ([]Created, error) {
	f, err := due(sch, now)
	if err != nil {
		return made, err
	}
	c, fired, err := s.Fire(ctx, sch, f, admins)
	switch {
	case err != nil:
		return made, err
	case c.PublicID != "":
		return append(made, c), nil
	case fired:
		return made, nil
	}
	select {
	case <-ctx.Done():
		return made, ctx.Err()
	case <-time.After(settleAgain):
		return made, nil
	}
}

// DeleteSchedule ends a schedule for good; its history stays. Already deleted is no error. due is ChangeSchedule's, and
// fires nothing.
func (s *Store) DeleteSchedule(ctx context.Context, publicID string, due func(Schedule, Millis) (Firing, error)) (Schedule, error) {
	sch, _, err := s.ChangeSchedule(ctx, publicID, nil, due, func(sch *Schedule, _ Millis) error {
		sch.Status, sch.NextSlot, sch.NextFire = ScheduleDeleted, 0, 0
		return nil
	})
	if err != nil && sch.Status == ScheduleDeleted {
		return sch, nil
	}
	return sch, err
}

// PauseAllSchedules pauses every active schedule at once, whoever sends it, and says which they were. Nothing is sent
// from then on, so a slot that is due is missed, and has its line in the history.
func (s *Store) PauseAllSchedules(ctx context.Context) (paused []Named, err error) {
	return s.pauseAll(ctx, pauseSchedules, func(tx *gorm.DB, pause int64) error {
		now, err := s.nowIn(tx)
		if err != nil {
			return err
		}
		q := tx.Model(&Schedule{}).Select("id", "next_slot").Where("status = ? AND next_fire BETWEEN 1 AND ?", ScheduleActive, now)
		if s.d.name == "mysql" {
			q = q.Clauses(clause.Locking{Strength: "UPDATE"}) // a scheduler that has the slot comes first
		}
		var due []Schedule
		if err := q.Find(&due).Error; err != nil {
			return err
		}
		lines := make([]Occurrence, len(due))
		for i, sch := range due {
			lines[i] = Occurrence{ScheduleID: sch.ID, Slot: &sch.NextSlot, LastSlot: sch.NextSlot, Slots: 1, Outcome: OutcomeMissed, Reason: "all schedules were paused", CreatedAt: now}
		}
		if len(lines) > 0 {
			// One that could not be read has its line already.
			if err := tx.Clauses(clause.OnConflict{DoNothing: true}).CreateInBatches(lines, 1000).Error; err != nil {
				return err
			}
		}
		return tx.Exec("UPDATE schedules SET status=?, version=version+1, pause_id=? WHERE status=?", SchedulePaused, pause, ScheduleActive).Error
	})
}

// DueSchedules are up to limit active schedules whose next slot has come, by public ID, and the database's clock. Those
// come first that were acted upon longest ago: one that is due each second must not be in the way of one that is due once a day.
func (s *Store) DueSchedules(ctx context.Context, limit int) (ids []string, now Millis, err error) {
	if now, err = s.Now(ctx); err != nil {
		return nil, 0, err
	}
	// The narrow index is sorted, not the rows with their templates.
	err = s.db.WithContext(ctx).Raw("SELECT s.public_id FROM (SELECT id, fired_at FROM schedules WHERE status=? AND next_fire<=? ORDER BY fired_at, next_fire LIMIT ?) d JOIN schedules s ON s.id=d.id ORDER BY d.fired_at",
		ScheduleActive, now, limit).Scan(&ids).Error
	return ids, now, err
}

// errNotOurs ends a firing that somebody else does, or has done.
var errNotOurs = errors.New("another scheduler has this slot")

// Fire acts upon a schedule's next slot, in one transaction whose first statement takes the schedule by its version:
// however many processes try, one of them does it. fired is false for all others. What keeps the campaign from being made
// (an audience that is gone, an earlier campaign) is the slot's outcome, not an error.
func (s *Store) Fire(ctx context.Context, sch Schedule, f Firing, admins []string) (out Created, fired bool, err error) {
	var c Campaign
	var refused *Error
	if f.Slot != 0 {
		f.Campaign.OperationID, f.Campaign.CreatedBy = sch.OperationID, sch.CreatedBy
		f.Campaign.ScheduleID, f.Campaign.Slot = sch.PublicID, f.Slot
		// The slot's campaign is frozen before the transaction, as a POST's is.
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
		if m := f.Missed; m != nil {
			row := Occurrence{ScheduleID: sch.ID, Slot: &m.From, LastSlot: m.To, Slots: m.Slots, Outcome: OutcomeMissed, Reason: m.Reason, CreatedAt: now}
			if err := tx.Create(&row).Error; err != nil {
				return err
			}
		}
		if f.Refused != "" {
			return refuse(tx, sch, f.Refused, now)
		}
		if f.Slot == 0 {
			return nil
		}
		return s.occur(tx, sch, f, c, refused, now, &out)
	})
	if errors.Is(err, errNotOurs) {
		return Created{}, false, nil
	}
	return out, err == nil, err
}

// takeSlot is the fence. A row that another scheduler holds is passed over, not waited for: one frozen process must not
// hold up the others.
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

func (s *Store) nowIn(tx *gorm.DB) (now Millis, err error) {
	err = tx.Raw("SELECT " + s.d.now).Scan(&now).Error
	return now, err
}

// occur writes what became of the slot, and makes its campaign if it may.
func (s *Store) occur(tx *gorm.DB, sch Schedule, f Firing, c Campaign, refused *Error, now Millis, out *Created) error {
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
	if err := tx.Create(&row).Error; err != nil || row.CampaignID == "" {
		out.Refused = row.Reason
		return err
	}
	out.PublicID = c.PublicID
	return s.insertCampaign(tx, &c, f.Campaign.Audience, out)
}

// refuse writes once that the schedule's next slot could not be acted upon, however often that is found.
func refuse(tx *gorm.DB, sch Schedule, reason string, now Millis) error {
	row := Occurrence{ScheduleID: sch.ID, Slot: &sch.NextSlot, Slots: 1, Outcome: OutcomeRefused, Reason: cut(reason), CreatedAt: now}
	return tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error
}

// cut makes a reason fit its column.
func cut(reason string) string {
	runes := []rune(reason)
	return string(runes[:min(len(runes), 255)])
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

// unfinished is one of the schedule's last campaigns that has not ended, if there is one.
func (s *Store) unfinished(tx *gorm.DB, schedulePublicID string) (publicID string, err error) {
	const last = 10 // the one before, and those run by hand
	err = tx.Raw("SELECT public_id FROM (SELECT public_id, status FROM campaigns WHERE schedule_id=? ORDER BY id DESC LIMIT ?) c WHERE status IN ? LIMIT 1",
		schedulePublicID, last, []Status{StatusScheduled, StatusRunning, StatusPaused}).Scan(&publicID).Error
	return publicID, err
}

// RunSchedule makes a campaign of a schedule's template now, whatever its slots and overlap say. Errors as of
// CreateCampaign; 3001 for a deleted schedule.
func (s *Store) RunSchedule(ctx context.Context, publicID string, spec CampaignSpec, admins []string, idem Idempotency, answer func(Campaign) []byte) (Created, error) {
	if done, err := s.replay(ctx, idem); err != nil || done != nil {
		return deref(done), err
	}
	sch, err := s.Schedule(ctx, publicID)
	if err != nil {
		return Created{}, err
	}
	if sch.Status == ScheduleDeleted {
		return Created{}, Errorf(CodeIllegalTransition, "the schedule is deleted; make a new one")
	}
	spec.ScheduleID = sch.PublicID
	c, err := s.newCampaign(ctx, &spec, admins)
	if err != nil {
		return Created{}, err
	}
	out := Created{PublicID: c.PublicID, Answer: answer(c)}
	return s.once(ctx, idem, out, c.CreatedAt, func(tx *gorm.DB, out *Created) error {
		c := c // a repeated transaction starts from the frozen row
		row := Occurrence{ScheduleID: sch.ID, Slots: 1, Outcome: OutcomeFired, Reason: "run by " + spec.CreatedBy, CampaignID: c.PublicID, CreatedAt: c.CreatedAt}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return s.insertCampaign(tx, &c, spec.Audience, out)
	})
}
