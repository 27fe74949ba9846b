package models

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/oklog/ulid/v2"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateSchedule stores a checked schedule with its next slot, and its Idempotency-Key with the
// whole answer that answer renders. Its template must be a campaign that could be made today: 1004
// as in CreateCampaign.
func (s *Store) CreateSchedule(ctx context.Context, sch Schedule, admins []string, idem Idempotency, answer func(Schedule) []byte) (Created, error) {
	if done, err := s.replay(ctx, idem); err != nil || done != nil {
		return deref(done), err
	}
	if err := s.CheckTemplate(ctx, sch.Campaign, admins); err != nil {
		return Created{}, err
	}
	sch.PublicID, sch.Status, sch.Version = ulid.Make().String(), statusFor(sch), 1
	out := Created{PublicID: sch.PublicID, Answer: answer(sch)}
	return s.withIdempotency(ctx, idem, out, sch.CreatedAt, func(tx *gorm.DB, _ *Created) error {
		row := sch
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return s.record(tx, ViaAPI, Event{Kind: EventScheduleCreated, ScheduleID: sch.PublicID, ToStatus: string(sch.Status)})
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

// Schedule reads a schedule by its public ID: 1004 when there is none.
func (s *Store) Schedule(ctx context.Context, publicID string) (Schedule, error) {
	if !isPublicID(publicID) {
		return Schedule{}, NotFound("schedule")
	}
	var rows []Schedule
	err := s.db.WithContext(ctx).Where("public_id = ?", publicID).Limit(1).Find(&rows).Error
	if err == nil && len(rows) == 0 {
		err = NotFound("schedule")
	}
	if err == nil {
		err = readSkips(s.db.WithContext(ctx), rows)
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

// Schedules lists schedules without their templates: a template may list 100,000 recipients.
func (s *Store) Schedules(ctx context.Context, f ScheduleFilter) ([]Schedule, error) {
	q := s.db.WithContext(ctx).Omit("campaign").Where("id < ?", cmp.Or(f.Before, math.MaxInt64)).Order("id DESC").Limit(f.Limit)
	if f.Status != "" {
		q = q.Where("status = ?", f.Status)
	} else {
		q = q.Where("status <> ?", ScheduleDeleted)
	}
	var rows []Schedule
	err := q.Find(&rows).Error
	if err == nil {
		err = readSkips(s.db.WithContext(ctx), rows)
	}
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

// ChangeSchedule calls change with a copy of the schedule and the database's clock, and stores the
// result. change must set the next slot. If somebody else changes the schedule meanwhile, change is
// called again. A deleted schedule cannot be changed: 3001.
//
// A slot that is already due is settled first: due decides about it, and the history gets its line.
// The change counts from the next slot on. made are the campaigns of such slots, for the caller to
// enqueue. A change that leaves the slots alone needs no due.
func (s *Store) ChangeSchedule(ctx context.Context, publicID string, admins []string, due func(sch Schedule, now Millis) (Firing, error), change func(sch *Schedule, now Millis) error) (Schedule, []Created, error) {
	return s.changeSchedule(ctx, publicID, ReasonOperator, admins, due, change)
}

// SkipSlot leaves one coming slot of a schedule out. skip adds the slot to the schedule's skipped
// ones, or says why the slot cannot be skipped. A slot that is skipped already is no error, and has
// one event. 3001 for a deleted schedule.
//
// A scheduler that acts upon the slot at the same time compares the same version of the schedule.
// So either the slot fires and skip is called again, or the slot is skipped and does not fire.
func (s *Store) SkipSlot(ctx context.Context, publicID string, skip func(sch *Schedule, now Millis) error) (Schedule, error) {
	sch, _, err := s.ChangeSchedule(ctx, publicID, nil, nil, skip)
	return sch, err
}

// changeSchedule is ChangeSchedule with the reason that the event names.
func (s *Store) changeSchedule(ctx context.Context, publicID string, why ReasonCode, admins []string, due func(sch Schedule, now Millis) (Firing, error), change func(sch *Schedule, now Millis) error) (sch Schedule, made []Created, err error) {
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
		if next.Status != sch.Status {
			if err := ScheduleTransition(sch.Status, next.Status); err != nil {
				return sch, made, err
			}
		}
		next.Version++
		dropped := next.keepSkips(sch)
		var n int64
		err = s.tx(ctx, func(tx *gorm.DB) error {
			res := tx.Model(&Schedule{}).Select("*").Omit("id").Where("id = ? AND version = ?", sch.ID, sch.Version).Updates(&next)
			if n = res.RowsAffected; res.Error != nil || n == 0 {
				return res.Error
			}
			if err := storeSkips(tx, sch, next.Skipped); err != nil {
				return err
			}
			return s.recordSchedule(tx, sch, next, why, dropped)
		})
		if err != nil || n == 1 {
			return next, made, err
		}
	}
}

// settleAgain is how long to wait for the scheduler that is at work on the slot to be settled.
const settleAgain = 10 * time.Millisecond

// settle acts upon a due slot and adds its campaign to made. If a scheduler has the slot, it waits.
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

// DeleteSchedule ends a schedule for good; its history stays. A schedule that is already deleted is
// no error. due is as in ChangeSchedule, but must fire nothing.
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

// PauseAllSchedules pauses every active schedule of every sender at once, and returns their names.
// Nothing is sent from then on. due decides about a schedule that is due, as in ChangeSchedule, but
// must fire nothing: each slot up to now has its line in the history.
func (s *Store) PauseAllSchedules(ctx context.Context, due func(Schedule, Millis) (Firing, error)) (paused []Named, err error) {
	return s.pauseAll(ctx, pauseSchedules, func(tx *gorm.DB, pause int64) error {
		if err := s.passDue(tx, due); err != nil {
			return err
		}
		// guard: pause-all-schedules
		if err := tx.Exec("UPDATE schedules SET status=?, version=version+1, pause_id=? WHERE status=?", SchedulePaused, pause, ScheduleActive).Error; err != nil {
			return err
		}
		e := Event{Kind: EventSchedulePaused, FromStatus: string(ScheduleActive), ToStatus: string(SchedulePaused), ReasonCode: ReasonPauseAll}
		return s.recordOf(tx, ViaCLI, e, "'',public_id", "schedules WHERE status=? AND pause_id=?", SchedulePaused, pause)
	})
}

// passDue writes what becomes of the slots that are due when everything is paused. The schedules
// themselves stay as they are.
func (s *Store) passDue(tx *gorm.DB, due func(Schedule, Millis) (Firing, error)) error {
	now, err := s.nowIn(tx)
	if err != nil {
		return err
	}
	q := tx.Omit("campaign").Where("status = ? AND next_fire BETWEEN 1 AND ?", ScheduleActive, now).Order("id")
	if s.d.name == "mysql" {
		q = q.Clauses(clause.Locking{Strength: "UPDATE"}) // a scheduler that has taken a slot comes first
	}
	var list []Schedule
	if err := q.Find(&list).Error; err != nil {
		return err
	}
	if err := readSkips(tx, list); err != nil {
		return err
	}
	for _, sch := range list {
		f, err := due(sch, now)
		if err != nil {
			return err
		}
		f.NextSlot = sch.NextSlot // a paused schedule has not ended; resuming finds its next slot
		if err := s.passOver(tx, sch, f, ReasonPauseAll, now); err != nil {
			return err
		}
	}
	return nil
}

// RunSchedule makes a campaign of a schedule's template now, whatever its slots and overlap say.
// Errors as of CreateCampaign; 3001 for a deleted schedule.
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
	return s.withIdempotency(ctx, idem, out, c.CreatedAt, func(tx *gorm.DB, out *Created) error {
		c := c // a repeated transaction starts from the frozen row
		row := Occurrence{ScheduleID: sch.ID, Slots: 1, Outcome: OutcomeFired, Reason: "run by " + spec.CreatedBy, CampaignID: c.PublicID, CreatedAt: c.CreatedAt}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		e := Event{Kind: EventScheduleFired, ScheduleID: sch.PublicID, CampaignID: c.PublicID, ReasonCode: ReasonByHand, Reason: row.Reason}
		if err := s.record(tx, ViaAPI, e); err != nil {
			return err
		}
		return s.insertCampaign(tx, &c, spec.Audience, out)
	})
}

// ResumeAllSchedules resumes the schedules that the last PauseAllSchedules paused and that are still
// paused by it, and returns their names. resume resumes one, as the change of ChangeSchedule.
func (s *Store) ResumeAllSchedules(ctx context.Context, resume func(sch *Schedule, now Millis) error) (resumed []Named, err error) {
	return s.resumeAll(ctx, pauseSchedules, func(publicID string, pause int64) (bool, error) {
		_, _, err := s.changeSchedule(ctx, publicID, ReasonResumeAll, nil, nil, func(sch *Schedule, now Millis) error {
			if sch.Status != SchedulePaused || sch.PauseID != pause {
				return errNothing
			}
			return resume(sch, now)
		})
		switch e := AsError(err); {
		case err == nil:
			return true, nil
		case errors.Is(err, errNothing), e.Code == CodeIllegalTransition: // resumed or deleted meanwhile
			return false, nil
		}
		return false, err
	})
}
