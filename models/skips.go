package models

import (
	"slices"

	"gorm.io/gorm"
)

// MaxSkips is how many coming slots of one schedule can be left out at the same time.
const MaxSkips = 100

// skippedByHand is the reason in the line of a slot that somebody leaves out. The event of the
// request names who.
const skippedByHand = "left out by hand"

// Skips reports whether somebody leaves the slot out.
func (s *Schedule) Skips(slot Millis) bool { return slices.Contains(s.Skipped, slot) }

// SkippedBetween lists the slots from one to another that are left out, in order.
func (s *Schedule) SkippedBetween(from, to Millis) []Millis {
	var found []Millis
	for _, slot := range s.Skipped {
		if slot >= from && slot <= to {
			found = append(found, slot)
		}
	}
	return found
}

// skipsLeft are the skipped slots that a schedule keeps when nextSlot is its next one. 0 = no slot
// is left.
func (s *Schedule) skipsLeft(nextSlot Millis) []Millis {
	return slices.DeleteFunc(slices.Clone(s.Skipped), func(slot Millis) bool { return nextSlot == 0 || slot < nextSlot })
}

// sameSlots reports whether two states of a schedule have the same slots, apart from the first and
// the last.
func sameSlots(a, b Schedule) bool {
	return a.Cron == b.Cron && a.Timezone == b.Timezone && a.LocalTime == b.LocalTime && a.Anchor == b.Anchor
}

// readSkips adds the skipped slots to schedules that were read before them. So a schedule that is
// changed between the two readings has another version by now, and a firing of it fails.
func readSkips(db *gorm.DB, list []Schedule) error {
	if len(list) == 0 {
		return nil
	}
	at := make(map[int64]*Schedule, len(list))
	ids := make([]int64, len(list))
	for i := range list {
		ids[i], at[list[i].ID] = list[i].ID, &list[i]
	}
	var rows []struct {
		ScheduleID int64
		Slot       Millis
	}
	const query = "SELECT schedule_id, slot FROM schedule_skips WHERE schedule_id IN ? ORDER BY schedule_id, slot"
	if err := db.Raw(query, ids).Scan(&rows).Error; err != nil {
		return err
	}
	for _, row := range rows {
		sch := at[row.ScheduleID]
		sch.Skipped = append(sch.Skipped, row.Slot)
	}
	return nil
}

// storeSkips makes the rows of a schedule's skipped slots what left says, in the transaction that
// has changed the schedule's version.
func storeSkips(tx *gorm.DB, before Schedule, left []Millis) error {
	var gone []Millis
	for _, slot := range before.Skipped {
		if !slices.Contains(left, slot) {
			gone = append(gone, slot)
		}
	}
	if len(gone) > 0 {
		if err := tx.Exec("DELETE FROM schedule_skips WHERE schedule_id=? AND slot IN ?", before.ID, gone).Error; err != nil {
			return err
		}
	}
	for _, slot := range newSkips(before.Skipped, left) {
		if err := tx.Exec("INSERT INTO schedule_skips (schedule_id, slot) VALUES (?,?)", before.ID, slot).Error; err != nil {
			return err
		}
	}
	return nil
}

// newSkips are the slots of now that were not skipped before.
func newSkips(before, now []Millis) []Millis {
	return slices.DeleteFunc(slices.Clone(now), func(slot Millis) bool { return slices.Contains(before, slot) })
}

// keepSkips drops the skipped slots that a changed schedule no longer has, and returns how many.
func (s *Schedule) keepSkips(before Schedule) (dropped int) {
	if sameSlots(before, *s) {
		s.Skipped = s.skipsLeft(s.NextSlot)
		return 0
	}
	s.Skipped = nil
	return len(before.skipsLeft(before.NextSlot))
}
