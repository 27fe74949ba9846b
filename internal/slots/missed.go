package slots

import "time"

// maxCount: so many missed slots are counted one by one.
const maxCount = 100_000

// Missed counts the slots from one of them up to until, and returns the last. It stops counting at 100,000.
func (s Spec) Missed(from, until time.Time) (n int, last time.Time) {
	if s.fields == nil {
		k := until.Sub(from) / s.every
		return int(k) + 1, from.Add(k * s.every)
	}
	for at := from; n < maxCount && !at.After(until); n++ {
		last = at
		next, ok := s.Next(at)
		if !ok {
			return n + 1, last
		}
		at = next
	}
	if n < maxCount {
		return n, last
	}
	return n, s.lastUntil(last, until)
}

// lastUntil finds the last slot up to until, of which from is one, by looking back ever farther.
func (s Spec) lastUntil(from, until time.Time) time.Time {
	for back := time.Hour; ; back *= 4 {
		at := until.Add(-back)
		if !at.After(from) {
			at = from
		}
		last := time.Time{}
		for next, ok := s.Next(at); ok && !next.After(until); next, ok = s.Next(next) {
			last = next
		}
		switch {
		case !last.IsZero():
			return last
		case at.Equal(from):
			return from
		}
	}
}

// Note marks a slot on a day on which the zone's clocks change, in words; "" on every other day.
func (s Spec) Note(slot time.Time) string {
	local := slot.In(s.loc)
	eve := Instant(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC), s.loc).Add(-time.Second)
	_, end := eve.In(s.loc).ZoneBounds()
	if y, m, d := end.In(s.loc).Date(); end.IsZero() || y != local.Year() || m != local.Month() || d != local.Day() {
		return ""
	}
	_, before := end.Add(-time.Second).In(s.loc).Zone()
	_, after := end.In(s.loc).Zone()
	shift := time.Duration(after-before) * time.Second
	switch {
	case shift > 0 && s.fixed && slot.Equal(end):
		return "clocks go forward by " + short(shift) + " this day; a time that does not exist is sent at the first instant after the gap"
	case shift > 0:
		return "clocks go forward by " + short(shift) + " this day"
	case s.fixed && !slot.Before(end.Add(shift)) && slot.Before(end):
		return "clocks go back by " + short(-shift) + " this day; this time comes twice and is sent at its first coming"
	}
	return "clocks go back by " + short(-shift) + " this day"
}

func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return d.Truncate(time.Hour).String()[:len(d.String())-len("0m0s")]
	}
	return d.String()[:len(d.String())-len("0s")]
}
