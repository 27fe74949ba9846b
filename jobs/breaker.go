package jobs

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// probeEvery is the time between two requests to a provider that is away, over all processes. It is above a
// second so that with what was under way when the breaker opened there is still less than one a second.
const probeEvery = 1500 * time.Millisecond

// health is what all processes together know of a channel's provider.
type health int

const (
	healthy  health = iota
	doubtful        // requests fail in a row, and it is not yet sure that none is answered elsewhere
	away            // the breaker is open
)

// tally is what one process saw of a channel's provider since it last told the others. A request counts, not a
// recipient, except in done.
type tally struct {
	alive   int       // requests that were answered
	began   time.Time // the latest of them
	ended   time.Time // the latest answer
	done    int       // their recipients
	busy    int       // answers that ask for rest
	failed  evidence  // failures that came at once
	late    evidence  // failures that took long
	lateAt  time.Time // the start of the latest of those
	logTook float64   // sum of the logarithms of the good answers' milliseconds: a few slow ones do not move their mean
	timed   int       // good answers that were measured
}

// evidence is failures of the provider that cannot be a matter of the recipients alone. Those before the tally's last
// answer weigh nothing any more.
type evidence struct{ n, weight int }

func (t tally) empty() bool { return t == tally{} }

// observeScript takes one process's tally into the channel's state and draws the conclusions, for all processes
// by one clock (ms).
//
// The breaker: run grows with each failure and shrinks fast with each answer, so it reaches 12 only when nearly all
// requests fail; the breaker then opens as soon as nothing was answered for half a second, which is longer than a
// process keeps its tally to itself. An answer to a request that began while it was open closes it.
//
// The ceiling: once in half a second, or in as long as a few answers take. Answers that ask for rest, or failures in
// the majority, halve it; answers far slower than they used to be (base, which follows a rise within minutes and a fall
// within seconds) take 30 %, down to a tenth of what was in use before (ref). With neither it doubles up to half of
// ref, then adds 6 % of it, and beyond it feels its way up. It goes when it is above what is used.
//
// KEYS: channel pressure. ARGV: clock (0 = Redis' own), alive, ages of began and ended, done, busy, failed n and weight,
// late n and weight, age of lateAt, logTook, timed, milliseconds from probe to probe. Returns health and milliseconds
// since the last answer (-1 = none known).
var observeScript = redis.NewScript(`
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local a = {}
for i = 2, 14 do a[i] = tonumber(ARGV[i]) end
local alive, began, ended, done, busy, failed, weight = a[2], now - a[3], now - a[4], a[5], a[6], a[7], a[8]
local f = {run = 0, n = 0, done = 0, busy = 0, failed = 0, log = 0, timed = 0, at = now}
local raw = redis.call('HGETALL', KEYS[1])
for i = 1, #raw, 2 do f[raw[i]] = tonumber(raw[i + 1]) end

-- A failure that took long tells nothing when others were answered meanwhile.
if not (f.good and f.good > now - a[11]) then
  failed, weight = failed + a[9], weight + a[10]
end
if alive > 0 then f.good = math.max(f.good or 0, ended) end

if f.ill and now - f.ill > 10000 then f.run = 0 end
if weight > 0 then f.ill = now end
f.run = math.min(200, math.max(0, f.run - 20 * alive) + weight)

local function fresh()
  f.at, f.n, f.done, f.busy, f.failed, f.log, f.timed = now, 0, 0, 0, 0, 0, 0
end
if f.open then
  if alive > 0 and began >= f.open then
    f.open, f.probe, f.run = nil, nil, 0
    f.ref = f.ref or 640
    f.ceil = math.max(4, f.ref / 32)
    fresh()
  end
elseif f.run >= 12 and (not f.good or now - f.good >= 500) then
  if not f.ceil then f.ref = f.rate end
  f.open, f.probe, f.ceil = now, now + a[14], nil
end

if not f.open then
  f.n, f.done, f.busy, f.failed = f.n + alive, f.done + done, f.busy + busy, f.failed + failed
  f.log, f.timed = f.log + a[12], f.timed + a[13]
  local span = now - f.at
  if span >= 500 and (f.n + f.failed + f.busy >= 3 or span >= 3000) then
    local per, slow = f.done * 1000 / span, false
    if f.timed >= 3 then
      local took = math.exp(f.log / f.timed)
      f.base = f.base or took
      slow = took > 4 * f.base and took > f.base + 250
      local over = 5000
      if took > f.base then over = 600000 end
      f.base = f.base + (took - f.base) * math.min(1, math.min(span, 2000) / over)
    end
    local heavy = f.busy > 0 or (f.failed >= 5 and f.failed > f.n)
    if heavy or slow then
      local before = f.ceil or math.max(1, per, f.rate or 0)
      if not f.ceil or (f.busy > 0 and f.n > 2 * f.busy) then f.ref = before end
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
redis.call('PEXPIRE', KEYS[1], 600000)
local health = 0
if f.run >= 12 then health = 1 end
if f.open then health = 2 end
local ago = -1
if f.good then ago = now - f.good end
return {health, ago}
`)

// observe tells what this process saw, and is told what all together know and how long ago somebody was last
// answered; served is false when nobody was.
func (l *limiter) observe(ctx context.Context, channel string, t tally) (h health, ago time.Duration, served bool, err error) {
	age := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return time.Since(at).Milliseconds()
	}
	got, err := observeScript.Run(ctx, l.rdb, []string{pressureKey(channel)}, l.clock(), t.alive, age(t.began), age(t.ended), t.done, t.busy,
		t.failed.n, t.failed.weight, t.late.n, t.late.weight, age(t.lateAt), t.logTook, t.timed, probeEvery.Milliseconds()).Int64Slice()
	if err != nil {
		return healthy, 0, false, err
	}
	return health(got[0]), time.Duration(got[1]) * time.Millisecond, got[1] >= 0, nil
}
