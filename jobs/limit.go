package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/models"
)

// limiter holds the rates of campaigns and channels over all processes, by Redis' clock. Tokens are
// recipients. A grant is worth at most 50 ms of the rate and so is what may be saved up, so a rate holds
// within every second; a new bucket starts empty. Below 10/s a little more may be saved, so that a slow campaign whose page
// came late makes up for it, but never so much that 1.1 s could bring more than the rate and one. A grant is worth 25 ms at
// least, where that many are wanted: many pages that wait for one rate would otherwise send chunks of one or two, each with
// its own commit. A channel under pressure (pressure.go) has a ceiling below its rate,
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

// take asks for up to n tokens for one chunk of c over a channel whose own rate is channelRate. first is the recipient
// who would be the probe of a provider that is away.
func (l *limiter) take(ctx context.Context, c *models.Campaign, channelRate, n int, first member) (grant, error) {
	failing := 0
	if first.since != 0 {
		failing = 1
	}
	transactional := 0
	if c.Priority == models.PriorityTransactional {
		transactional = 1
	}
	prefix := channelPrefix(c.Channel)
	keys := []string{pressureKey(c.Channel), prefix + "rate", fmt.Sprintf("%srate:%d", prefix, c.ID), limitedKey(c), prefix + "waiting", prefix + "until"}
	got, err := takeScript.Run(ctx, l.rdb, keys, n, channelRate, c.RatePerSecond, transactional, l.clock(), probeEvery.Milliseconds(), c.ID, nameHash(first.id), failing).Int64Slice()
	if err != nil {
		return grant{}, err
	}
	open := got[2] == 1
	return grant{N: int(got[0]), Wait: time.Duration(got[1]) * time.Millisecond, Open: open, Probe: open && got[0] == 1}, nil
}

func channelPrefix(channel string) string { return "carillon:{" + channel + "}:" }

func pressureKey(channel string) string { return channelPrefix(channel) + "pressure" }

func limitedKey(c *models.Campaign) string {
	return fmt.Sprintf("%slimited:%d", channelPrefix(c.Channel), c.ID)
}

// hold is what the limiter knows of a campaign.
type hold struct {
	note        models.LimitedBy // what held it back within the last seconds
	open        bool             // the channel's breaker is
	rest, probe int64            // unix ms; rest 0 = the provider did not ask for any
	now         int64            // the same, by Redis' clock
	others      int              // campaigns that wait for the channel's rate beside it
}

// holds reads it. A Redis that cannot be written is an error: then nothing is sent.
func (l *limiter) holds(ctx context.Context, c *models.Campaign) (h hold, err error) {
	pipe := l.rdb.Pipeline()
	note := pipe.Get(ctx, limitedKey(c))
	slow := pipe.HMGet(ctx, pressureKey(c.Channel), "open", "rest", "probe")
	until := pipe.HGetAll(ctx, channelPrefix(c.Channel)+"until")
	now := pipe.Time(ctx)
	try := pipe.Set(ctx, "carillon:try", "1", time.Second)
	_, _ = pipe.Exec(ctx) // each command has its own error, and an absent note is one
	if err := errors.Join(slow.Err(), until.Err(), now.Err(), try.Err()); err != nil {
		return h, err
	}
	h.note, h.now = models.LimitedBy(note.Val()), now.Val().UnixMilli()
	if v := slow.Val(); v[0] != nil {
		h.open, h.rest, h.probe = true, millisOf(v[1]), millisOf(v[2])
	}
	for id, at := range until.Val() {
		if id != strconv.FormatInt(c.ID, 10) && millisOf(at) > h.now-time.Second.Milliseconds() {
			h.others++
		}
	}
	return h, nil
}

// why is the same in words; rate is the channel's.
func (h hold) why(c *models.Campaign, rate int) string {
	at := func(ms int64) string { return shown(models.Millis(ms)) }
	switch {
	case h.open && h.rest > h.now:
		return fmt.Sprintf("the provider asks for rest until %s (Retry-After); the next request goes out at %s", at(h.rest), at(h.probe))
	case h.open && h.rest > 0:
		return "the provider asked for rest until " + at(h.rest) + " (Retry-After); the next request shows whether it is over"
	case h.open:
		return fmt.Sprintf("the provider does not answer, or fails for everybody; one request every %s tries it", probeEvery)
	}
	switch h.note {
	case models.LimitedByCampaignRate:
		return fmt.Sprintf("its own rate of %d/s is used up", c.RatePerSecond)
	case models.LimitedByChannelRate:
		why := "the rate of the channel " + c.Channel
		if rate > 0 {
			why += fmt.Sprintf(", %d/s,", rate)
		}
		why += " is used up"
		switch {
		case h.others == 1:
			why += "; it takes turns with another campaign"
		case h.others > 1:
			why += fmt.Sprintf("; it takes turns with %d other campaigns", h.others)
		}
		return why
	case models.LimitedByChannelSlow:
		return "the provider answers late, fails often or asked for rest; the channel goes slower"
	case models.LimitedByTurn:
		return "other campaigns hold the places on the channel " + c.Channel + "; this one waits for its turn"
	case models.LimitedByNoWorkers:
		return "the worker that took it is not set up for the channel " + c.Channel
	default:
		return ""
	}
}

// note keeps for those who ask why a page of c was given back.
func (l *limiter) note(ctx context.Context, c *models.Campaign, by models.LimitedBy, keep time.Duration) error {
	return l.rdb.Set(ctx, limitedKey(c), string(by), keep).Err()
}

// millisOf reads a time that a script has stored.
func millisOf(v any) int64 {
	text, _ := v.(string)
	ms, _ := strconv.ParseFloat(text, 64)
	return int64(ms)
}

// endRest lets a channel go on at once although its provider asked for rest or does not answer, because an operator says so.
// A provider that still asks for rest is heard again.
func (l *limiter) endRest(ctx context.Context, channel string) error {
	return l.rdb.HDel(ctx, pressureKey(channel), "open", "probe", "rest", "asked", "by", "whole", "tested", "who").Err()
}
