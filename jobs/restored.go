package jobs

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

const (
	// markKey is where Redis keeps how far the ledger had come. The key does not expire: a ledger
	// of last year may come back.
	markKey = "carillon:ledger"

	// replicaLag: a ledger that is behind by no more than this is a replica that took over.
	// Otherwise it was restored.
	replicaLag models.Millis = 10_000

	// Another process may have moved both marks between the two reads. A node of a cluster may be a
	// moment behind the node that was asked before. So the marks are read again before the ledger
	// counts as lost.
	markReads       = 5
	markFirstWait   = 20 * time.Millisecond  // before the second read
	markFurtherWait = 200 * time.Millisecond // before each further read
)

// markScript returns Redis' mark. An absent mark becomes the ledger's: an empty Redis knows of
// nothing that was lost. KEYS: markKey. ARGV: the ledger's mark (unix ms).
var markScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`)

// raiseScript moves Redis' mark on, and never back. KEYS: markKey. ARGV: the new mark (unix ms).
var raiseScript = redis.NewScript(`
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
`)

// marks compares the ledger with what Redis knows of it. It holds the campaigns that a restored
// ledger would send again (ADR 17).
type marks struct {
	store *models.Store
	rdb   redis.UniversalClient
	doubt func() // called as soon as the ledger seems to be behind
}

// comparison is what comparing the ledger with Redis led to.
type comparison struct {
	behind  time.Duration // 0 = the ledger is what it was
	replica bool          // the ledger is a replica that took over
	held    int64         // campaigns that were paused for it
}

// compare compares the marks. Without an error the ledger is what it was, or the campaigns that it
// would send again are held.
//
// A process moves the ledger's mark first and Redis' mark after it. So Redis never knows more of a
// ledger that is in order.
func (m marks) compare(ctx context.Context) (result comparison, err error) {
	for read := 1; ; read++ {
		at, err := m.store.Mark(ctx)
		if err != nil {
			return result, err
		}
		known, err := markScript.Run(ctx, m.rdb, []string{markKey}, int64(at.Mark)).Int64()
		if err != nil {
			return result, &redisError{err}
		}
		lost := models.Millis(known) - at.Mark
		if lost <= 0 { // guard: ledger-behind
			return result, m.move(ctx, at)
		}
		wait := markFirstWait
		if read > 1 {
			m.doubt()
			wait = markFurtherWait
		}
		if read >= markReads {
			replica := lost <= replicaLag
			n, ours, err := m.store.Hold(ctx, at.Mark, models.Millis(known), replica)
			if err != nil || ours {
				return comparison{behind: time.Duration(lost) * time.Millisecond, replica: replica, held: n}, err
			}
			read = 0 // another process does it
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// move moves both marks on, once a second for all processes together.
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

// redisError is an error of Redis, not of the ledger.
type redisError struct{ error }

func (e *redisError) Unwrap() error { return e.error }
