package pacing

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

// Rates hold the rates of campaigns and channels over all processes, by Redis' clock. A token is a recipient.
//
//   - A grant is worth at most 50 ms of the rate, and a bucket holds no more, so a rate holds within every second.
//   - A new bucket is empty.
//   - Below 10/s the bucket holds up to 2 − rate/10 tokens, so a late page can catch up. No 1.1 s window ever sees more than
//     rate + 1 recipients.
//   - A grant is worth at least 25 ms of the rate, if that many are asked for. Many pages that wait for one rate would otherwise
//     send chunks of one or two recipients, each with its own commit.
//   - A provider that slowed down has a ceiling below the channel's rate. A provider that is away is probed now and then
//     (health.go).
//   - Without Redis there is no grant, and nothing is sent.
type Rates struct {
	*sharedState
	health   *Health
	channels map[string]int // recipients a second; 0 or none = no limit
}

// Grant is what may be sent now.
type Grant struct {
	N     int           // recipients
	Wait  time.Duration // with N = 0: when to ask again
	Open  bool          // the channel's breaker is open
	Probe bool          // what is granted is one recipient, who is tried although the provider fails: see Trial
}

// takeScript takes from the channel's and the campaign's bucket both or neither. A transactional campaign may
// take the channel's bucket below zero by as much as a full bucket holds; the bulk ones then wait until it is
// above zero again. That is how it is first at the limiter and always finds its share of the rate.
// Bulk campaigns that wait for the channel's rate get equal parts of it (ADR 11): each has a turn, which grows by what it
// gets; who is ahead of the least that waits gets nothing until that one has had its own. The pages of a campaign that wait are
// told to come one after the other, up to 5 ms apart, and not all at once to find a grant for one.
// What held a campaign back is noted for some seconds, for those who ask.
// KEYS: channel pressure, channel bucket, campaign bucket, campaign's note, the campaigns that wait by their
// turns, until when they do (unix ms). ARGV: n, channel rate,
// campaign rate (recipients/s, 0 = none), transactional (0 or 1), clock (unix ms, 0 = Redis' own), milliseconds from
// probe to probe, campaign, who would be probed, and whether its tries have failed before (0 or 1). Those have failed come
// half a second later, for a probe that nobody else wants, and the one that was probed last later still. Returns recipients, milliseconds to wait, and 1 when the breaker is open.
var takeScript = redis.NewScript(`
local now = tonumber(ARGV[5]) * 1000
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
local slow = redis.call('HMGET', KEYS[1], 'open', 'probe', 'ceil', 'who')
if slow[1] then
  redis.call('SET', KEYS[4], 'channel slow', 'PX', 3000)
  local left = tonumber(slow[2]) - math.floor(now / 1000)
  if ARGV[9] == '1' then left = left + 500 end
  if ARGV[8] ~= '0' and tonumber(slow[4]) == tonumber(ARGV[8]) then left = left + ARGV[6] end
  if left > 0 then return {0, left, 1} end
  redis.call('HSET', KEYS[1], 'probe', string.format('%.0f', math.floor(now / 1000) + ARGV[6]), 'who', ARGV[8], 'tested', 1)
  redis.call('PEXPIRE', KEYS[1], 600000)
  return {1, 0, 1}
end
local rates, by = {nil, tonumber(ARGV[2]), tonumber(ARGV[3])}, {nil, 'channel rate', 'campaign rate'}
local ceil = tonumber(slow[3] or 0)
if ceil > 0 and (rates[2] == 0 or ceil < rates[2]) then
  rates[2], by[2] = ceil, 'channel slow'
end
local want, grant, wait = tonumber(ARGV[1]), tonumber(ARGV[1]), 0
local full, least, every = {}, want, 0
for i = 2, 3 do
  if rates[i] > 0 then
    full[i] = math.max(1, rates[i] * 0.05)
    least = math.max(1, math.min(least, math.floor(full[i] / 2)))
  end
end
local ms, limited = math.floor(now / 1000), nil
local tokens, mine = {}, redis.call('HMGET', KEYS[3], 'tokens', 'at', 'turn', 'ask')
for i = 2, 3 do
  local rate = rates[i]
  if rate > 0 then
    local b = i == 3 and mine or redis.call('HMGET', KEYS[i], 'tokens', 'at')
    local at, floor = tonumber(b[2]) or now, 0
    tokens[i] = math.min(math.max(full[i], 2 - rate / 10), (tonumber(b[1]) or 0) + math.max(0, now - at) * rate / 1000000)
    if i == 2 and ARGV[4] == '1' then floor = -full[i] end
    if math.floor(tokens[i] - floor) < grant then -- guard: rate
      grant, limited = math.floor(tokens[i] - floor), by[i]
    end
    every = math.max(every, least / rate * 1000)
    wait = math.max(wait, (least - (tokens[i] - floor)) / rate * 1000)
  end
end
if grant < least then grant = 0 end
if rates[2] > 0 and ARGV[4] ~= '1' then
  local me, latest = ARGV[7], tonumber(redis.call('HGET', KEYS[2], 'turn')) or 0
  local turn = tonumber(mine[3]) or latest
  turn = math.max(latest - math.floor(rates[2] / 2), math.min(latest + math.ceil(full[2]), turn))
  local first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
  while first[1] and tonumber(redis.call('HGET', KEYS[6], first[1]) or 0) < ms do
    redis.call('ZREM', KEYS[5], first[1])
    redis.call('HDEL', KEYS[6], first[1])
    first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
  end
  if grant > 0 and first[1] and first[1] ~= me and turn > first[2] + full[2] / 2 then
    grant, limited, wait = 0, by[2], every
  end
  if grant > 0 then
    redis.call('HSET', KEYS[2], 'turn', string.format('%.0f', math.max(latest, turn)))
    turn = turn + grant
    redis.call('ZADD', KEYS[5], 'XX', string.format('%.0f', turn), me)
  elseif not tokens[3] or tokens[3] >= least then
    redis.call('ZADD', KEYS[5], string.format('%.0f', turn), me)
    redis.call('HSET', KEYS[6], me, string.format('%.0f', ms + wait + 20))
    redis.call('PEXPIRE', KEYS[5], 60000)
    redis.call('PEXPIRE', KEYS[6], 60000)
  end
  redis.call('HSET', KEYS[3], 'turn', string.format('%.0f', turn))
end
if grant == 0 then
  local ask = math.min(math.max(tonumber(mine[4]) or 0, ms + wait), ms + math.max(wait, 250))
  redis.call('HSET', KEYS[3], 'ask', string.format('%.0f', ask + math.min(5, every / 3)))
  wait = ask - ms
end
for i = 2, 3 do
  if tokens[i] then
    redis.call('HSET', KEYS[i], 'tokens', tostring(tokens[i] - grant), 'at', string.format('%.0f', now))
  end
  redis.call('PEXPIRE', KEYS[i], 60000)
end
if limited then redis.call('SET', KEYS[4], limited, 'PX', 3000) end
return {grant, math.ceil(wait), 0}
`)

