package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"carillon/models"
)

const (
	controlEvery = 500 * time.Millisecond
	// controlFresh: no send starts on a control state read longer ago than this. No SQL, no sends.
	controlFresh = time.Second
)

// controls is what this process knows of the campaigns it is sending for: one query reads them all, twice a
// second, so pausing takes effect within a second however many pages are held.
type controls struct {
	store *models.Store
	log   *slog.Logger

	mu     sync.Mutex
	users  map[int64]int // visits by campaign
	states map[int64]controlState

	cancel context.CancelFunc
	done   chan struct{}
}

type controlState struct {
	models.Control
	asked time.Time // before the query was sent
}

func newControls(store *models.Store, log *slog.Logger) *controls {
	return &controls{store: store, log: log, users: map[int64]int{}, states: map[int64]controlState{}}
}

func (c *controls) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan struct{})
	go func() {
		defer close(c.done)
		tick := time.NewTicker(controlEvery)
		defer tick.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			err := c.read(ctx, nil)
			if err != nil && !failing && ctx.Err() == nil {
				c.log.Warn("the campaigns' control state cannot be read; nothing is sent", "err", err)
			}
			failing = err != nil
		}
	}()
}

func (c *controls) stop() {
	if c.cancel != nil {
		c.cancel()
		<-c.done
	}
}

// enter begins a visit for a campaign, until leave; its state is known, and was read after the call, when it returns. After an
// error nothing was begun.
func (c *controls) enter(ctx context.Context, id int64) error {
	c.mu.Lock()
	c.users[id]++
	c.mu.Unlock()
	err := c.read(ctx, []int64{id})
	if err != nil {
		c.leave(id)
	}
	return err
}

// keep is enter for a campaign that has a visit already: its state is known.
func (c *controls) keep(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[id]++
}

func (c *controls) leave(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[id]--; c.users[id] == 0 {
		delete(c.users, id)
		delete(c.states, id)
	}
}

// get is the newest known state, and whether it is fresh enough to send on.
func (c *controls) get(id int64) (s models.Control, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.states[id]
	return st.Control, time.Since(st.asked) <= controlFresh
}

// read asks for the given campaigns, or all that have visits.
func (c *controls) read(ctx context.Context, ids []int64) error {
	if ids == nil {
		c.mu.Lock()
		for id := range c.users {
			ids = append(ids, id)
		}
		c.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	asked := time.Now()
	states, err := c.store.Controls(ctx, ids)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if c.users[id] > 0 && !asked.Before(c.states[id].asked) {
			c.states[id] = controlState{states[id], asked}
		}
	}
	return nil
}
