package slots

import (
	"time"

	"carillon/models"
)

// Due decides about a schedule whose next slot has come. A slot that is not late fires. After a
// time without a scheduler, all slots up to now count as one run of missed slots. With MissedOnce,
// the last slot of the run still fires if it is within the grace.
func Due(sch models.Schedule, now models.Millis) (models.Firing, error) {
	t, err := Of(sch)
	if err != nil {
		return refused(sch, now, err), nil
	}
	t.passRefused(&sch)
	if sch.NextSlot == 0 || !sch.Due(now) {
		return models.Firing{NextSlot: sch.NextSlot, NextFire: sch.NextFire}, nil
	}
	f := models.Firing{Slot: sch.NextSlot}
	last := sch.NextSlot
	if sch.Skips(sch.NextSlot) {
		f.Slot, f.Skipped = 0, []models.Millis{sch.NextSlot}
	}
	// The slot is past in the last zone too.
	// guard: missed-slots
	if until := now - t.Span(); sch.NextSlot < until-models.OnTime {
		f, last = t.missed(sch, until)
	}
	f.NextSlot, f.NextFire = t.After(last)
	if f.Slot != 0 {
		f.Campaign = t.Campaign(sch, f.Slot)
	}
	return f, nil
}

// lookAgain is how long a schedule that cannot be read is left alone.
const lookAgain = models.Millis(time.Minute / time.Millisecond)

// refused leaves the next slot as it is, for a program that can read the schedule.
func refused(sch models.Schedule, now models.Millis, why error) models.Firing {
	return models.Firing{Refused: models.AsError(why).Detail, NextSlot: sch.NextSlot, NextFire: now + lookAgain}
}

// passRefused goes on behind a slot that an older program could not read and so refused. That
// program has written the slot's line in the history.
func (t Timetable) passRefused(sch *models.Schedule) {
	if sch.NextFire > t.Fire(sch.NextSlot) {
		sch.NextSlot, sch.NextFire = t.After(sch.NextSlot)
	}
}

// Reasons for Forgo.
const (
	Paused    = "the schedule was paused"
	AllPaused = "all schedules were paused"
	Deleted   = "the schedule was deleted"
)

// Forgo decides about a due slot when an operator stops the schedule. Nothing fires. The history
// says so of each slot up to now, with the reason.
func Forgo(reason string) func(models.Schedule, models.Millis) (models.Firing, error) {
	return func(sch models.Schedule, now models.Millis) (f models.Firing, err error) {
		t, err := Of(sch)
		if err != nil {
			return refused(sch, now, err), nil
		}
		t.passRefused(&sch)
		if !sch.Due(now) {
			return models.Firing{NextSlot: sch.NextSlot, NextFire: sch.NextFire}, nil
		}
		run, last := t.run(sch, sch.NextSlot, now+sch.NextSlot-sch.NextFire, reason)
		f.Missed, f.Skipped = run, sch.SkippedBetween(sch.NextSlot, last)
		f.NextSlot, f.NextFire = t.After(last)
		return f, nil
	}
}

// Since limits due to slots behind lostUntil. Slots up to then may have fired in a ledger that was
// lost, so they do not fire again.
func Since(lostUntil models.Millis, due func(models.Schedule, models.Millis) (models.Firing, error)) func(models.Schedule, models.Millis) (models.Firing, error) {
	return func(sch models.Schedule, now models.Millis) (models.Firing, error) {
		if sch.NextFire > lostUntil {
			return due(sch, now)
		}
		return Forgo("the ledger was restored; the slot may have fired before")(sch, lostUntil)
	}
}

// missed sums up the slots up to until, the last of which it returns. The firing holds the slot that
// still fires, if there is one.
func (t Timetable) missed(sch models.Schedule, until models.Millis) (f models.Firing, last models.Millis) {
	const reason = "no scheduler was running"
	f.Missed, last = t.run(sch, sch.NextSlot, until, reason)
	f.Skipped = sch.SkippedBetween(sch.NextSlot, last)
	if f.Missed == nil || sch.Missed != models.MissedOnce || until-f.Missed.To > sch.MissedGrace {
		return f, last
	}
	f.Slot = f.Missed.To
	f.Missed, _ = t.run(sch, f.Missed.From, f.Slot-1, reason+"; the last one of them was sent late")
	return f, last
}

// run sums up the slots from one of them up to until, without those that somebody leaves out. run is
// nil when no other slot is among them. last is the last slot of all.
func (t Timetable) run(sch models.Schedule, from, until models.Millis, reason string) (run *models.MissedRun, last models.Millis) {
	n, last := t.Missed(from, until)
	n -= len(sch.SkippedBetween(from, last))
	if n <= 0 {
		return nil, last
	}
	first, to := from, last
	for sch.Skips(first) {
		first, _ = t.After(first)
	}
	for sch.Skips(to) {
		to = models.Millis(t.spec.lastSlot(first.Time(), (to - 1).Time()).UnixMilli())
	}
	return &models.MissedRun{From: first, To: to, Slots: n, Reason: reason}, last
}
