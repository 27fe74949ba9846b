package slots

import (
	"math/bits"
	"time"
)

// maxCount is where Missed stops counting: a schedule of every minute after ten weeks.
const maxCount = 100_000

// horizonYears is how far Next looks ahead: twice the longest wait for a 29 February, and some
// more, because a gap may take one from an interval.
const horizonYears = 20

// Next is the first slot strictly after t, in UTC. ok is false when there is none within the
// horizon. Parse refuses texts that never fire.
func (s Spec) Next(t time.Time) (slot time.Time, ok bool) {
	switch {
	case s.cron == nil:
		return s.nextEvery(t), true
	case s.interval:
		return s.nextInterval(t)
	default:
		return s.nextFixed(t)
	}
}

func (s Spec) nextEvery(t time.Time) time.Time {
	next := s.anchor
	if passed := t.Unix() - s.anchor; passed >= 0 {
		next += (passed/s.every + 1) * s.every
	}
	return time.Unix(next, 0).UTC()
}

// nextInterval goes from one change of clocks to the next. Between two changes, local time is real
// time moved by an offset.
func (s Spec) nextInterval(t time.Time) (time.Time, bool) {
	local := clock(t, s.loc)
	for begin, horizon := t, t.AddDate(horizonYears, 0, 0); begin.Before(horizon); {
		next, ok := s.after(local)
		if !ok {
			return time.Time{}, false
		}
		slot := next.Add(-offset(begin, s.loc))
		end := nextBound(begin, s.loc)
		if end.IsZero() || slot.Before(end) {
			return slot, true
		}
		begin = end
		local = clock(end, s.loc).Add(-1) // end itself may be a slot
	}
	return time.Time{}, false
}

// nextFixed walks the local times in order. It ends: a local time whose first coming is at t or
// earlier is skipped, and there are at most as many of those as the clocks once went back.
func (s Spec) nextFixed(t time.Time) (time.Time, bool) {
	for local := clock(t, s.loc); ; {
		next, ok := s.after(local)
		if !ok {
			return time.Time{}, false
		}
		if slot := Instant(next, s.loc); slot.After(t) {
			return slot, true
		}
		local = next
	}
}

// after is the next match strictly after local, on the floating clock. ok is false when there is
// none within as many years as may lie between two 29ths of February.
func (s Spec) after(local time.Time) (next time.Time, ok bool) {
	date := day(local)
	minute := int(local.Sub(date)/time.Minute) + 1
	for end := date.AddDate(leapGap, 0, 1); date.Before(end); minute = 0 {
		switch {
		case s.cron.Month&(1<<date.Month()) == 0:
			date = date.AddDate(0, 1, 1-date.Day())
			continue
		case s.onDay(date):
			if first, ok := s.fromMinute(minute); ok {
				return date.Add(time.Duration(first) * time.Minute), true
			}
		}
		date = date.Add(24 * time.Hour)
	}
	return time.Time{}, false
}

// leapGap is how many years may lie between two 29ths of February: 2096 and 2104.
const leapGap = 8

// onDay reports whether a date's day of the month and day of the week match. If both are restricted,
// one of them is enough.
func (s Spec) onDay(date time.Time) bool {
	dom, dow := s.cron.Dom&(1<<date.Day()) != 0, s.cron.Dow&(1<<date.Weekday()) != 0
	if s.cron.Dom&starBit != 0 || s.cron.Dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}

// fromMinute is the first minute of a day that matches, from a minute of the day on.
func (s Spec) fromMinute(minute int) (first int, ok bool) {
	minutes, hours := s.cron.Minute&^starBit, s.cron.Hour&^starBit
	hour := minute / 60
	if rest := minutes >> (minute % 60) << (minute % 60); hours&(1<<hour) != 0 && rest != 0 {
		return hour*60 + bits.TrailingZeros64(rest), true
	}
	later := hours >> (hour + 1) << (hour + 1)
	return bits.TrailingZeros64(later)*60 + bits.TrailingZeros64(minutes), later != 0
}

// Missed counts the slots from `from`, itself a slot, up to and including until. It returns the
// last of them. For a cron text it counts at most 100,000; last is still the true last slot.
func (s Spec) Missed(from, until time.Time) (n int, last time.Time) {
	next, ok := s.Next(from.Add(-1))
	if !ok || next.After(until) {
		return 0, time.Time{}
	}
	if s.cron == nil {
		more := (until.Unix() - next.Unix()) / s.every
		return int(more) + 1, time.Unix(next.Unix()+more*s.every, 0).UTC()
	}
	for ; ok && !next.After(until); next, ok = s.Next(next) {
		if n == maxCount {
			return n, s.lastSlot(next, until)
		}
		n, last = n+1, next
	}
	return n, last
}

// lastSlot finds the last slot up to until by halving. It begins with a slot and a time after which
// no slot follows.
func (s Spec) lastSlot(slot, until time.Time) time.Time {
	for end := until; end.Sub(slot) >= time.Second; {
		mid := slot.Add(end.Sub(slot) / 2)
		if next, ok := s.Next(mid); ok && !next.After(until) {
			slot = next
		} else {
			end = mid
		}
	}
	return slot
}
