package jobs

import (
	"testing"
	"time"

	"carillon/models"
)

// A purge has at most a tenth of the time, and takes smaller steps as the database gets slower.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		took time.Duration
		next int
		rest time.Duration
	}{
		{250, 0, 500, 9 * time.Millisecond},
		{800, 10 * time.Millisecond, models.PurgeMost, 90 * time.Millisecond},
		{500, 30 * time.Millisecond, 500, 270 * time.Millisecond},
		{800, 100 * time.Millisecond, 400, 900 * time.Millisecond},
		{stepLeast, time.Minute, stepLeast, restMost},
	} {
		if next, rest := pace(c.n, c.took); next != c.next || rest != c.rest {
			t.Errorf("%d in %s: then %d after %s", c.n, c.took, next, rest)
		}
	}
}
