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
	// sendMargin: no request starts in the last seconds of a lease, so that one that a slow network holds
	// up still begins while the page is ours.
	sendMargin = 3 * time.Second
	// stuckAfter: a page on which nothing was written for so long is given up to another worker.
	stuckAfter = time.Minute
)

// lease keeps a page ours while a visit lasts. The fence in SQL stops the writes of a worker that lost its
// page; held stops its sends, by the monotonic clock and with nobody to ask.
type lease struct {
	until  atomic.Int64 // monotonic, nanoseconds since start
	wrote  atomic.Int64 // the same, of the last chunk
	start  time.Time
	cancel context.CancelFunc
	done   chan struct{}
}

// holdLease begins with the lease that a claim sent at claimedAt gave.
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
		case err == nil:
			l.until.Store(int64(asked + workLease))
		case ctx.Err() == nil:
			log.Warn("the page's lease could not be renewed", "err", err)
		}
	}
}

// held says whether a send may start now.
func (l *lease) held() bool {
	return time.Since(l.start) < time.Duration(l.until.Load())-sendMargin
}

// lose ends it: the page was taken over.
func (l *lease) lose() { l.until.Store(0) }

// moved notes that a chunk was written.
func (l *lease) moved() { l.wrote.Store(int64(time.Since(l.start))) }

// release ends the renewals and waits for the last one.
func (l *lease) release() {
	l.cancel()
	<-l.done
}
