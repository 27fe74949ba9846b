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
	maxTextBytes = 255 // the width of the column cron, which is ASCII
	minEvery     = time.Second
	maxEvery     = 366 * 24 * time.Hour
)

// Spec is when a schedule fires: a parsed cron text in a zone. Only Parse makes a usable Spec.
type Spec struct {
	loc      *time.Location
	interval bool
	cron     *cron.SpecSchedule // its fields as sets of bits; nil for @every
	every    int64              // in seconds
	anchor   int64              // Unix seconds: the first slot of @every
	entries  [len(fields)][]entry
	beyond   string // what is wrong with a step that is too large for its field
}

// Parse reads five fields, a name such as @daily, or @every <duration>. The duration is in whole
// seconds from 1 s to 366 days. Spaces around the text are ignored.
//
// The slots of @every are anchor + k·every, k ≥ 0. The anchor is truncated to whole seconds.
//
// The error's text is a reason that follows a field's name.
func Parse(text string, loc *time.Location, anchor time.Time) (Spec, error) {
	s, err := read(text, loc, anchor)
	if err == nil && s.beyond != "" {
		return Spec{}, errors.New(s.beyond)
	}
	return s, err
}

// read is Parse, but also takes steps that are too large for their field. Earlier programs stored
// schedules with such steps, and these schedules go on as before.
func read(text string, loc *time.Location, anchor time.Time) (Spec, error) {
	text, err := checkText(text)
	if err != nil {
		return Spec{}, err
	}
	if loc == nil {
		return Spec{}, errors.New("needs a time zone")
	}
	s := Spec{loc: loc}
	if strings.HasPrefix(text, "@") {
		word, duration, _ := strings.Cut(text, " ")
		if strings.EqualFold(word, "@every") {
			if s.every, err = parseEvery(duration); err != nil {
				return Spec{}, err
			}
			s.interval, s.anchor = true, anchor.Unix()
			return s, nil
		}
		if text, err = expandName(text); err != nil {
			return Spec{}, err
		}
	}
	if err := s.readFields(strings.Fields(text)); err != nil {
		return Spec{}, err
	}
	// A day that exists comes back within eight years, so the search may begin in any year.
	if _, ok := s.after(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return Spec{}, errors.New("never fires: no such day exists")
	}
	return s, nil
}

// readFields reads the five fields and gives the parser their values one by one. The parser knows
// no range over midnight, no second number of Sunday, and no useful words for what it refuses.
func (s *Spec) readFields(texts []string) error {
	switch n := len(texts); {
	case n == len(fields)+1:
		return errors.New("must have five fields, has six: seconds are not supported, leave the first one out")
	case n != len(fields):
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.name
		}
		return fmt.Errorf("must have five fields (%s), has %d", strings.Join(names, ", "), n)
	}
	var plain [len(fields)]string
	for i, f := range fields {
		entries, err := f.read(texts[i])
		if err != nil {
			return fmt.Errorf("has a fault in the %s field: %w", f.name, err)
		}
		s.entries[i] = entries
		for _, e := range entries {
			if reason := f.beyond(e); reason != "" && s.beyond == "" {
				s.beyond = fmt.Sprintf("has a fault in the %s field: %s", f.name, reason)
			}
			if e.star {
				plain[i] = "*"
			}
		}
		if plain[i] == "" {
			plain[i] = f.plain(entries)
		}
	}
	s.interval = strings.HasPrefix(texts[1], "*")
	var err error
	s.cron, err = parseCron(strings.Join(plain[:], " "))
	return err
}

// Interval reports whether the spec follows real time: @every, or an hour field that begins with
// `*`. Every other spec is fixed to the local clock.
func (s Spec) Interval() bool { return s.interval }

// checkText trims a text and refuses what cannot be a cron text.
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
	// The parser reads a zone here, and panics when nothing follows the zone.
	case strings.HasPrefix(upper, "TZ="), strings.HasPrefix(upper, "CRON_TZ="):
		return "", errors.New("must not name a zone: write the zone in timezone")
	}
	return text, nil
}

// expandName gives the five fields of a name, in small or capital letters.
func expandName(name string) (string, error) {
	switch strings.ToLower(name) {
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
	return "", errors.New("has an unknown name: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every <duration>")
}

// parseEvery reads the duration of @every, in seconds.
func parseEvery(text string) (int64, error) {
	every, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("must give @every a duration such as @every 90m or @every 1h30m; its units are h, m and s, and a day is 24h")
	case every < minEvery:
		return 0, fmt.Errorf("must give @every at least %v, has %v", minEvery, every)
	case every > maxEvery:
		return 0, fmt.Errorf("must give @every at most 366 days (8784h), has %v", every)
	case every%time.Second != 0:
		return 0, fmt.Errorf("must give @every whole seconds, has %v", every)
	}
	return int64(every / time.Second), nil
}

// parseCron asks the parser. The text came from outside, so a panic of the parser is a refusal.
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
	return s, nil
}
