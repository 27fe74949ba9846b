package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"carillon/models"
)

// A worker that was frozen, or whose database is away, knows by the clock alone that its page may
// be another worker's by now. A worker that learns that its page was taken over stops at once.
func TestNoRequestStartsWithoutTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &delivery{
			visit: &models.Visit{Page: models.Page{CampaignID: 1}},
			lease: &lease{start: time.Now()}, drain: t.Context(),
			control: newControls(nil, nil), legible: newLegible(), refused: newRefused(),
		}
		want := func(when string, may bool) {
			t.Helper()
			d.control.states[1] = controlState{models.Control{Status: models.StatusRunning}, time.Now()}
			if got := d.mayStart(); got != may {
				t.Errorf("%s: may a request start? %t", when, got)
			}
		}
		d.lease.until.Store(int64(workLease))
		want("claimed", true)
		time.Sleep(workLease - sendMargin - time.Millisecond)
		want("before the margin", true)
		time.Sleep(time.Millisecond)
		want("in the margin", false)
		d.lease.until.Store(int64(2 * workLease))
		want("renewed", true)
		time.Sleep(2 * workLease)
		want("woken up", false)
		d.lease.until.Store(int64(4 * workLease))
		want("renewed again", true)
		d.lease.lose()
		want("taken over", false)
	})
}
