package handlers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carillon/models"
)

// countedLedger counts what is asked of it. Campaigns finish at the end of their time.
type countedLedger struct {
	mu       sync.Mutex
	calls    int
	singles  int
	finished bool
	err      error
}

func (l *countedLedger) Progress(_ context.Context, ids []string) (map[string]models.Campaign, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.err != nil {
		return nil, l.err
	}
	out := map[string]models.Campaign{}
	for i, id := range ids {
		c := models.Campaign{ID: int64(i + 1), PublicID: id, Status: models.StatusRunning}
		if l.finished && id != "never" {
			c.Status, c.FinishedAt = models.StatusCompleted, 1
		}
		out[id] = c
	}
	return out, nil
}

func (l *countedLedger) Campaign(context.Context, string) (models.CampaignView, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.singles++
	return models.CampaignView{}, l.err
}

// TestWaitersShareOneReader: 5,000 waiters cost the ledger as much as one, and a fault of the ledger in between is no end.
func TestWaitersShareOneReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		var ws waiters
		l := &countedLedger{}
		got := make(chan models.Campaign, n+1)
		wait := func(id string) {
			c, err := ws.wait(t.Context(), l, id, 10*time.Second, false)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}
		go wait("never")
		for i := range n {
			go wait(fmt.Sprint("campaign ", i/2)) // two wait for each
		}
		change := func(f func()) {
			l.mu.Lock()
			defer l.mu.Unlock()
			f()
		}
		time.Sleep(3 * time.Second)
		change(func() { l.err = errors.New("away") })
		time.Sleep(time.Second)
		change(func() { l.err, l.finished = nil, true })
		began := time.Now()
		for range n {
			if c := <-got; c.Status != models.StatusCompleted {
				t.Fatalf("%+v", c)
			}
		}
		if took := time.Since(began); took > 2*pollEvery {
			t.Errorf("they heard of the end after %s", took)
		}
		if c := <-got; c.PublicID != "never" || c.Status != models.StatusRunning {
			t.Errorf("when the time is up: %+v", c)
		}
		change(func() {
			if most := int(10*time.Second/pollEvery) + 2; l.calls > most || l.singles != 0 {
				t.Errorf("the ledger was asked %d times, and %d times for one", l.calls, l.singles)
			}
		})
		synctest.Wait()
		time.Sleep(time.Second)
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if ws.reading || len(ws.watched) != 0 {
			t.Errorf("somebody still reads for %d campaigns", len(ws.watched))
		}
	})
}

// heldLedger has one campaign, whose status a test sets.
type heldLedger struct {
	countedLedger
	status models.Status
}

func (l *heldLedger) set(s models.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = s
}

func (l *heldLedger) Progress(_ context.Context, ids []string) (map[string]models.Campaign, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return map[string]models.Campaign{ids[0]: {ID: 1, PublicID: ids[0], Status: l.status}}, nil
}

// TestWaitUnlessHeld: who waits unless the campaign is held leaves when it is. Who waits for its end stays, and who comes
// after it was resumed waits again.
func TestWaitUnlessHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ws waiters
		l := &heldLedger{status: models.StatusRunning}
		const limit = 10 * time.Second
		var all sync.WaitGroup
		wait := func(unlessHeld bool, want time.Duration) {
			all.Go(func() {
				began := time.Now()
				if _, err := ws.wait(t.Context(), l, "c", limit, unlessHeld); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took < want || took > want+2*pollEvery {
					t.Errorf("unless held %t: waited %s, want %s", unlessHeld, took, want)
				}
			})
		}
		wait(false, limit)
		wait(true, time.Second)
		time.Sleep(time.Second)
		l.set(models.StatusPaused)
		time.Sleep(time.Second)
		wait(true, 0)
		time.Sleep(time.Second)
		l.set(models.StatusRunning)
		time.Sleep(time.Second)
		wait(true, limit)
		all.Wait()
		time.Sleep(2 * pollEvery) // the reader ends
	})
}
