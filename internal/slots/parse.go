package slots

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Limits of a cron text.
const (
	maxTextBytes = 255 // the width of the column
	minEvery     = time.Second
	maxEvery     = 366 * 24 * time.Hour
)

// fieldNames are the five fields in their order.
var fieldNames = [...]string{"minute", "hour", "day of month", "month", "day of week"}

// Spec is when a schedule fires: a parsed cron text in a zone. Only Parse makes one that can be used.
type Spec struct {
	loc      *time.Location
	interval bool
	cron     *cron.SpecSchedule // on the floating clock; nil for @every
	every    int64              // in seconds
	anchor   int64              // Unix seconds: the first slot of @every
}

// Parse reads five fields, a name such as @daily, or @every <duration>, in whole seconds from 1 s to 366 days.
// Spaces around the text are ignored. The slots of @every are anchor + k·every, k ≥ 0, with the anchor
// truncated to whole seconds. The error's text is a reason that follows a field's name.
func Parse(text string, loc *time.Location, anchor time.Time) (Spec, error) {
	text, err := checkText(text)
	if err != nil {
		return Spec{}, err
	}
	if loc == nil {
		return Spec{}, errors.New("needs a time zone")
	}
	s := Spec{loc: loc}
	if word, duration, _ := strings.Cut(text, " "); word == "@every" {
		if s.every, err = parseEvery(duration); err != nil {
			return Spec{}, err
		}
		s.interval, s.anchor = true, anchor.Unix()
		return s, nil
	}
	if strings.HasPrefix(text, "@") {
		if text, err = expandName(text); err != nil {
			return Spec{}, err
		}
	}
	fields := strings.Fields(text)
	if err := checkFields(fields); err != nil {
		return Spec{}, err
	}
	if s.cron, err = parseCron(strings.Join(fields, " ")); err != nil {
		return Spec{}, fieldFault(fields, err)
	}
	s.interval = strings.HasPrefix(fields[1], "*")
	// A day that exists comes back within eight years, so any year is as good to begin at.
	if _, ok := s.after(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return Spec{}, errors.New("never fires: no such day exists")
	}
	return s, nil
}

// Interval says whether the spec follows real time: @every, or an hour field that begins with `*`. Every
// other is fixed to the local clock.
func (s Spec) Interval() bool { return s.interval }

// checkText takes what could be a cron text and trims it.
func checkText(text string) (string, error) {
	if len(text) > maxTextBytes {
		return "", fmt.Errorf("must be at most %d bytes, has %d", maxTextBytes, len(text))
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			return "", errors.New("must not hold control characters")
		case c > 0x7f:
			return "", errors.New("must hold ASCII characters only")
		}
	}
	text = strings.Trim(text, " ")
	upper := strings.ToUpper(text)
	switch {
	case text == "":
		return "", errors.New("must not be empty")
	// The parser reads a zone here and panics when nothing follows it.
	case strings.HasPrefix(upper, "TZ="), strings.HasPrefix(upper, "CRON_TZ="):
		return "", errors.New("must not name a zone: write the zone in timezone")
	}
	return text, nil
}

// expandName gives the five fields of a name.
func expandName(name string) (string, error) {
	switch name {
	case "@yearly", "@annually":
		return "0 0 1 1 *", nil
	case "@monthly":
		return "0 0 1 * *", nil
	case "@weekly":
		return "0 0 * * 0", nil
	case "@daily", "@midnight":
		return "0 0 * * *", nil
	case "@hourly":
		return "0 * * * *", nil
	case "@reboot":
		return "", errors.New("must not be @reboot: a schedule does not depend on when a process starts")
	}
	return "", errors.New("has an unknown name: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every <duration>, all in small letters")
}

// parseEvery reads the duration of @every, in seconds.
func parseEvery(text string) (int64, error) {
	every, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("must give @every a duration such as @every 90m or @every 1h30m")
	case every < minEvery:
		return 0, fmt.Errorf("must give @every at least %v, has %v", minEvery, every)
	case every > maxEvery:
		return 0, fmt.Errorf("must give @every at most 366 days (8784h), has %v", every)
	case every%time.Second != 0:
		return 0, fmt.Errorf("must give @every whole seconds, has %v", every)
	}
	return int64(every / time.Second), nil
}

// checkFields refuses what the parser takes without meaning it.
func checkFields(fields []string) error {
	switch n := len(fields); {
	case n == len(fieldNames)+1:
		return errors.New("must have five fields, has six: seconds are not supported, leave the first one out")
	case n != len(fieldNames):
		return fmt.Errorf("must have five fields (%s), has %d", strings.Join(fieldNames[:], ", "), n)
	}
	for i, field := range fields {
		for entry := range strings.SplitSeq(field, ",") {
			switch {
			case entry == "":
				return fmt.Errorf("has an empty entry in the %s field %q", fieldNames[i], field)
			case i < 2 && strings.HasPrefix(entry, "?"):
				return fmt.Errorf("must not have ? in the %s field: write *", fieldNames[i])
			case strings.HasPrefix(entry, "*-") || strings.HasPrefix(entry, "?-"):
				return fmt.Errorf("has a range from %c in the %s field %q", entry[0], fieldNames[i], field)
			}
		}
	}
	return nil
}

// parseCron asks the parser; a panic in there is a refusal, for the text came from outside.
func parseCron(text string) (s *cron.SpecSchedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("cannot be read: %v", p)
		}
	}()
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, err
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("cannot be read: not a cron text")
	}
	s.Location = time.UTC // the floating clock; the parser puts the machine's zone there
	return s, nil
}

// fieldFault says in which field the fault is, which the parser does not.
func fieldFault(fields []string, fault error) error {
	for i, field := range fields {
		alone := [...]string{"*", "*", "*", "*", "*"}
		alone[i] = field
		if _, err := parseCron(strings.Join(alone[:], " ")); err != nil {
			return fmt.Errorf("has a fault in the %s field: %w", fieldNames[i], err)
		}
	}
	return fmt.Errorf("cannot be read: %w", fault)
}
