package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"carillon/models"
)

const (
	workLease  = time.Duration(models.WorkLease) * time.Millisecond
	renewEvery = 2 * time.Second
	// sendMargin: no request starts in the last seconds of a lease. So a request that a slow
	// network holds up still begins while the page is this worker's.
	sendMargin = 3 * time.Second
	// stuckAfter: a page on which nothing was written for so long is left to another worker.
	stuckAfter = time.Minute
)

// lease keeps a page this worker's while a visit lasts. The fence in SQL stops the writes of a
// worker that lost its page. held stops its sends, by the monotonic clock, and needs to ask nobody.
type lease struct {
	start  time.Time
	until  atomic.Int64 // the end, in nanoseconds since start
	wrote  atomic.Int64 // when the last chunk was written, in nanoseconds since start
	cancel context.CancelFunc
	done   chan struct{}
}

// holdLease starts with the lease that a claim gave. claimedAt is the instant before the claim was
// sent.
func holdLease(store *models.Store, t models.PageTask, claimedAt time.Time, log *slog.Logger) *lease {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lease{start: claimedAt, cancel: cancel, done: make(chan struct{})}
	l.until.Store(int64(workLease))
	go func() {
		defer close(l.done)
		l.renew(ctx, store, t, log)
	}()
	return l
}

func (l *lease) renew(ctx context.Context, store *models.Store, t models.PageTask, log *slog.Logger) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Since(l.start)
		if asked-time.Duration(l.wrote.Load()) > stuckAfter {
			log.Warn("the page has not moved for a minute; its lease is left to end")
			return
		}
		err := store.RenewPage(ctx, t)
		switch {
		case errors.Is(err, models.ErrFenced):
			l.lose()
			return
		case err == nil: // guard: lease-renewed
			l.until.Store(int64(asked + workLease))
		case ctx.Err() == nil:
			log.Warn("the page's lease could not be renewed", "err", err)
		}
	}
}

// held reports whether a send may start now.
func (l *lease) held() bool {
	return time.Since(l.start) < time.Duration(l.until.Load())-sendMargin
}

// lose ends the lease: the page was taken over.
func (l *lease) lose() { l.until.Store(0) }

// moved notes that a chunk was written.
func (l *lease) moved() { l.wrote.Store(int64(time.Since(l.start))) }

// release ends the renewals and waits for the last renewal.
func (l *lease) release() {
	l.cancel()
	<-l.done
}
