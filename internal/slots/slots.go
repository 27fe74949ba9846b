// Package slots says when a cron text fires in a time zone: pure functions, and the guard around the cron parser,
// which panics on some texts and knows another daylight-saving rule than ours.
//
// The rule. A spec is an interval when its hour field begins with `*`, or it is @every; every other is fixed to the
// local clock. A fixed local time that does not exist on a day fires at the first instant after the gap; one that comes
// twice fires once, at its first coming; fixed slots that fall on the same instant are one slot. Intervals
// follow real time: they fire at every instant whose local clock matches.
package slots

import (
	"time"

	"github.com/robfig/cron/v3"
)

// Spec is when a schedule fires: a parsed cron text in a zone.
type Spec struct {
	fields *cron.SpecSchedule // nil for @every; asked for floating times in UTC only
	fixed  bool
	every  time.Duration
	anchor time.Time
	loc    *time.Location
}

// Interval says whether the spec follows real time.
func (s Spec) Interval() bool { return !s.fixed }

// Next is the first slot strictly after t, in UTC; ok is false when there is none within the five years that the
// parser looks ahead.
func (s Spec) Next(t time.Time) (slot time.Time, ok bool) {
	switch {
	case s.fields == nil:
		return s.nextEvery(t), true
	case s.fixed:
		return s.nextFixed(t)
	}
	return s.nextInterval(t)
}

func (s Spec) nextEvery(t time.Time) time.Time {
	since := t.Sub(s.anchor)
	if since < 0 {
		return s.anchor
	}
	return s.anchor.Add((since/s.every + 1) * s.every)
}

// nextFixed walks the slots of the floating clock: those at or before t's own clock have come already.
func (s Spec) nextFixed(t time.Time) (time.Time, bool) {
	for wall := s.fields.Next(floating(t, s.loc)); !wall.IsZero(); wall = s.fields.Next(wall) {
		if at := Instant(wall, s.loc); at.After(t) {
			return at, true
		}
	}
	return time.Time{}, false
}

// nextInterval looks in one stretch of constant offset after the other, in each of which local and real time run alike.
func (s Spec) nextInterval(t time.Time) (time.Time, bool) {
	at := t
	_, offset := t.In(s.loc).Zone()
	from := t.Add(time.Duration(offset) * time.Second).UTC() // floating, and itself no slot any more
	for range maxStretches {
		wall := s.fields.Next(from)
		if wall.IsZero() {
			break
		}
		slot := wall.Add(-time.Duration(offset) * time.Second)
		_, end := at.In(s.loc).ZoneBounds()
		if end.IsZero() || slot.Before(end) {
			return slot, true
		}
		at = end
		_, offset = end.In(s.loc).Zone()
		from = end.Add(time.Duration(offset)*time.Second - time.Second).UTC() // a slot upon the change counts
	}
	return time.Time{}, false
}

// maxStretches: some zones change their clocks four times a year, and the parser looks five years ahead.
const maxStretches = 64

// floating is t's local date and clock, as if in UTC.
func floating(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

// Instant is the instant of a local date and clock (wall, as if in UTC): the first instant after the gap for one that
// does not exist, the first coming of one that comes twice.
func Instant(wall time.Time, loc *time.Location) time.Time {
	wall = wall.UTC()
	// The offsets a day before and after are those around any change that can matter.
	_, before := wall.Add(-26 * time.Hour).In(loc).Zone()
	first := wall.Add(-time.Duration(before) * time.Second)
	// Walk the changes from the one before: the first stretch that holds the clock gives its first coming.
	for at := first.Add(-26 * time.Hour); ; {
		local := at.In(loc)
		_, offset := local.Zone()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		start, end := local.ZoneBounds()
		switch {
		case !start.IsZero() && candidate.Before(start):
			return start.UTC() // it fell into the gap that opened here
		case end.IsZero() || candidate.Before(end):
			return candidate
		}
		at = end
	}
}
