package slots

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// starBit is the parser's mark of a field that restricts nothing.
const starBit = 1 << 63

// The days of the week fall on the same dates again after 28 years, leap years included.
const (
	leapYear = 2004 // has all dates
	yearDays = 365.25
)

// Often is how many times a day a timetable fires, and the same in words. It is the average over
// the years, without days on which clocks change.
func (t Timetable) Often() (perDay float64, words string) { return t.spec.often() }

func (s Spec) often() (perDay float64, words string) {
	if s.cron == nil {
		every := time.Duration(s.every) * time.Second
		perDay = float64(24*time.Hour) / float64(every)
		words = "every " + brief(every)
		switch whole := math.Round(perDay); {
		case every > 24*time.Hour:
		case perDay == whole:
			words += ", " + times(int(whole)) + " a day"
		default:
			words += fmt.Sprintf(", about %.1f times a day", perDay)
		}
		return rounded(perDay), words
	}
	n := bits.OnesCount64(s.cron.Minute&^starBit) * bits.OnesCount64(s.cron.Hour&^starBit)
	days, all := s.days()
	perDay = rounded(float64(n*days) / float64(all))
	words = times(n) + " a day"
	if hourly := bits.OnesCount64(s.cron.Minute &^ starBit); hourly > 1 { // who writes * 9 * * * means 0 9 * * *
		words = times(hourly) + " an hour, " + words
	}
	perYear := float64(days) / float64(all) * yearDays
	switch week := bits.OnesCount64(s.cron.Dow &^ starBit); {
	case days == all:
	case s.cron.Dom&starBit != 0 && bits.OnesCount64(s.cron.Month&^starBit) == 12:
		on := amount(week, "day")
		if week == 1 {
			on = "one day"
		}
		words += ", on " + on + " of the week"
	case perYear < 0.99:
		words += fmt.Sprintf(", on one day in about %.0f years", 1/perYear)
	default:
		words += ", on about " + amount(int(math.Round(perYear)), "day") + " of the year"
	}
	return perDay, words
}

// days counts, in 28 years, the days on which the spec fires, and all days. In these years a date falls on each day of the week
// four times, and the 29th of February once.
func (s Spec) days() (fires, all int) {
	const week = 1<<7 - 1
	weekdays := bits.OnesCount64(s.cron.Dow & week)
	both := s.cron.Dom&starBit != 0 || s.cron.Dow&starBit != 0
	for d := time.Date(leapYear, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() == leapYear; d = d.Add(24 * time.Hour) {
		times := 4
		if d.Month() == time.February && d.Day() == 29 {
			times = 1
		}
		all += 7 * times
		switch dom := s.cron.Dom&(1<<d.Day()) != 0; {
		case s.cron.Month&(1<<d.Month()) == 0:
		case dom && !both:
			fires += 7 * times
		case dom || !both:
			fires += weekdays * times
		}
	}
	return fires, all
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func rounded(f float64) float64 { return math.Round(f*10_000) / 10_000 }

// oftenBelow is a time between two slots: below it, a warning says what that means.
const oftenBelow = time.Minute

// Warnings says what an accepted timetable may do that its author did not mean.
func (t Timetable) Warnings() []string {
	list := []string{}
	if every := t.Every(); every != 0 && every < oftenBelow {
		list = append(list, fmt.Sprintf("fires every %s, which makes up to %d campaigns a day; schedules that are due at the same time take turns, so some of its slots may be late or missed",
			every, 24*time.Hour/every))
	}
	if t.spec.beyond != "" {
		list = append(list, "the cron text "+t.spec.beyond)
	}
	if t.spec.cron == nil {
		return list
	}
	for i, f := range fields {
		if !t.spec.meetsNext(i) {
			continue
		}
		for _, e := range t.spec.entries[i] {
			if reason := f.uneven(e); reason != "" {
				list = append(list, reason)
			}
		}
	}
	return list
}

// meetsNext reports whether both the end and the beginning of a field fire. Then the time between
// them counts as a time between slots. For minutes it is the end of an hour and the beginning of
// the next. Hours of a day and days of a month are treated alike.
func (s Spec) meetsNext(field int) bool {
	days := func() bool {
		dom, dow := neighbours(s.cron.Dom, fields[domField]), neighbours(s.cron.Dow, fields[dowField])
		switch {
		case s.cron.Dom&starBit != 0:
			return dow
		case s.cron.Dow&starBit != 0:
			return dom
		}
		return dom || dow
	}
	switch field {
	case 0:
		return neighbours(s.cron.Hour, fields[1])
	case 1:
		return days()
	case domField:
		return neighbours(s.cron.Month, fields[3])
	}
	return true
}

// neighbours reports whether two values of a field follow each other, also around the field's end.
func neighbours(set uint64, f field) bool {
	for v := f.min; v <= f.max; v++ {
		if next := f.min + (v-f.min+1)%f.size(); set&(1<<v) != 0 && set&(1<<next) != 0 {
			return true
		}
	}
	return false
}
