package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/internal/tracing"
	"carillon/models"
)

const (
	enqueueSlots = 256                   // campaigns on their way to the queue at the same time
	enqueueTime  = 3 * time.Second       // for one campaign
	enqueueWait  = 50 * time.Millisecond // to wait for a slot, while Redis answers
)

// enqueuer puts stored campaigns into the queue in the background: a Redis that is away must not
// delay the answer to a POST. The reconciler picks up what fails or finds no slot.
type enqueuer struct {
	put   func(context.Context, models.Created) error
	log   *slog.Logger
	slots chan struct{}
	wg    sync.WaitGroup
	away  atomic.Bool // the last attempt failed
}

func newEnqueuer(put func(context.Context, models.Created) error, log *slog.Logger) *enqueuer {
	return &enqueuer{put: put, log: log, slots: make(chan struct{}, enqueueSlots)}
}

// enqueue hands a campaign over. It never fails: the campaign is stored. Of ctx only the trace goes on.
func (e *enqueuer) enqueue(ctx context.Context, c models.Created) error {
	if !e.take() {
		e.note(errors.New("too many campaigns wait for the queue"))
		return nil
	}
	trace := tracing.Detached(ctx)
	e.wg.Go(func() {
		defer func() { <-e.slots }()
		ctx, cancel := context.WithTimeout(trace, enqueueTime)
		defer cancel()
		e.note(e.put(ctx, c))
	})
	return nil
}

func (e *enqueuer) take() bool {
	select {
	case e.slots <- struct{}{}:
		return true
	default:
	}
	if e.away.Load() {
		return false
	}
	select {
	case e.slots <- struct{}{}:
		return true
	case <-time.After(enqueueWait):
		return false
	}
}

// note logs the first failure and the first success after failures.
func (e *enqueuer) note(err error) {
	switch was := e.away.Swap(err != nil); {
	case err != nil && !was:
		e.log.Warn("stored campaigns cannot be put into the queue and are left to the reconciler", "err", err)
	case err == nil && was:
		e.log.Info("stored campaigns reach the queue again")
	}
}

// close waits for the campaigns on their way.
func (e *enqueuer) close() { e.wg.Wait() }
