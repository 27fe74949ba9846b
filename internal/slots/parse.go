package slots

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

const (
	maxText  = 255 // bytes, the column
	minEvery = time.Second
	maxEvery = 366 * 24 * time.Hour
)

// Parse checks a cron text: five fields, a name such as @daily, or @every with a duration of whole seconds, from 1s
// up. anchor fixes the phase of @every: its slots are anchor + k·every, k ≥ 0. The error is a reason that follows
// the field's name.
func Parse(text string, loc *time.Location, anchor time.Time) (s Spec, err error) {
	defer func() {
		if recover() != nil { // the parser has been seen to panic, and texts come from outside
			s, err = Spec{}, errors.New("is no cron text that can be read")
		}
	}()
	if err := guard(text); err != nil {
		return Spec{}, err
	}
	s = Spec{loc: loc, anchor: anchor.Truncate(time.Second)}
	if rest, ok := strings.CutPrefix(text, "@every "); ok {
		s.every, err = parseEvery(strings.TrimSpace(rest))
		return s, err
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return Spec{}, fmt.Errorf("cannot be read: %w", err)
	}
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Spec{}, errors.New("must be five fields, a name such as @daily, or @every 1h")
	}
	fields.Location = time.UTC
	s.fields, s.fixed = fields, !hourIsStar(text)
	if _, ok := s.Next(anchor); !ok {
		return Spec{}, errors.New("never fires: there is no such day within five years")
	}
	return s, nil
}

// guard refuses what must not reach the parser, and what it would read in a way nobody expects.
func guard(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("must not be empty")
	case len(text) > maxText:
		return fmt.Errorf("must be at most %d bytes, has %d", maxText, len(text))
	case strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
		return errors.New("must hold printable ASCII characters only")
	case strings.TrimSpace(text) != text:
		return errors.New("must not begin or end with a space")
	case strings.HasPrefix(text, "CRON_TZ=") || strings.HasPrefix(text, "TZ="):
		return errors.New("must not name a time zone; say it in timezone")
	case text[0] == '@':
		return nil
	}
	switch n := len(strings.Fields(text)); {
	case n == 6:
		return errors.New("must have five fields (minute, hour, day, month, weekday), has 6: seconds are not supported, say @every 30s")
	case n != 5:
		return fmt.Errorf("must have five fields (minute, hour, day, month, weekday), has %d", n)
	}
	return nil
}

func parseEvery(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("must have a duration after @every, such as 90s or 12h")
	case d < minEvery || d > maxEvery:
		return 0, fmt.Errorf("must have a duration from 1s to %s after @every", maxEvery)
	case d%time.Second != 0:
		return 0, errors.New("must have whole seconds after @every")
	}
	return d, nil
}

func hourIsStar(text string) bool {
	if text[0] == '@' {
		return text == "@hourly"
	}
	return strings.HasPrefix(strings.Fields(text)[1], "*")
}

var zones sync.Map // names that were found; a look-up reads a file, and delivery asks for each chunk

// Zone finds a time zone by its IANA name. Names that are not the same on every machine are unknown.
func Zone(name string) (*time.Location, error) {
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	local := name == "" || name == "Local" || name == "localtime" || name == "posixrules" || strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/")
	loc, err := time.LoadLocation(name)
	if err != nil || local {
		return nil, errors.New("must be an IANA time zone such as Europe/Berlin")
	}
	zones.Store(name, loc)
	return loc, nil
}
