package slots

import (
	"time"

	"carillon/models"
)

// Quiet are quiet hours, in minutes of the local day. From belongs to them, To does not. They may
// wrap past midnight. From == To means no quiet hours.
type Quiet struct{ From, To int }

// ParseQuiet reads two times of day, "00:00" to "23:59". Two equal times are refused: they would
// mean the whole day. A reason follows its field's name, and is "" when nothing is wrong.
func ParseQuiet(from, to string) (q Quiet, fromReason, toReason string) {
	q.From, fromReason = parseClock(from)
	q.To, toReason = parseClock(to)
	if fromReason == "" && toReason == "" && q.From == q.To {
		toReason = "must not be when the quiet hours begin: they would be the whole day"
	}
	if fromReason != "" || toReason != "" {
		return Quiet{}, fromReason, toReason
	}
	return q, "", ""
}

func parseClock(text string) (minute int, reason string) {
	const layout = "15:04"
	t, err := time.Parse(layout, text)
	if err != nil || len(text) != len(layout) { // time.Parse also accepts "8:00"
		return 0, "must be a time of day as HH:MM, 00:00 to 23:59"
	}
	return t.Hour()*60 + t.Minute(), ""
}

// Until reports whether the local clock shows quiet hours at t, and when they end, in UTC. The end
// is the first instant after t at which the local clock does not show quiet hours. When a clock
// goes back into quiet hours, both comings are quiet.
func (q Quiet) Until(t time.Time, loc *time.Location) (end time.Time, quiet bool) {
	local := clock(t, loc)
	if !q.holds(local) {
		return time.Time{}, false
	}
	for begin := t; ; {
		to := day(local).Add(time.Duration(q.To) * time.Minute)
		if !to.After(local) {
			to = to.AddDate(0, 0, 1)
		}
		at := to.Add(-offset(begin, loc))
		next := nextBound(begin, loc)
		if next.IsZero() || at.Before(next) {
			return at, true
		}
		begin, local = next, clock(next, loc)
		if !q.holds(local) { // the clock jumped over their end
			return begin.UTC(), true
		}
	}
}

// Next is the first instant after t at which quiet hours begin, in UTC. At t there are none.
func (q Quiet) Next(t time.Time, loc *time.Location) time.Time {
	from := day(clock(t, loc)).Add(time.Duration(q.From) * time.Minute)
	begin := Instant(from, loc)
	for !begin.After(t) {
		from = from.AddDate(0, 0, 1)
		begin = Instant(from, loc)
	}
	// The local clock may jump into quiet hours without showing their begin.
	if jump := nextBound(t, loc); !jump.IsZero() && jump.Before(begin) && q.holds(clock(jump, loc)) {
		return jump.UTC()
	}
	return begin
}

// holds reports whether a floating time is within the quiet hours.
func (q Quiet) holds(local time.Time) bool {
	minute := local.Hour()*60 + local.Minute()
	if q.From <= q.To {
		return q.From <= minute && minute < q.To
	}
	return minute >= q.From || minute < q.To
}

// zoneSteps is the smallest difference between two zones of the world.
const zoneSteps = 15 * time.Minute

// Reachable reports whether a campaign can be sent to anybody: on some clock of the world there
// must be a moment outside the quiet hours between its beginning and its end.
//
//   - It begins at start or, by local time, when each clock shows that time.
//   - It ends at expireAt, or expireAfter later; 0 = no end.
func Reachable(t models.Timing, start, expireAt, expireAfter models.Millis) bool {
	if expireAt == 0 && expireAfter == 0 {
		return true
	}
	quiet := Quiet{t.QuietFrom, t.QuietTo}
	for ahead := -maxBehind; ahead <= maxAhead; ahead += zoneSteps {
		begin, end := start, expireAt
		if t.WallAt != 0 {
			begin = max(start, t.WallAt-models.Millis(ahead.Milliseconds()))
		}
		if expireAfter != 0 {
			end = begin + expireAfter
		}
		if t.Quiet() {
			if until, at := quiet.Until(begin.Time(), time.FixedZone("", int(ahead.Seconds()))); at {
				begin = models.Millis(until.UnixMilli())
			}
		}
		if begin < end {
			return true
		}
	}
	return false
}
