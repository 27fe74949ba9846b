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
// within every second; a new bucket starts empty. A channel under pressure (pressure.go) has a ceiling below its rate,
// or its breaker is open and there is a probe now and then. Without Redis there is no grant and nothing is sent.
type limiter struct {
	rdb redis.UniversalClient
	at  func() int64 // unix milliseconds; nil = Redis' own clock. For tests.
}

func newLimiter(rdb redis.UniversalClient) *limiter { return &limiter{rdb: rdb} }

// clock is what a script takes for the time: 0 = Redis' own.
func (l *limiter) clock() int64 {
	if l.at == nil {
		return 0
	}
	return l.at()
}

// grant is what may be sent now; with N = 0, Wait says when to ask again.
type grant struct {
	N     int
	Wait  time.Duration
	Open  bool // the channel's breaker is; with N = 1 the one recipient is its probe
	Probe bool
}

// takeScript takes from the channel's and the campaign's bucket both or neither. A transactional campaign may
// take the channel's bucket below zero by as much as a full bucket holds; the bulk ones then wait until it is
// above zero again. That is how it is first at the limiter and always finds its share of the rate.
// What held a campaign back is noted for some seconds, for those who ask.
// KEYS: channel pause, channel bucket, campaign bucket, campaign's note, channel pressure. ARGV: n, channel rate,
// campaign rate (recipients/s, 0 = none), transactional (0 or 1), clock (unix ms, 0 = Redis' own), milliseconds from
// probe to probe. Returns recipients, milliseconds to wait, and 1 when the breaker is open.
var takeScript = redis.NewScript(`
local pause = redis.call('PTTL', KEYS[1])
if pause > 0 then
  redis.call('SET', KEYS[4], 'channel slow', 'PX', 3000)
  return {0, pause, 0}
end
local now = tonumber(ARGV[5]) * 1000
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local slow = redis.call('HMGET', KEYS[5], 'open', 'probe', 'ceil')
if slow[1] then
  redis.call('SET', KEYS[4], 'channel slow', 'PX', 3000)
  local left = tonumber(slow[2]) - math.floor(now / 1000)
  if left > 0 then return {0, left, 1} end
  redis.call('HSET', KEYS[5], 'probe', string.format('%.0f', math.floor(now / 1000) + ARGV[6]))
  redis.call('PEXPIRE', KEYS[5], 600000)
  return {1, 0, 1}
end
local rates, by = {nil, tonumber(ARGV[2]), tonumber(ARGV[3])}, {nil, 'channel rate', 'campaign rate'}
local ceil = tonumber(slow[3] or 0)
if ceil > 0 and (rates[2] == 0 or ceil < rates[2]) then
  rates[2], by[2] = ceil, 'channel slow'
end
local want, grant, wait = tonumber(ARGV[1]), tonumber(ARGV[1]), 0
local buckets = {}
local limited
for i = 2, 3 do
  local rate = rates[i]
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
return {grant, math.ceil(wait), 0}
`)

// take asks for up to n tokens for one chunk of c over a channel whose own rate is channelRate.
func (l *limiter) take(ctx context.Context, c *models.Campaign, channelRate, n int) (grant, error) {
	transactional := 0
	if c.Priority == models.PriorityTransactional {
		transactional = 1
	}
	prefix := "carillon:{" + c.Channel + "}:"
	keys := []string{prefix + "pause", prefix + "rate", fmt.Sprintf("%srate:%d", prefix, c.ID), limitedKey(c), pressureKey(c.Channel)}
	got, err := takeScript.Run(ctx, l.rdb, keys, n, channelRate, c.RatePerSecond, transactional, l.clock(), probeEvery.Milliseconds()).Int64Slice()
	if err != nil {
		return grant{}, err
	}
	open := got[2] == 1
	return grant{N: int(got[0]), Wait: time.Duration(got[1]) * time.Millisecond, Open: open, Probe: open && got[0] == 1}, nil
}

func pressureKey(channel string) string { return "carillon:{" + channel + "}:pressure" }

func limitedKey(c *models.Campaign) string {
	return fmt.Sprintf("carillon:{%s}:limited:%d", c.Channel, c.ID)
}

// holds is what holds a campaign back at the limiter, as the API names it, and why in words; empty when nothing does
// or when Redis does not answer.
func (l *limiter) holds(ctx context.Context, c *models.Campaign) (limitedBy, why string) {
	pipe := l.rdb.Pipeline()
	note := pipe.Get(ctx, limitedKey(c))
	slow := pipe.HMGet(ctx, pressureKey(c.Channel), "open", "ceil")
	_, _ = pipe.Exec(ctx) // each command has its own error, and an absent note is one
	limitedBy = note.Val()
	if v := slow.Val(); len(v) == 2 {
		switch {
		case v[0] != nil:
			return limitedSlow, fmt.Sprintf("the provider does not answer; one request every %s tries it", probeEvery)
		case v[1] != nil && limitedBy == limitedSlow:
			why = "the provider answers late or asks for rest; the channel goes slower"
		}
	}
	return limitedBy, why
}

// limitedSlow is the note of takeScript.
const limitedSlow = "channel slow"

// pause leaves a channel alone for d, in all processes, because its provider asked for it.
func (l *limiter) pause(ctx context.Context, channel string, d time.Duration) error {
	key := "carillon:{" + channel + "}:pause"
	left, err := l.rdb.PTTL(ctx, key).Result()
	if err != nil || left >= d {
		return err
	}
	return l.rdb.Set(ctx, key, 1, d).Err()
}
