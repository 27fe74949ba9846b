package console

import (
	"time"

	"carillon/internal/zones"
)

// The forms that a control for a date and a clock sends, with and without seconds.
const (
	controlTime    = "2006-01-02T15:04"
	controlSeconds = "2006-01-02T15:04:05"
)

// readTime reads a date and a clock of a time zone as an instant. Empty = none. reason says what is wrong.
func readTime(text, zone string) (at time.Time, reason string) {
	if text == "" {
		return at, ""
	}
	loc, err := zones.Load(zone)
	if err != nil {
		return at, "needs a time zone such as Europe/Berlin"
	}
	for _, layout := range []string{controlTime, controlSeconds} {
		if at, err = time.ParseInLocation(layout, text, loc); err == nil {
			return at, ""
		}
	}
	return at, "must be a date and a clock such as 2026-12-04T09:00"
}

// writeTime is an instant of the API as such a control shows it. Empty = none.
func writeTime(instant, zone string) string {
	at, err := time.Parse(time.RFC3339, instant)
	loc, unknown := zones.Load(zone)
	if err != nil || unknown != nil {
		return ""
	}
	return at.In(loc).Format(controlTime)
}

// thereAt is an instant with the offset of a zone, as the zone's own clocks show it.
func thereAt(instant *string) string {
	at, err := time.Parse(time.RFC3339, deref(instant))
	if err != nil {
		return "–"
	}
	return at.Format("2006-01-02 15:04 (-07:00)")
}
