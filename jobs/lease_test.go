package jobs

import (
	"log/slog"
	"path/filepath"
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

// A lease that the database does not renew ends, whatever the worker does.
func TestNoRequestStartsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	store, err := models.Open("sqlite:" + filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil { // it answers nothing any more
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := holdLease(store, models.PageTask{Campaign: 1}, time.Now(), slog.New(slog.DiscardHandler))
		defer l.release()
		time.Sleep(workLease - sendMargin - time.Millisecond)
		if !l.held() {
			t.Error("the lease that the claim gave does not last")
		}
		time.Sleep(time.Millisecond)
		if l.held() {
			t.Error("a request may start although nobody has renewed the lease")
		}
	})
}
