package slots

import "time"

// maxOffset is more than any zone was ever away from UTC: Manila was 15:56:08 behind.
const maxOffset = 24 * time.Hour

// offset is how far the local clock is ahead of UTC at t.
func offset(t time.Time, loc *time.Location) time.Duration {
	_, seconds := t.In(loc).Zone()
	return time.Duration(seconds) * time.Second
}

// clock is the date and time that the local clock shows at t, on the floating clock.
func clock(t time.Time, loc *time.Location) time.Time {
	return t.Round(0).UTC().Add(offset(t, loc)) // Round drops the monotonic reading
}

// nextBound is an instant after t up to which the offset at t holds: zero when it holds for ever.
//
// Beyond a zone's table, on the last day of a leap year, the standard library names a bound that
// has passed. Nothing changes before that day's end.
func nextBound(t time.Time, loc *time.Location) time.Time {
	_, end := t.In(loc).ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		return day(t.UTC()).AddDate(0, 0, 1)
	}
	return end
}

// Instant is the instant, in UTC, of a local date and time of day. wall gives the local time as if
// in UTC. The result is the first instant at which the local clock shows wall or later:
//
//   - of a time that does not exist, the first instant after the gap;
//   - of a time that comes twice, its first coming.
func Instant(wall time.Time, loc *time.Location) time.Time {
	wall = wall.Round(0).UTC()
	for begin := wall.Add(-maxOffset); ; {
		at := wall.Add(-offset(begin, loc))
		if at.Before(begin) {
			return begin.UTC()
		}
		end := nextBound(begin, loc)
		if end.IsZero() || at.Before(end) {
			return at
		}
		begin = end
	}
}

// Note describes in words a slot on a day on which the zone's clocks change. On every other day it
// is "".
func (s Spec) Note(slot time.Time) string {
	at, before, after, ok := change(slot, s.loc)
	if !ok {
		return ""
	}
	local := clock(slot, s.loc)
	const hm = "15:04"
	if after.After(before) {
		note := "clocks go forward this day"
		if s.interval || !slot.Equal(at) {
			return note
		}
		missing, ok := s.after(before.Add(-1))
		if !ok || !missing.Before(after) {
			return note
		}
		layout := hm
		if !day(missing).Equal(day(local)) {
			layout = time.DateOnly + " " + hm
		}
		return note + ": " + missing.Format(layout) + " does not exist, so it is " + local.Format(hm)
	}
	note := "clocks go back this day"
	switch twice := !local.Before(after) && local.Before(before); {
	case !twice:
		return note
	case !s.interval:
		return note + "; fires at the first " + local.Format(hm)
	case slot.Before(at):
		return note + "; this is the first " + local.Format(hm)
	default:
		return note + "; this is the second " + local.Format(hm)
	}
}

// change is the change of clocks on the local day of t. At the instant at, the local clock goes
// from before to after.
func change(t time.Time, loc *time.Location) (at, before, after time.Time, ok bool) {
	today := day(clock(t, loc))
	start, end := t.In(loc).ZoneBounds()
	for _, at := range []time.Time{start, end} {
		if at.IsZero() {
			continue
		}
		before, after := clock(at.Add(-1), loc).Add(1), clock(at, loc)
		// The days that lack times or have some twice, and the day that begins right after a gap.
		first, last := before, after
		if after.Before(before) {
			first, last = after, before.Add(-1)
		}
		// Not every bound is a change: the standard library also puts one at the turn of the year.
		if !before.Equal(after) && !today.Before(day(first)) && !today.After(day(last)) {
			return at, before, after, true
		}
	}
	return at, before, after, false
}

// day is the date of a floating time.
func day(local time.Time) time.Time { return local.Truncate(24 * time.Hour) }
