package handlers

import (
	"context"
	"sync"
	"time"

	"carillon/models"
)

// pollEvery is how often a campaign that is waited for is read.
const pollEvery = 100 * time.Millisecond

// waits lets any number of callers wait for campaigns with one reader a campaign.
type waits struct {
	mu      sync.Mutex
	closing chan struct{} // closed by close: nobody waits any longer
	watched map[string]*watch
}

// watch is one campaign that is waited for. done is closed when it has finished or reading it failed.
type watch struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	last    models.CampaignView
	err     error
}

// until returns the campaign when it has finished or the time is up, whichever is first.
func (ws *waits) until(ctx context.Context, store *models.Store, id string, limit time.Duration) (models.CampaignView, error) {
	w := ws.join(store, id)
	defer ws.leave(id, w)
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-w.done:
		return w.last, w.err
	case <-timeout.C:
		return store.Campaign(ctx, id)
	case <-ws.ended():
		return store.Campaign(ctx, id)
	case <-ctx.Done():
		return models.CampaignView{}, ctx.Err()
	}
}

// ended is closed when the process is to stop.
func (ws *waits) ended() chan struct{} {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closing == nil {
		ws.closing = make(chan struct{})
	}
	return ws.closing
}

// close answers all who wait with the campaign as it then is. It may be called twice.
func (ws *waits) close() {
	ended := ws.ended()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	select {
	case <-ended:
	default:
		close(ended)
	}
}

func (ws *waits) join(store *models.Store, id string) *watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w, ok := ws.watched[id]; ok {
		w.waiters++
		return w
	}
	if ws.watched == nil {
		ws.watched = map[string]*watch{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{waiters: 1, cancel: cancel, done: make(chan struct{})}
	ws.watched[id] = w
	go w.read(ctx, store, id)
	return w
}

func (ws *waits) leave(id string, w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.waiters--; w.waiters == 0 {
		w.cancel()
		delete(ws.watched, id)
	}
}

func (w *watch) read(ctx context.Context, store *models.Store, id string) {
	defer close(w.done)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		w.last, w.err = store.Campaign(ctx, id)
		if w.err != nil || w.last.FinishedAt != 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
