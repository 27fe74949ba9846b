package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

const (
	contactEvery  = 500 * time.Millisecond
	contactWithin = 2 * time.Second // for the database's answer
	compareEvery  = time.Second
	compareWithin = 3 * time.Second // for one comparison
)

// contact says whether this process can work with its database, and whether that is still the
// ledger that it was. A worker without contact takes no tasks: one that is cut off alone would take
// them out of Redis from the others for nothing.
type contact struct {
	store *models.Store
	marks marks
	log   *slog.Logger

	mu   sync.Mutex
	back chan struct{} // closed when contact is back; nil while there is contact
}

func newContact(store *models.Store, rdb redis.UniversalClient, log *slog.Logger) *contact {
	c := &contact{store: store, log: log}
	c.marks = marks{store, rdb, c.lost}
	return c
}

// lost notes that the database did not answer, or did not write.
func (c *contact) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back == nil {
		c.back = make(chan struct{})
	}
}

// found notes that the database answers.
func (c *contact) found() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back != nil {
		close(c.back)
		c.back = nil
	}
}

// away is nil while there is contact. Otherwise it is closed when contact is back.
func (c *contact) away() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

// check asks the database by a write, and compares the ledger with Redis. A Redis that does not
// answer ends no contact. But contact that was lost is found only when the comparison succeeds.
func (c *contact) check(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, contactWithin)
	defer cancel()
	if err := c.store.TryWrite(asked); err != nil {
		c.lost()
		return err
	}
	if err := c.compare(ctx); err != nil {
		var fromRedis *redisError
		if !errors.As(err, &fromRedis) {
			c.lost()
		}
		return err
	}
	c.found()
	return nil
}

// compare compares the ledger with what Redis knows of it, and logs what that leads to.
func (c *contact) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, compareWithin)
	defer cancel()
	found, err := c.marks.compare(ctx)
	switch {
	case err != nil || found.behind == 0:
	case found.replica:
		c.log.Warn("a replica took over the ledger and lacks its last seconds; campaigns that must send to nobody twice are held", "lost", found.behind, "held", found.held)
	default:
		c.log.Warn("the ledger was restored; its campaigns are held until an operator resumes them", "lost", found.behind, "held", found.held)
	}
	return err
}
