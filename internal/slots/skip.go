package slots

import (
	"fmt"
	"slices"

	"carillon/models"
)

// Skip adds a coming slot to the ones of a schedule that are left out. A slot that is left out
// already is no error. Errors: 1001 names the field slot; 3001 says that the schedule has ended.
func Skip(sch *models.Schedule, slot, now models.Millis) error {
	if sch.Status != models.ScheduleActive && sch.Status != models.SchedulePaused {
		return models.Errorf(models.CodeIllegalTransition, "a schedule that is %s has no coming slot", sch.Status)
	}
	t, err := Of(*sch)
	if err != nil {
		return err
	}
	found, fire := t.After(slot - 1)
	if found != slot || fire <= now || slot < sch.NextSlot {
		return refuseSkip("must be one of the coming slots; see GET /v1/schedules/{id}/next")
	}
	if sch.Skips(slot) {
		return nil
	}
	// Slots that came while a schedule was paused are not acted upon. So their rows go here.
	left := slices.Clone(sch.Skipped)
	if sch.Status == models.SchedulePaused {
		left = slices.DeleteFunc(left, func(s models.Millis) bool { return t.Fire(s) <= now })
	}
	if len(left) >= models.MaxSkips {
		return refuseSkip("is one too many: %d coming slots are left out already; pause the schedule instead", models.MaxSkips)
	}
	sch.Skipped = append(left, slot)
	slices.Sort(sch.Skipped)
	return nil
}

func refuseSkip(format string, args ...any) error {
	return models.Invalid([]models.FieldError{{Field: "slot", Reason: fmt.Sprintf(format, args...)}})
}

// FirstKept is the schedule's next slot that nobody leaves out; 0 = none.
func (t Timetable) FirstKept(s models.Schedule) models.Millis {
	slot := s.NextSlot
	for slot != 0 && s.Skips(slot) {
		slot, _ = t.After(slot)
	}
	return slot
}
