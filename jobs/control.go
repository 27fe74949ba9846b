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
	// controlFresh is how old a control state may be on which a send starts. Without SQL nothing is
	// sent.
	controlFresh = time.Second
	// controlWithin is how long the database may take to answer.
	controlWithin = 3 * time.Second
)

// controls holds the control state of the campaigns that this process sends for. One query reads
// all of them, twice a second. So pausing takes effect within a second, however many pages the
// process holds.
type controls struct {
	store *models.Store
	log   *slog.Logger
	loops loops

	mu     sync.Mutex
	visits map[int64]int // by campaign
	states map[int64]controlState
}

type controlState struct {
	models.Control
	asked time.Time // before the query was sent
}

func newControls(store *models.Store, log *slog.Logger) *controls {
	return &controls{store: store, log: log, visits: map[int64]int{}, states: map[int64]controlState{}}
}

func (c *controls) start() {
	c.loops.start(c.log, loop{controlEvery, "read the campaigns' control state, without which nothing is sent", c.refreshAll})
}

func (c *controls) stop() { c.loops.stop() }

// attach counts a visit to a campaign, until detach. When it returns, the campaign's state is known
// and was read after the call. After an error no visit was counted.
func (c *controls) attach(ctx context.Context, id int64) error {
	c.attachKnown(id)
	err := c.refresh(ctx, []int64{id})
	if err != nil {
		c.detach(id)
	}
	return err
}

// attachKnown is attach for a campaign that has a visit already: its state is known.
func (c *controls) attachKnown(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visits[id]++
}

func (c *controls) detach(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visits[id]--
	if c.visits[id] == 0 {
		delete(c.visits, id)
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

// refreshAll reads the state of all campaigns that have visits.
func (c *controls) refreshAll(ctx context.Context) error {
	c.mu.Lock()
	ids := make([]int64, 0, len(c.visits))
	for id := range c.visits {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	return c.refresh(ctx, ids)
}

// refresh reads the state of the given campaigns. An answer to an older question does not replace a
// newer one.
func (c *controls) refresh(ctx context.Context, ids []int64) error {
	ctx, cancel := context.WithTimeout(ctx, controlWithin)
	defer cancel()
	asked := time.Now()
	states, err := c.store.Controls(ctx, ids)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if c.visits[id] > 0 && !asked.Before(c.states[id].asked) {
			c.states[id] = controlState{states[id], asked}
		}
	}
	return nil
}
