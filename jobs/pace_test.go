package jobs

import (
	"testing"
	"time"

	"carillon/models"
)

// A purge has at most a tenth of the time, a fortieth beside a campaign, and takes smaller steps as the database gets slower.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		took time.Duration
		busy bool
		next int
		rest time.Duration
	}{
		{250, 0, false, 500, 9 * time.Millisecond},
		{800, 10 * time.Millisecond, false, models.PurgeMost, 90 * time.Millisecond},
		{800, 10 * time.Millisecond, true, models.PurgeMost, 390 * time.Millisecond},
		{500, 60 * time.Millisecond, false, 500, 540 * time.Millisecond},
		{800, 120 * time.Millisecond, false, 400, 1080 * time.Millisecond},
		{800, 120 * time.Millisecond, true, 400, 4680 * time.Millisecond},
		{stepLeast, time.Minute, false, stepLeast, pauseMost},
	} {
		if next, rest := purgePace(c.n, c.took, c.busy); next != c.next || rest != c.rest {
			t.Errorf("%d in %s: then %d after %s", c.n, c.took, next, rest)
		}
	}
}
