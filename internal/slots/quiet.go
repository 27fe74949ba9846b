package slots

import "time"

// Quiet are hours in which nobody is sent to, in minutes of the local day; they may go past midnight.
type Quiet struct{ From, To int }

// ParseQuiet reads two clocks, "22:00" and "08:00". A reason that is not empty says what is wrong with that one.
func ParseQuiet(from, to string) (q Quiet, fromReason, toReason string) {
	q.From, fromReason = parseClock(from)
	q.To, toReason = parseClock(to)
	if fromReason == "" && toReason == "" && q.From == q.To {
		toReason = "must differ from from: quiet hours cannot last all day"
	}
	return q, fromReason, toReason
}

func parseClock(text string) (minutes int, reason string) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, "must be a clock from 00:00 to 23:59"
	}
	return t.Hour()*60 + t.Minute(), ""
}

// Until says whether the clocks of loc are within the quiet hours at t, and when those end, in UTC.
func (q Quiet) Until(t time.Time, loc *time.Location) (end time.Time, quiet bool) {
	if q.From == q.To {
		return time.Time{}, false
	}
	local := floating(t, loc)
	clock := local.Hour()*60 + local.Minute()
	if q.From < q.To {
		quiet = q.From <= clock && clock < q.To
	} else {
		quiet = clock >= q.From || clock < q.To
	}
	if !quiet {
		return time.Time{}, false
	}
	day := time.Date(local.Year(), local.Month(), local.Day(), q.To/60, q.To%60, 0, 0, time.UTC)
	for !day.After(local) {
		day = day.AddDate(0, 0, 1)
	}
	end = Instant(day, loc)
	if !end.After(t) { // the clocks went back over the end, and it was there before: wait for it to come again
		_, offset := t.In(loc).Zone()
		end = day.Add(-time.Duration(offset) * time.Second)
	}
	return end, true
}