// Take asks for up to n tokens for one chunk of c. first is the chunk's first recipient, who would be the probe of a provider that
// is away. While this process meets failures only, Take grants one recipient at a time.
func (r *Rates) Take(ctx context.Context, c *models.Campaign, n int, first Recipient) (Grant, error) {
	n, single, wait := r.health.throttle(c.Channel, n)
	if wait > 0 {
		return Grant{Wait: wait}, nil
	}
	g, err := r.take(ctx, c, r.channels[c.Channel], n, first)
	if err != nil {
		return g, err
	}
	r.health.hearOpen(c.Channel, g.Open)
	g.Probe = g.Probe || single
	if g.Open && g.N == 0 { // so that not all pages come at the same instant
		g.Wait += r.probeSpread()
	}
	return g, nil
}

// PageWait is how long a page waits outside its slot after a grant of nothing.
//
//   - The page returns RequeueLatency before its token is due and waits the remainder in the slot. Returning exactly on time would
//     make it late by the queue's latency each time.
//   - It waits for no longer than WindowWait: it would leave the window, and other pages would come in to wait beside it.
func (r *Rates) PageWait(g Grant) time.Duration {
	wait := g.Wait
	if wait > r.SlotWait && !g.Open {
		wait -= r.RequeueLatency
	}
	return min(wait, r.ProbeEvery+r.probeSpread())
}

// probeSpread is a random time, by which a wait of ProbeEvery still stays within WindowWait.
func (r *Rates) probeSpread() time.Duration { return rand.N(r.WindowWait - r.ProbeEvery) }

// take is Take, by what all processes together know. channelRate is the channel's, in recipients a second.
func (s *sharedState) take(ctx context.Context, c *models.Campaign, channelRate, n int, first Recipient) (Grant, error) {
	keys := []string{healthKey(c.Channel), channelBucketKey(c.Channel), campaignBucketKey(c), limitedByKey(c), waitingKey(c.Channel), waitingUntilKey(c.Channel)}
	got, err := takeScript.Run(ctx, s.rdb, keys, n, channelRate, c.RatePerSecond, flag(c.Priority == models.PriorityTransactional),
		s.clock(), s.ProbeEvery.Milliseconds(), c.ID, recipientHash(first.ID), flag(!first.FailingSince.IsZero())).Int64Slice()
	if err != nil {
		return Grant{}, err
	}
	open := got[2] == 1
	return Grant{N: int(got[0]), Wait: time.Duration(got[1]) * time.Millisecond, Open: open, Probe: open && got[0] == 1}, nil
}

// flag is 1 for true, as scripts take it.
func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
