package slots

import (
	"testing"
	"time"

	"carillon/models"
)

// TestReachable: a campaign that ends before quiet hours do, on every clock, reaches nobody.
func TestReachable(t *testing.T) {
	t.Parallel()
	at := func(hour, minute int) models.Millis {
		return models.Millis(time.Date(2027, 6, 4, hour, minute, 0, 0, time.UTC).UnixMilli())
	}
	const hour = models.Millis(time.Hour / time.Millisecond)
	night := models.Timing{QuietFrom: 22 * 60, QuietTo: 8 * 60}
	always := models.Timing{QuietFrom: 8, QuietTo: 7} // but for one minute
	local := func(t models.Timing, wall models.Millis) models.Timing {
		t.WallAt = wall
		return t
	}
	for name, c := range map[string]struct {
		timing             models.Timing
		start, until, span models.Millis
		want               bool
	}{
		"no end":                            {local(night, at(23, 0)), 0, 0, 0, true},
		"no quiet hours":                    {local(models.Timing{}, at(23, 0)), 0, 0, 1000, true},
		"local, by day":                     {local(night, at(12, 0)), 0, 0, hour, true},
		"local, at night":                   {local(night, at(23, 0)), 0, 0, hour, false},
		"local, until the morning":          {local(night, at(23, 0)), 0, 0, 9 * hour, false},
		"local, into the morning":           {local(night, at(23, 0)), 0, 0, 9*hour + 1, true},
		"local, one end for all":            {local(night, at(23, 0)), 0, at(23, 0), 0, true}, // eastern zones have the morning before it
		"local, one end, too early":         {local(night, at(23, 0)), 0, at(10, 0), 0, false},
		"an instant, somebody is awake":     {night, at(23, 0), at(23, 30), 0, true},
		"an instant, the world sleeps":      {always, at(12, 9), at(12, 10), 0, false},
		"an instant, somebody wakes up":     {always, at(12, 9), at(12, 30), 0, true},
		"after the start, the world sleeps": {always, at(12, 9), 0, 60_000, false},
	} {
		if got := Reachable(c.timing, c.start, c.until, c.span); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
