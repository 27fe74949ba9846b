package streams

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/channels/inbox"
)

// takeLeaseScript counts a user's streams over all processes, by Redis's clock. Each stream is a
// member that lapses unless its heartbeat renews it. KEYS: the user's streams. ARGV: stream, limit,
// life in ms.
var takeLeaseScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

// lease is a stream's place among its user's streams, in Redis.
type lease struct {
	rdb     redis.UniversalClient
	key, id string
	life    time.Duration
}

func newLease(rdb redis.UniversalClient, userID string, beat time.Duration) lease {
	return lease{rdb, inbox.StreamName(rdb, userID) + ":streams", rand.Text(), 3 * beat}
}

// take takes the lease. ok is false when the user has as many streams as allowed.
func (s lease) take(ctx context.Context) (ok bool, err error) {
	return takeLeaseScript.Run(ctx, s.rdb, []string{s.key}, s.id, maxStreams, s.life.Milliseconds()).Bool()
}

// renew keeps the lease. An open stream stays open and counted, even if Redis has lost its memory
// or other streams took a lease meanwhile.
func (s lease) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	const noLimit = 1 << 30
	_ = takeLeaseScript.Run(ctx, s.rdb, []string{s.key}, s.id, noLimit, s.life.Milliseconds()).Err() // the next heartbeat tries again
}

// free gives the lease back. If that fails, the lease lapses by itself.
func (s lease) free() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.rdb.ZRem(ctx, s.key, s.id).Err()
}
