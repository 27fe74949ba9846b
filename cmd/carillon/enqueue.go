package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/models"
)

const (
	enqueueSlots = 256                   // campaigns on their way to the queue at once
	enqueueTime  = 3 * time.Second       // for one of them
	enqueueWait  = 50 * time.Millisecond // for a slot, while Redis answers
)

// enqueuer puts stored campaigns into the queue beside their POSTs: a Redis that is away must not delay an
// answer. What fails, or finds no slot, is the reconciler's to pick up.
type enqueuer struct {
	put   func(context.Context, models.Created) error
	log   *slog.Logger
	slots chan struct{}
	wg    sync.WaitGroup
	away  atomic.Bool // the last one failed
}

func newEnqueuer(put func(context.Context, models.Created) error, log *slog.Logger) *enqueuer {
	return &enqueuer{put: put, log: log, slots: make(chan struct{}, enqueueSlots)}
}

// enqueue hands a campaign over. It never fails: the campaign is stored.
func (e *enqueuer) enqueue(_ context.Context, c models.Created) error {
	if !e.take() {
		e.note(errors.New("too many campaigns wait for the queue"))
		return nil
	}
	e.wg.Go(func() {
		defer func() { <-e.slots }()
		ctx, cancel := context.WithTimeout(context.Background(), enqueueTime)
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

// note logs once per spell.
func (e *enqueuer) note(err error) {
	switch was := e.away.Swap(err != nil); {
	case err != nil && !was:
		e.log.Warn("stored campaigns cannot be put into the queue and are left to the reconciler", "err", err)
	case err == nil && was:
		e.log.Info("stored campaigns reach the queue again")
	}
}

// close waits for those on their way.
func (e *enqueuer) close() { e.wg.Wait() }
