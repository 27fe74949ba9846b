package models

import "time"

// The instants that the ledger takes from outside. An answer can hold each of them as RFC 3339,
// which knows no year after 9999. None of them is 0, which means none, not even by the clock of a
// zone that is 14 hours ahead.
const (
	MinInstant Millis = 24 * 60 * 60 * 1000 // 1970-01-02T00:00:00Z
	MaxInstant Millis = 253_402_300_799_999 // 9999-12-31T23:59:59.999Z
	minShown   Millis = -62_167_219_200_000 // 0000-01-01T00:00:00Z
)

// InstantOf is the one bound of every instant that comes in. reason follows a field's name, and is
// "" when nothing is wrong.
func InstantOf(t time.Time) (m Millis, reason string) {
	m = Millis(t.UnixMilli())
	if m < MinInstant || m > MaxInstant {
		return 0, "must be from 1970-01-02T00:00:00Z to 9999-12-31T23:59:59Z"
	}
	return m, ""
}

// ParseInstant reads an instant as RFC 3339 has it.
func ParseInstant(text string) (m Millis, reason string) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, "must be a time like 2026-01-31T09:00:00Z"
	}
	return InstantOf(t)
}

// ParseWall reads a local date and clock, as if in UTC. An offset is read over.
func ParseWall(text string) (m Millis, reason string) {
	t, err := time.Parse(WallClock, text)
	if err != nil {
		if t, err = time.Parse(time.RFC3339, text); err != nil {
			return 0, "must, with localTime, be a date and clock like 2026-01-31T09:00:00"
		}
		t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	}
	return InstantOf(t)
}

// WallClock is the layout of a local date and clock, which have no offset.
const WallClock = "2006-01-02T15:04:05"

// Shown is the instant as an answer gives it, in the form of a layout. A row may hold one from
// before there was a bound: the nearest that can be written stands for it, so that one row never
// spoils the answer it is a part of.
func (m Millis) Shown(layout string) string {
	return min(max(m, minShown), MaxInstant).Time().Format(layout)
}
