package pacing

import (
	"context"
	"hash/fnv"
	"log/slog"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// providerState is what all processes together know of a channel's provider.
type providerState int

const (
	healthy providerState = iota
	suspect               // requests fail in a row, and it is not yet sure that none is answered elsewhere
	away                  // the breaker is open: requests fail
	resting               // the breaker is open: the provider asked for rest
)

// tally is what one process saw of a channel's provider since it last published. All numbers are of requests, but for
// recipients and askedRest.
type tally struct {
	answered    int           // requests that were answered
	began       time.Time     // the start of the latest of them
	ended       time.Time     // the latest answer
	recipients  int           // of the answered requests
	askedRest   int           // recipients whose answer asks for rest
	rest        time.Duration // how long, at most
	who         string        // one of these recipients
	servedAgain bool          // somebody was served who had failed before
	failed      evidence      // failures that came at once
	slow        evidence      // failures that took SlowFailure or longer
	slowAsked   time.Time     // the start of the latest of those
	logTook     float64       // sum of the logarithms of the good answers' milliseconds: a few slow ones do not move their mean
	timed       int           // good answers that were measured
	requests    int           // whatever became of them
	errors      int           // of those, the ones that were no good
}

// evidence is failures that cannot be a matter of the recipients alone: how many, and their weight. The weight of failures
// before the tally's last answer is zero.
type evidence struct{ n, weight int }

func (t tally) empty() bool { return t == tally{} }

// observeScript takes one process's tally into the channel's state and draws the conclusions, for all processes
// by one clock (ms).
//
// The breaker: run grows with each failure and shrinks fast with each answer, so it reaches 12 only when nearly all
// requests fail; the breaker then opens as soon as nothing was answered for half a second, which is longer than a
// process keeps its tally to itself. An answer to a request that began while it was open closes it.
//
// Rest: an answer that asks for it (Retry-After) opens the breaker at once, for as long as it says when the channel is
// meant, and else for a second. The channel is meant:
//   - when a probe asks for rest, and its recipient is another one than the first who asked;
//   - when two recipients or more ask, and they are a tenth of those that are answered.
//
// Otherwise it may be about one recipient. What the probe of another one gets decides: when it is served all goes on as
// before. After a rest of the channel, or when recipients were served lately that had failed before, half of the rate is
// taken; what one recipient alone gets costs the others nothing.
//
// The ceiling: once in half a second, or in as long as a few answers take. Failures in
// the majority halve it; answers far slower than they used to be (base, which follows a rise within minutes and a fall
// within seconds) take 30 %, down to a tenth of what was in use before (ref). With neither it doubles up to half of
// ref, then adds 6 % of it, and beyond it feels its way up. It goes when it is above what is used.
//
// What the log tells is told by whoever brings it about: that the provider answers nothing but errors, asks everybody for rest, or
// is back, with the requests and errors since the first one and how long that was.
//
// KEYS: channel pressure. ARGV: clock (0 = Redis' own), alive, ages of began and ended, done, busy, failed n and weight,
// late n and weight, age of lateAt, logTook, timed, milliseconds from probe to probe, rest (ms), who asked for it,
// back (0 or 1), for how long back holds (ms), tries and errors. Returns health, and the milliseconds since somebody was served and since somebody was who had failed before
// (-1 = not known), the turn, requests, errors and milliseconds.
var observeScript = redis.NewScript(`
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local a = {}
for i = 2, 20 do a[i] = tonumber(ARGV[i]) end
local alive, began, ended, done, busy, failed, weight = a[2], now - a[3], now - a[4], a[5], a[6], a[7], a[8]
local rest, who = a[15], a[16]
local f = {run = 0, n = 0, done = 0, failed = 0, log = 0, timed = 0, at = now}
local raw = redis.call('HGETALL', KEYS[1])
for i = 1, #raw, 2 do f[raw[i]] = tonumber(raw[i + 1]) end

-- A failure that took long tells nothing when others were answered meanwhile.
if not (f.good and f.good > now - a[11]) then
  failed, weight = failed + a[9], weight + a[10]
end
if alive > 0 then f.good = math.max(f.good or 0, ended) end
if a[17] == 1 then f.back = now end

local turn, figures = 0, nil
f.tries, f.errors = (f.tries or 0) + a[19], (f.errors or 0) + a[20]
if a[20] > 0 then f.first = f.first or now end
local function told()
  figures = {f.tries, f.errors, now - (f.first or now)}
end

if f.ill and now - f.ill > 10000 then f.run = 0 end
if weight > 0 then f.ill = now end
f.run = math.min(200, math.max(0, f.run - 20 * alive) + weight)

local function fresh()
  f.at, f.n, f.done, f.failed, f.log, f.timed = now, 0, 0, 0, 0, 0
end
if f.asked or busy > 0 then f.n = f.n + alive end
if f.open then
  if alive > 0 and began >= f.open then
    if not f.asked then
      f.ceil = math.max(4, (f.ref or 640) / 32)
      f.ref = f.ref or 20480 -- nothing is known of its rate: it doubles for long
      fresh()
    elseif f.whole or (f.back and now - f.back < a[18]) then
      local before = f.ceil or math.max(1, f.rate or 640)
      if not f.ceil or f.n > 2 * f.asked then f.ref = before end
      f.ceil = math.max(1, before / 2)
      fresh()
    end
    if f.told then
      turn, f.told = 3, nil
      told()
    end
    f.open, f.probe, f.run, f.asked, f.by, f.rest, f.whole, f.tested, f.who = nil, nil, 0, nil, nil, nil, nil, nil, nil
  end
elseif f.run >= 12 and (not f.good or now - f.good >= 500) then -- guard: breaker
  if not f.ceil then f.ref = f.rate end
  f.open, f.probe, f.ceil = now, now + a[14], nil
  turn, f.told = 1, 1
  told()
end

if busy > 0 then
  if not f.open then f.open, f.probe, f.by, f.asked = now, now, who, 0 end
  f.asked, f.rest = (f.asked or 0) + busy, math.max(f.rest or 0, now + rest)
  local other = busy > 1 or f.by ~= who
  if other and (f.tested or f.asked * 10 > f.n) then f.whole = 1 end
  if f.whole and not f.told then
    turn, f.told = 2, 1
    told()
  end
  if f.whole then
    f.probe = math.max(f.probe, f.rest)
  else
    f.probe = math.max(f.probe, now + math.min(rest, 1000))
  end
end

if not f.open then
  if alive > 0 then f.tries, f.errors, f.first = 0, 0, nil end
  if busy == 0 then f.n = f.n + alive end
  f.done, f.failed = f.done + done, f.failed + failed
  f.log, f.timed = f.log + a[12], f.timed + a[13]
  local span = now - f.at
  if span >= 500 and (f.n + f.failed >= 3 or span >= 3000) then
    local per, slow = f.done * 1000 / span, false
    if f.timed >= 3 then
      local took = math.exp(f.log / f.timed)
      f.base = f.base or took
      slow = took > 4 * f.base and took > f.base + 250
      local over = 5000
      if took > f.base then over = 600000 end
      f.base = f.base + (took - f.base) * math.min(1, math.min(span, 2000) / over)
    end
    local heavy = f.failed >= 5 and f.failed > f.n
    if heavy or slow then
      local before = f.ceil or math.max(1, per, f.rate or 0)
      if not f.ceil then f.ref = before end
      if heavy then
        f.ceil = math.max(1, before / 2)
      else
        f.ceil = math.max(f.ref / 10, before * 0.7)
      end
    elseif f.ceil and f.n > 0 then
      if f.ceil < f.ref / 2 then
        f.ceil = f.ceil * 2
      elseif f.ceil < f.ref then
        f.ceil = f.ceil + f.ref * 0.06
      elseif f.ceil >= f.ref * 1.25 and per < f.ceil * 0.8 then
        f.ceil, f.ref = nil, nil
      else
        f.ceil = f.ceil * 1.125
      end
    end
    f.rate = math.max(per, (f.rate or 0) * math.pow(0.97, span / 500))
    fresh()
  end
end

local all = {}
for k, v in pairs(f) do
  all[#all + 1] = k
  all[#all + 1] = string.format('%.3f', v)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(all))
redis.call('PEXPIRE', KEYS[1], 600000 + math.max(0, (f.probe or now) - now))
local health = 0
if f.run >= 12 then health = 1 end
if f.open then health = 2 end
if f.open and f.asked then health = 3 end
local function ago(at)
  if at then return now - at end
  return -1
end
figures = figures or {0, 0, 0}
return {health, ago(f.good), ago(f.back), turn, figures[1], figures[2], figures[3]}
`)

// sharedView is what all processes together know of a provider.
type sharedView struct {
	state             providerState
	served, recovered time.Time // as in channelHealth; zero = not known

	event            providerEvent // what this process is to log
	requests, errors int64         // since the provider's first error
	since            time.Duration // the same
}

// providerEvent is what the log tells of a provider. Whoever brings it about logs it, so all processes log it once.
type providerEvent int

const (
	noEvent providerEvent = iota
	beganToFail
	askedForRest
	cameBack
)

// logEvent logs the view's event.
func (v sharedView) logEvent(log *slog.Logger, channel string) {
	args := []any{"channel", channel, "requests", v.requests, "errors", v.errors, "seconds", math.Round(v.since.Seconds()*10) / 10}
	switch v.event {
	case noEvent:
	case beganToFail:
		log.Warn("the provider answers nothing but errors", args...)
	case askedForRest:
		log.Warn("the provider asks everybody for rest", args...)
	case cameBack:
		log.Info("the provider is back", args...)
	}
}

// observe adds what this process saw to the shared state, and returns what all processes together know.
func (s *sharedState) observe(ctx context.Context, channel string, t tally) (sharedView, error) {
	age := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return time.Since(at).Milliseconds()
	}
	got, err := observeScript.Run(ctx, s.rdb, []string{healthKey(channel)}, s.clock(), t.answered, age(t.began), age(t.ended), t.recipients,
		t.askedRest, t.failed.n, t.failed.weight, t.slow.n, t.slow.weight, age(t.slowAsked), t.logTook, t.timed, s.ProbeEvery.Milliseconds(),
		t.rest.Milliseconds(), recipientHash(t.who), flag(t.servedAgain), s.RecoveredFor.Milliseconds(), t.requests, t.errors).Int64Slice()
	if err != nil {
		return sharedView{}, err
	}
	at := func(ago int64) time.Time {
		if ago < 0 {
			return time.Time{}
		}
		return time.Now().Add(-time.Duration(ago) * time.Millisecond)
	}
	return sharedView{
		state: providerState(got[0]), served: at(got[1]), recovered: at(got[2]),
		event: providerEvent(got[3]), requests: got[4], errors: got[5], since: time.Duration(got[6]) * time.Millisecond,
	}, nil
}

// EndRest lets a channel go on at once although its provider asked for rest or does not answer, because an operator says so.
// A provider that still asks for rest is heard again.
func (h *Health) EndRest(ctx context.Context, channel string) error {
	return h.rdb.HDel(ctx, healthKey(channel), "open", "probe", "rest", "asked", "by", "whole", "tested", "who").Err()
}

// recipientHash stands for a recipient in Redis, where no IDs are kept; 0 = nobody.
func recipientHash(id string) uint32 {
	if id == "" {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return max(1, h.Sum32())
}
