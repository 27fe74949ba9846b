package slots

import (
	"time"

	"carillon/internal/zones"
	"carillon/models"
)

// The zones farthest from UTC. A local date and clock comes first where clocks are 14 hours ahead,
// and last where they are 12 hours behind.
const (
	maxAhead  = 14 * time.Hour
	maxBehind = 12 * time.Hour
	firstZone = models.Millis(maxAhead / time.Millisecond)
	lastZone  = models.Millis(maxBehind / time.Millisecond)
)

// maxSlot is the last slot that every zone's clock can show.
const maxSlot = models.MaxInstant - firstZone

// FirstInstant is when the first zone comes to a local date and clock, written as if in UTC.
func FirstInstant(wall models.Millis) models.Millis { return wall - firstZone }

// LastInstant is when the last zone comes to a local date and clock, written as if in UTC.
func LastInstant(wall models.Millis) models.Millis { return wall + lastZone }

// Replan sets a schedule's next slot: the first slot that fires after now.
func Replan(s *models.Schedule, now models.Millis) error {
	t, err := Of(*s)
	if err == nil {
		s.NextSlot, s.NextFire = t.Next(now)
	}
	return err
}

// Resume makes a paused schedule active again, from the first slot after now. The slots in between
// were not wanted.
func Resume(s *models.Schedule, now models.Millis) error {
	if s.Status == models.ScheduleActive {
		return nil
	}
	if err := s.Resume(); err != nil {
		return err
	}
	return Replan(s, now)
}

// Campaign is the campaign of one slot of a schedule.
func (t Timetable) Campaign(s models.Schedule, slot models.Millis) models.CampaignSpec {
	c := RunNow(s)
	if s.LocalTime {
		c.WallAt, c.SendAt, c.Missed, c.MissedGrace = slot, t.Fire(slot), s.Missed, s.MissedGrace
		if c.ExpireAfter > 0 {
			c.ExpireAt = LastInstant(slot) + c.ExpireAfter
		}
	}
	return c
}

// RunNow is a campaign of a schedule that belongs to no slot and goes to everybody at once.
func RunNow(s models.Schedule) models.CampaignSpec {
	c := s.Campaign
	if c.Name == "" {
		c.Name = s.Name
	}
	c.Zone = s.Timezone
	return c
}

// Timetable is when the slots of a schedule come. The slots of a local-time schedule are local
// dates and clocks, as if in UTC. Such a slot fires when the first zone comes to it.
type Timetable struct {
	spec       Spec
	loc        *time.Location
	local      bool
	start, end models.Millis
}

// Of is the timetable of a schedule. The error is for the caller of the API (3001). It names the
// cron text or zone that this program cannot read: a newer program wrote it.
func Of(s models.Schedule) (Timetable, error) {
	loc, err := zones.Load(s.Timezone)
	if err != nil {
		return Timetable{}, models.Errorf(models.CodeIllegalTransition, "this program does not know the time zone %q of the schedule; start a newer one, or change timezone", s.Timezone)
	}
	if s.LocalTime {
		loc = time.UTC
	}
	spec, err := read(s.Cron, loc, s.Anchor.Time())
	if err != nil {
		return Timetable{}, models.Errorf(models.CodeIllegalTransition, "this program cannot read the cron text %q of the schedule, which %s; start a newer one, or change cron", s.Cron, err)
	}
	return Timetable{spec, loc, s.LocalTime, s.StartAt, s.EndAt}, nil
}

// Show writes a slot by the clocks where it counts. note describes it on days on which they change.
func (t Timetable) Show(slot models.Millis) (local, note string) {
	if t.local {
		return slot.Time().Format(models.WallClock), ""
	}
	at := slot.Time()
	return at.In(t.loc).Format(time.RFC3339), t.spec.Note(at)
}

// Every is the time between two slots of an @every text; 0 for any other text.
func (t Timetable) Every() time.Duration { return time.Duration(t.spec.every) * time.Second }

// Fire is the instant at which a slot fires.
func (t Timetable) Fire(slot models.Millis) models.Millis {
	if t.local {
		return FirstInstant(slot)
	}
	return slot
}

// Span is how long after its slot, read as UTC, the last zone comes to the slot.
func (t Timetable) Span() models.Millis {
	if t.local {
		return lastZone
	}
	return 0
}

// Next is the first slot that fires after the given instant; 0 when there is none.
func (t Timetable) Next(after models.Millis) (slot, fire models.Millis) {
	if t.local {
		return t.After(after + firstZone)
	}
	return t.After(after)
}

// After is the first slot after a point of the slots' own time, which may be a slot.
func (t Timetable) After(from models.Millis) (slot, fire models.Millis) {
	if t.start != 0 {
		// The start is an instant, and a slot exactly at the start counts.
		from = max(from, t.start+from-t.Fire(from)-1)
	}
	next, ok := t.spec.Next(from.Time())
	if !ok {
		return 0, 0
	}
	slot = models.Millis(next.UnixMilli())
	if fire = t.Fire(slot); t.end != 0 && fire > t.end || slot > maxSlot {
		return 0, 0
	}
	return slot, fire
}

// Missed counts the slots from one slot up to a point of the slots' own time, and returns the last.
func (t Timetable) Missed(from, until models.Millis) (n int, last models.Millis) {
	if t.end != 0 {
		until = min(until, t.end+until-t.Fire(until))
	}
	n, at := t.spec.Missed(from.Time(), until.Time())
	return n, models.Millis(at.UnixMilli())
}
