package jobs

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	contactEvery = 500 * time.Millisecond
	contactWait  = 2 * time.Second // for the answer
)

// contact is whether this process can work with its database. A worker that is cut off from it alone would take the tasks of the
// others out of Redis for nothing.
type contact struct {
	mu   sync.Mutex
	back chan struct{} // closed when contact is back; nil while it was not lost
}

// lost notes that the database did not answer, or did not write.
func (c *contact) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back == nil {
		c.back = make(chan struct{})
	}
}

// found notes that it does.
func (c *contact) found() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back != nil {
		close(c.back)
		c.back = nil
	}
}

// away is nil while the database answers, else what ends when it does again.
func (c *contact) away() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.back
}

// keepContact asks the database, by a write, and whether it is the ledger that it was. While contact with the database is not lost
// it is: then Redis may be away.
func (w *Worker) keepContact(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, contactWait)
	defer cancel()
	if err := w.store.TryWrite(asked); err != nil {
		w.contact.lost()
		return err
	}
	if err := w.compare(ctx); err != nil {
		if redis := (*redisError)(nil); !errors.As(err, &redis) {
			w.contact.lost()
		}
		return err
	}
	w.contact.found()
	return nil
}

// putBack gives a task that this worker cannot run to the end of its queue, as a task of its own: its ID is taken until the handler
// returns. Then the slot keeps no task and takes none until the database answers.
func (w *Worker) putBack(ctx context.Context, kind string, p Payload) {
	if err := w.queue.again(ctx, kind, p); err != nil {
		w.log.Warn("a task could not be put back and is left to the reconciler", "campaign", p.Campaign, "page", p.Page, "err", err)
	}
	if away := w.contact.away(); away != nil {
		select {
		case <-away:
		case <-w.drain.Done():
		}
	}
}

// maxTries: a task whose row does not come is put back so often, over three seconds. The reconciler finds a row that comes later.
const maxTries = 8

// later puts a task back whose row this database does not have yet. The slot waits a little first, so that a queue that is empty
// otherwise does not go round and round.
func (w *Worker) later(ctx context.Context, kind string, p Payload) {
	if p.Tries++; p.Tries > maxTries {
		w.log.Debug("a task's row does not come", "campaign", p.Campaign, "page", p.Page)
		return
	}
	select {
	case <-time.After(min(500*time.Millisecond, 25*time.Millisecond<<p.Tries)):
	case <-w.drain.Done():
	}
	w.putBack(ctx, kind, p)
}
