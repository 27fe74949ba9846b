package slots_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carillon/internal/slots"
	"carillon/models"
)

var skipNoon = models.Millis(time.Date(2027, 6, 4, 12, 0, 0, 0, time.UTC).UnixMilli())

const minute = models.Millis(60_000)

// skipping is a schedule of each minute from 12:01, of which some minutes are left out.
func skipping(t *testing.T, missed models.Missed, minutes ...int) models.Schedule {
	t.Helper()
	sch := models.Schedule{Cron: "* * * * *", Timezone: "UTC", Missed: missed, MissedGrace: 150_000, Status: models.ScheduleActive}
	if err := slots.Replan(&sch, skipNoon); err != nil {
		t.Fatal(err)
	}
	for _, m := range minutes {
		if err := slots.Skip(&sch, skipNoon+models.Millis(m)*minute, skipNoon); err != nil {
			t.Fatal(err)
		}
	}
	return sch
}

// decided is a firing in minutes after noon: what was missed, what is passed over, what fires, what
// comes next.
func decided(f models.Firing) string {
	at := func(m models.Millis) models.Millis {
		if m == 0 {
			return 0
		}
		return (m - skipNoon) / minute
	}
	text := ""
	if m := f.Missed; m != nil {
		text = fmt.Sprintf("missed %d: %d-%d, ", m.Slots, at(m.From), at(m.To))
	}
	for _, s := range f.Skipped {
		text += fmt.Sprintf("skipped %d, ", at(s))
	}
	return fmt.Sprintf("%sfires %d, next %d", text, at(f.Slot), at(f.NextSlot))
}

// TestSkippedSlots: slots that are left out neither fire nor count as missed, and do not change what
// becomes of the slots around them.
func TestSkippedSlots(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		missed models.Missed
		skip   []int
		now    models.Millis // minutes after noon
		want   string
	}{
		"none":                    {models.MissedSkip, nil, 1, "fires 1, next 2"},
		"the due one":             {models.MissedSkip, []int{1}, 1, "skipped 1, fires 0, next 2"},
		"a later one":             {models.MissedSkip, []int{2}, 1, "fires 1, next 2"},
		"late, the first":         {models.MissedSkip, []int{1}, 5, "missed 4: 2-5, skipped 1, fires 0, next 6"},
		"late, in the middle":     {models.MissedSkip, []int{3}, 5, "missed 4: 1-5, skipped 3, fires 0, next 6"},
		"late, the last":          {models.MissedSkip, []int{4, 5}, 5, "missed 3: 1-3, skipped 4, skipped 5, fires 0, next 6"},
		"late, all":               {models.MissedSkip, []int{1, 2}, 2, "skipped 1, skipped 2, fires 0, next 3"},
		"once, none":              {models.MissedOnce, nil, 5, "missed 4: 1-4, fires 5, next 6"},
		"once, the last":          {models.MissedOnce, []int{5}, 5, "missed 3: 1-3, skipped 5, fires 4, next 6"},
		"once, the last two":      {models.MissedOnce, []int{4, 5, 6}, 5, "missed 2: 1-2, skipped 4, skipped 5, fires 3, next 6"},
		"once, beyond the grace":  {models.MissedOnce, []int{3, 4, 5}, 5, "missed 2: 1-2, skipped 3, skipped 4, skipped 5, fires 0, next 6"},
		"once, one is left":       {models.MissedOnce, []int{1, 3}, 3, "skipped 1, skipped 3, fires 2, next 4"},
		"once, before the last":   {models.MissedOnce, []int{4}, 5, "missed 3: 1-3, skipped 4, fires 5, next 6"},
		"once, first and second":  {models.MissedOnce, []int{1, 2}, 4, "missed 1: 3-3, skipped 1, skipped 2, fires 4, next 5"},
		"once, both ends of five": {models.MissedOnce, []int{1, 5}, 5, "missed 2: 2-3, skipped 1, skipped 5, fires 4, next 6"},
	} {
		late := models.Millis(0)
		if c.now > 1 {
			late = 15_000 // more than a hiccup
		}
		f, err := slots.Due(skipping(t, c.missed, c.skip...), skipNoon+c.now*minute+late)
		if got := decided(f); err != nil || got != c.want {
			t.Errorf("%s: %s, not %s; %v", name, got, c.want, err)
		}
	}
	f, err := slots.Forgo(slots.Paused)(skipping(t, models.MissedOnce, 1, 3), skipNoon+3*minute)
	if got := decided(f); err != nil || got != "missed 1: 2-2, skipped 1, skipped 3, fires 0, next 4" {
		t.Errorf("paused: %s, %v", got, err)
	}
}

// TestSkipRefuses: what is no coming slot is refused and changes nothing.
func TestSkipRefuses(t *testing.T) {
	t.Parallel()
	sch := skipping(t, models.MissedOnce, 3)
	refused := func(what string, sch models.Schedule, slot, now models.Millis) {
		t.Helper()
		before := slices.Clone(sch.Skipped)
		if err := slots.Skip(&sch, slot, now); err == nil || !slices.Equal(before, sch.Skipped) {
			t.Errorf("%s: %v, %v", what, err, sch.Skipped)
		}
	}
	refused("between two slots", sch, skipNoon+minute+1, skipNoon)
	refused("past", sch, skipNoon-minute, skipNoon)
	refused("due", sch, skipNoon+minute, skipNoon+minute)
	fired := sch
	fired.NextSlot += minute
	refused("acted upon by a clock that is ahead", fired, sch.NextSlot, skipNoon)
	for i := range models.MaxSkips - 1 {
		if err := slots.Skip(&sch, skipNoon+models.Millis(10+i)*minute, skipNoon); err != nil {
			t.Fatal(err)
		}
	}
	refused("one too many", sch, skipNoon+5*minute, skipNoon)
	if err := slots.Skip(&sch, skipNoon+3*minute, skipNoon); err != nil || len(sch.Skipped) != models.MaxSkips {
		t.Errorf("again: %v, %d", err, len(sch.Skipped))
	}
	sch.Status = models.SchedulePaused
	if err := slots.Skip(&sch, skipNoon+15*minute, skipNoon+11*minute); err != nil || len(sch.Skipped) != models.MaxSkips {
		t.Errorf("again, paused: %v, %d", err, len(sch.Skipped))
	}
	if err := slots.Skip(&sch, skipNoon+500*minute, skipNoon+11*minute); err != nil || len(sch.Skipped) != models.MaxSkips-2 {
		t.Errorf("slots that came while it was paused: %v, %d", err, len(sch.Skipped))
	}
}
