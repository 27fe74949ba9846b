package handlers

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"carillon/models"
)

const (
	// pollEvery is how often the campaigns that are waited for are read.
	pollEvery = 100 * time.Millisecond
	// pollShare: reading them takes at most this part of the time, however many there are.
	pollShare = 10
	// waitReaders is how many of those who waited read their results at once. The others queue here and not for the
	// database, where they would be in the way of whoever does not wait.
	waitReaders = 4
)

// waiters lets any number of callers wait for campaigns with one reader of the ledger, which asks about all of them at once.
type waiters struct {
	mu      sync.Mutex
	closing chan struct{} // closed by close: nobody waits any longer
	watched map[string]*watch
	reading bool          // there is a reader
	readers chan struct{} // a place for each of waitReaders
}

// progress is what waiters reads of the ledger.
type progress interface {
	Progress(ctx context.Context, publicIDs []string) (map[string]models.Campaign, error)
	Campaign(ctx context.Context, publicID string) (models.CampaignView, error)
}

// watch is one campaign that is waited for.
type watch struct {
	waiters int
	done    chan struct{}   // closed when the campaign has finished
	held    chan struct{}   // closed while the campaign is held, see heldUp
	last    models.Campaign // without message and counts, as it was read last; no ID before it was
	err     error           // of the last reading
}

// wait returns the campaign, without its message and its counts, when the campaign has finished or the time is up. With
// unlessHeld it also returns as soon as the campaign is held up.
func (ws *waiters) wait(ctx context.Context, store progress, id string, limit time.Duration, unlessHeld bool) (models.Campaign, error) {
	w, held := ws.join(store, id)
	defer ws.leave(id, w)
	if !unlessHeld {
		held = nil
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-w.done:
	case <-held:
	case <-timeout.C:
	case <-ws.ended():
	case <-ctx.Done():
		return models.Campaign{}, ctx.Err()
	}
	ws.mu.Lock()
	last, err := w.last, w.err
	ws.mu.Unlock()
	if last.ID != 0 {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	view, err := store.Campaign(ctx, id) // nobody has read it yet
	return view.Campaign, err
}

// acquireReader waits for a place among those who read results; leave it by calling free.
func (ws *waiters) acquireReader(ctx context.Context) (free func(), err error) {
	ws.mu.Lock()
	if ws.readers == nil {
		ws.readers = make(chan struct{}, waitReaders)
	}
	places := ws.readers
	ws.mu.Unlock()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ended is closed when the process is to stop.
func (ws *waiters) ended() chan struct{} {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closing == nil {
		ws.closing = make(chan struct{})
	}
	return ws.closing
}

// close answers all who wait with the campaign as it then is. It may be called twice.
func (ws *waiters) close() {
	ended := ws.ended()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	select {
	case <-ended:
	default:
		close(ended)
	}
}

func (ws *waiters) join(store progress, id string) (w *watch, held <-chan struct{}) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w, ok := ws.watched[id]; ok {
		w.waiters++
		return w, w.held
	}
	if ws.watched == nil {
		ws.watched = map[string]*watch{}
	}
	w = &watch{waiters: 1, done: make(chan struct{}), held: make(chan struct{})}
	ws.watched[id] = w
	if !ws.reading {
		ws.reading = true
		go ws.read(store)
	}
	return w, w.held
}

func (ws *waiters) leave(id string, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.waiters--; w.waiters == 0 && ws.watched[id] == w {
		delete(ws.watched, id)
	}
}

// read reads what is waited for, as long as anything is.
func (ws *waiters) read(store progress) {
	for {
		ws.mu.Lock()
		ids := slices.Collect(maps.Keys(ws.watched))
		if len(ids) == 0 {
			ws.reading = false
			ws.mu.Unlock()
			return
		}
		ws.mu.Unlock()
		began := time.Now()
		now, err := store.Progress(context.Background(), ids)
		ws.publish(ids, now, err)
		time.Sleep(max(pollEvery, (pollShare-1)*time.Since(began)))
	}
}

// publish gives those who wait what was read. A reading that failed is repeated: their time is not up yet.
func (ws *waiters) publish(ids []string, now map[string]models.Campaign, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, id := range ids {
		w, ok := ws.watched[id]
		if !ok {
			continue
		}
		w.err = err
		if err != nil {
			continue
		}
		before := heldUp(w.last.Status)
		w.last = now[id]
		switch is := heldUp(w.last.Status); {
		case w.last.FinishedAt != 0:
			close(w.done)
			delete(ws.watched, id)
		case is && !before:
			close(w.held)
		case before && !is: // for who joins from now on
			w.held = make(chan struct{})
		}
	}
}

// heldUp reports whether a campaign sends to nobody as long as nobody changes its status. A campaign that failed as a
// whole does not count: it finishes as soon as its workers have let go.
func heldUp(s models.Status) bool {
	switch s {
	case models.StatusPaused, models.StatusScheduled, models.StatusCancelled, models.StatusExpired:
		return true
	case models.StatusRunning, models.StatusCompleted, models.StatusFailed:
	}
	return false
}
