package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

// limiter holds the rates of campaigns and channels over all processes, by Redis' clock. Tokens are
// recipients. A grant is worth at most 50 ms of the rate and so is what may be saved up, so a rate holds
// within every second; a new bucket starts empty. Without Redis there is no grant and nothing is sent.
type limiter struct{ rdb redis.UniversalClient }

// grant is what may be sent now; with N = 0, Wait says when to ask again.
type grant struct {
	N    int
	Wait time.Duration
}

// takeScript takes from the channel's and the campaign's bucket both or neither. A transactional campaign may
// take the channel's bucket below zero by as much as a full bucket holds; the bulk ones then wait until it is
// above zero again. That is how it is first at the limiter and always finds its share of the rate.
// What held a campaign back is noted for some seconds, for those who ask.
// KEYS: channel pause, channel bucket, campaign bucket, campaign's note. ARGV: n, channel rate, campaign rate (recipients/s, 0 = none), transactional (0 or 1).
var takeScript = redis.NewScript(`
local pause = redis.call('PTTL', KEYS[1])
if pause > 0 then
  redis.call('SET', KEYS[4], 'channel slow', 'PX', 3000)
  return {0, pause}
end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local want, grant, wait = tonumber(ARGV[1]), tonumber(ARGV[1]), 0
local buckets, by = {}, {nil, 'channel rate', 'campaign rate'}
local limited
for i = 2, 3 do
  local rate = tonumber(ARGV[i])
  if rate > 0 then
    local full = math.max(1, rate * 0.05)
    local b = redis.call('HMGET', KEYS[i], 'tokens', 'at')
    local tokens, at = tonumber(b[1]) or 0, tonumber(b[2]) or now
    tokens = math.min(full, tokens + math.max(0, now - at) * rate / 1000000)
    local floor = 0
    if i == 2 and ARGV[4] == '1' then floor = -full end
    if math.floor(tokens - floor) < grant then
      grant, limited = math.floor(tokens - floor), by[i]
    end
    local worth = math.max(1, math.min(want, full / 2))
    wait = math.max(wait, (worth - (tokens - floor)) / rate * 1000)
    buckets[#buckets + 1] = {KEYS[i], tokens, now}
  end
end
grant = math.max(0, grant)
for _, b in ipairs(buckets) do
  redis.call('HSET', b[1], 'tokens', tostring(b[2] - grant), 'at', string.format('%.0f', b[3]))
  redis.call('PEXPIRE', b[1], 60000)
end
if limited then redis.call('SET', KEYS[4], limited, 'PX', 3000) end
return {grant, math.ceil(wait)}
`)

// take asks for up to n tokens for one chunk of c over a channel whose own rate is channelRate.
func (l *limiter) take(ctx context.Context, c *models.Campaign, channelRate, n int) (grant, error) {
	transactional := 0
	if c.Priority == models.PriorityTransactional {
		transactional = 1
	}
	prefix := "carillon:{" + c.Channel + "}:"
	keys := []string{prefix + "pause", prefix + "rate", fmt.Sprintf("%srate:%d", prefix, c.ID), limitedKey(c)}
	got, err := takeScript.Run(ctx, l.rdb, keys, n, channelRate, c.RatePerSecond, transactional).Int64Slice()
	if err != nil {
		return grant{}, err
	}
	return grant{N: int(got[0]), Wait: time.Duration(got[1]) * time.Millisecond}, nil
}

func limitedKey(c *models.Campaign) string {
	return fmt.Sprintf("carillon:{%s}:limited:%d", c.Channel, c.ID)
}

// pause leaves a channel alone for d, in all processes, because its provider asked for it.
func (l *limiter) pause(ctx context.Context, channel string, d time.Duration) error {
	key := "carillon:{" + channel + "}:pause"
	left, err := l.rdb.PTTL(ctx, key).Result()
	if err != nil || left >= d {
		return err
	}
	return l.rdb.Set(ctx, key, 1, d).Err()
}
