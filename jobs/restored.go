package jobs

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

const (
	// markKey is where Redis keeps how far the ledger had come. It has no end: a ledger of last year may come back.
	markKey = "carillon:ledger"

	// replicaLag: a ledger that is behind by no more is a replica that took over, and not one that was restored.
	replicaLag models.Millis = 10_000

	// Another process may have moved both marks in between, and a node of a cluster may be a moment behind the one before. So the
	// mark is read again before it counts as lost.
	markTries = 5
	markSoon  = 20 * time.Millisecond
	markAgain = 200 * time.Millisecond
)

// markScript returns Redis' mark. One that is not there becomes the ledger's: a Redis that is empty knows of nothing that was lost.
var markScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`)

// raiseScript moves Redis' mark on, and never back.
var raiseScript = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
`)

// marks compares the ledger with what Redis knows of it, and holds what a ledger that was restored would send again (ADR 17).
type marks struct {
	store *models.Store
	rdb   redis.UniversalClient
	doubt func() // called as soon as the ledger seems to be behind
}

// held is what a comparison led to.
type held struct {
	campaigns int64
	behind    time.Duration // 0 = the ledger is what it was
	replica   bool
}

// compare is nil when the ledger is what it was, or what it would send again is held. The ledger's mark moves first and Redis' after
// it, by the same process: so in good order Redis never knows more.
func (m marks) compare(ctx context.Context) (h held, err error) {
	for try := 1; ; try++ {
		at, err := m.store.Mark(ctx)
		if err != nil {
			return h, err
		}
		known, err := markScript.Run(ctx, m.rdb, []string{markKey}, int64(at.Mark)).Int64()
		if err != nil {
			return h, &redisError{err}
		}
		lost := models.Millis(known) - at.Mark
		if lost <= 0 { // guard: ledger-behind
			return h, m.move(ctx, at)
		}
		wait := markSoon
		if try > 1 {
			m.doubt()
			wait = markAgain
		}
		if try >= markTries {
			replica := lost <= replicaLag
			n, ours, err := m.store.Hold(ctx, at.Mark, models.Millis(known), replica)
			if err != nil || ours {
				return held{n, time.Duration(lost) * time.Millisecond, replica}, err
			}
			try = 0 // another process does it
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// move moves both marks on, once a second for all processes.
func (m marks) move(ctx context.Context, at models.Mark) error {
	next, due := at.Next()
	if !due {
		return nil
	}
	moved, err := m.store.MoveMark(ctx, at.Mark, next)
	if err != nil || !moved {
		return err
	}
	if err := raiseScript.Run(ctx, m.rdb, []string{markKey}, int64(next)).Err(); err != nil {
		return &redisError{err}
	}
	return nil
}

// redisError is Redis' and not the ledger's.
type redisError struct{ error }

func (e *redisError) Unwrap() error { return e.error }
