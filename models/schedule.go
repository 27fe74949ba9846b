package models

import (
	"slices"
	"time"
)

// ScheduleStatus is a schedule's state.
type ScheduleStatus string

const (
	ScheduleActive  ScheduleStatus = "active"
	SchedulePaused  ScheduleStatus = "paused"
	ScheduleEnded   ScheduleStatus = "ended"   // no slot is left
	ScheduleDeleted ScheduleStatus = "deleted" // its history stays
)

// scheduleTransitions are the changes of a schedule's state; docs/states.md draws them.
var scheduleTransitions = map[ScheduleStatus][]ScheduleStatus{
	ScheduleActive: {SchedulePaused, ScheduleEnded, ScheduleDeleted},
	SchedulePaused: {ScheduleActive, ScheduleEnded, ScheduleDeleted},
	ScheduleEnded:  {ScheduleActive, ScheduleDeleted},
}

// ScheduleStatuses lists all states of schedules.
var ScheduleStatuses = []ScheduleStatus{ScheduleActive, SchedulePaused, ScheduleEnded, ScheduleDeleted}

// ScheduleTransition says whether a schedule may go from one state to another: nil, or 3001.
func ScheduleTransition(from, to ScheduleStatus) error {
	if slices.Contains(scheduleTransitions[from], to) {
		return nil
	}
	return Errorf(CodeIllegalTransition, "a schedule that is %s cannot become %s", from, to)
}

// Overlap says what happens at a slot while an earlier campaign of the schedule has not ended.
type Overlap string

const (
	OverlapSkip  Overlap = "skip"
	OverlapAllow Overlap = "allow"
)

// Schedule is the row of one schedule: when its campaigns start, and the template they are made from.
type Schedule struct {
	ID          int64 `gorm:"primaryKey"`
	PublicID    string
	Name        string
	Cron        string
	Timezone    string // IANA name; of a local-time schedule: of users who have none
	LocalTime   bool   // slots are local dates and clocks, as if in UTC, and each user gets it by their own
	Anchor      Millis // the phase of @every
	StartAt     Millis // no slot before it; 0 = since ever
	EndAt       Millis // no slot after it; 0 = for ever
	Missed      Missed
	MissedGrace Millis
	Overlap     Overlap
	Campaign    CampaignSpec `gorm:"serializer:asItIs"`
	Status      ScheduleStatus
	PauseID     int64    // of the PauseAllSchedules that has paused it; else 0
	Version     int      // counts the changes: the fence of every firing
	NextSlot    Millis   // 0 = none
	NextFire    Millis   // the instant at which NextSlot is acted upon: the slot itself, or the first zone's instant; later once it was refused
	FiredAt     Millis   // when it was acted upon last; 0 = never
	Skipped     []Millis `gorm:"-"` // coming slots that somebody leaves out, in order; table schedule_skips
	OperationID string
	CreatedBy   string
	CreatedAt   Millis `gorm:"autoCreateTime:false"`
}

// Due says whether the schedule's next slot has come.
func (s *Schedule) Due(now Millis) bool {
	return s.Status == ScheduleActive && s.NextSlot != 0 && s.NextFire <= now
}

// shownSlot is a slot as an event shows it; of a local-time schedule without a zone.
func (s *Schedule) shownSlot(slot Millis) string {
	if s.LocalTime {
		return slot.Shown(WallClock)
	}
	return slot.Shown(time.RFC3339)
}

// Pause stops an active schedule from firing. Already paused is no error; one that has ended has nothing to pause (3001).
func (s *Schedule) Pause() error {
	switch s.Status {
	case ScheduleActive, SchedulePaused:
		s.Status, s.PauseID = SchedulePaused, 0
		return nil
	case ScheduleEnded, ScheduleDeleted:
	}
	return Errorf(CodeIllegalTransition, "a schedule that is %s cannot be paused", s.Status)
}

// Resume makes a paused schedule active; the caller sets its next slot.
func (s *Schedule) Resume() error {
	if s.Status != SchedulePaused {
		return Errorf(CodeIllegalTransition, "a schedule that is %s cannot be resumed", s.Status)
	}
	s.Status, s.PauseID = ScheduleActive, 0
	return nil
}

// Outcome is what became of a slot.
type Outcome string

const (
	OutcomeFired   Outcome = "fired"   // a campaign was made
	OutcomeMissed  Outcome = "missed"  // nobody was there at its time
	OutcomeSkipped Outcome = "skipped" // somebody has left it out
	OutcomeOverlap Outcome = "overlap" // an earlier campaign of the schedule had not ended
	OutcomeRefused Outcome = "refused" // the template cannot be sent any more, or the schedule cannot be read; the reason says why
)

// Occurrence is one slot of a schedule, or a run of missed ones, and what became of it.
type Occurrence struct {
	ID         int64 `gorm:"primaryKey"`
	ScheduleID int64
	Slot       *Millis // nil = run by hand
	LastSlot   Millis  // of a run of missed slots; else 0
	Slots      int     // how many this row stands for
	Outcome    Outcome
	Reason     string
	CampaignID string // the public one; empty = none was made
	CreatedAt  Millis `gorm:"autoCreateTime:false"`
}

// Firing is what the scheduler decides for one schedule: the slots that were missed (Missed; nil = none), the slot that
// fires (Slot; 0 = none), and the slot to wait for next.
type Firing struct {
	Missed   *MissedRun
	Skipped  []Millis // slots that are passed over, because somebody leaves them out
	Slot     Millis   // 0 = none fires
	Campaign CampaignSpec
	Refused  string // why this program cannot act upon the next slot at all; it stays the next one
	NextSlot Millis // 0 = none is left: the schedule has ended
	NextFire Millis
}

// MissedRun is a run of slots at whose time nobody was there.
type MissedRun struct {
	From, To Millis
	Slots    int
	Reason   string
}
