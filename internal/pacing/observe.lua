-- Adds what one process saw of a channel's provider to the shared state, and draws the conclusions
-- for all processes by one clock.
--
-- Names in capitals are fields of Params; see params.go. scripts.go puts them, clock.lua,
-- ceiling.lua, breaker.lua and rest.lua in front of this file. All times are in unix ms, all ages
-- and spans in ms.

local health_key = KEYS[1]
-- A hash, the shared state. An absent field is not known, or not the case.
--   open, probe     the breaker is open since, and its next probe is due
--   who, tested     hash of the recipient who was probed last; 1 after the first probe
--   asked, by       recipients that asked for rest since the breaker opened; hash of the first of them
--   rest, whole     until when the provider asked for rest; 1 if it means the channel
--   run, ill        run of failures, and when it last grew
--   good, back      when somebody was answered last, and when somebody was served last who had failed before
--   own             when an answer that speaks of the provider was last its recipient's alone
--   at              the beginning of the span that is measured
--   n, failed       requests answered and failed in it (during a rest: answered since the breaker opened)
--   done            recipients of the answered requests in it
--   log, timed      sum of the logarithms of the answers' ms in it, and how many answers that are
--   base, rate      usual ms of an answer, and recipients a second in use
--   ceil, ref       the ceiling, and what was in use before the slow-down, both in recipients a second
--   first           the provider's first error since it was well
--   tries, errors   requests since then, and those of them that were no good
--   told            1 if the log says that the provider is not well

local now = math.floor(clock_us(tonumber(ARGV[1])) / 1000) -- given in unix ms; 0 = Redis' own clock
local seen = {
  answered    = tonumber(ARGV[2]),        -- requests that were answered
  began       = now - tonumber(ARGV[3]),  -- the start of the latest of them, given as its age
  ended       = now - tonumber(ARGV[4]),  -- the latest answer, given as its age
  recipients  = tonumber(ARGV[5]),        -- of the answered requests
  asked_rest  = tonumber(ARGV[6]),        -- recipients whose answer asks for rest
  failed      = tonumber(ARGV[7]),        -- failures that came at once
  weight      = tonumber(ARGV[8]),        -- their weight in the run
  slow_failed = tonumber(ARGV[9]),        -- failures that took long
  slow_weight = tonumber(ARGV[10]),       -- their weight in the run
  slow_asked  = now - tonumber(ARGV[11]), -- the start of the latest of those, given as its age
  log_took    = tonumber(ARGV[12]),       -- sum of the logarithms of the good answers' ms
  timed       = tonumber(ARGV[13]),       -- how many answers that are
  rest        = tonumber(ARGV[14]),       -- for how long the provider asked for rest
  who         = tonumber(ARGV[15]),       -- hash of a recipient whose answer asked for rest; 0 = nobody
  again       = ARGV[16] == '1',          -- somebody was served who had failed before
  requests    = tonumber(ARGV[17]),       -- whatever became of them
  errors      = tonumber(ARGV[18]),       -- of those, the ones that were no good
  own_fault   = ARGV[19] == '1',          -- an answer that speaks of the provider was its recipient's alone
}

-- Returns a list:
--   1  the provider's state: 0 healthy, 1 suspect, 2 away, 3 resting
--   2  ms since somebody was answered; -1 = not known
--   3  ms since somebody was served who had failed before; -1 = not known
--   4  ms since an answer that speaks of the provider was its recipient's alone; -1 = not known
--   5  an event for the log: 0 none, 1 began to fail, 2 asked for rest, 3 came back
--   6  with an event: requests since the first error
--   7  with an event: errors since the first error
--   8  with an event: ms since the first error

local state = {run = 0, n = 0, done = 0, failed = 0, log = 0, timed = 0, at = now}
local stored = redis.call('HGETALL', health_key)
for i = 1, #stored, 2 do state[stored[i]] = tonumber(stored[i + 1]) end

-- A failure that took long tells nothing when others were answered meanwhile.
if not (state.good and state.good > seen.slow_asked) then
  seen.failed, seen.weight = seen.failed + seen.slow_failed, seen.weight + seen.slow_weight
end
if seen.answered > 0 then state.good = math.max(state.good or 0, seen.ended) end
if seen.again then state.back = now end
if seen.own_fault then state.own = now end
state.tries, state.errors = (state.tries or 0) + seen.requests, (state.errors or 0) + seen.errors
if seen.errors > 0 then state.first = state.first or now end

-- tell reports an event for the log; told is state.told from now on.
local event, figures = 0, {0, 0, 0}
local function tell(what, told)
  event = what
  state.told = told
  figures = {state.tries, state.errors, now - (state.first or now)}
end

count_run(state, seen, now)
if state.asked or seen.asked_rest > 0 then state.n = state.n + seen.answered end
if state.open then
  if must_close(state, seen) then
    close(state, now)
    if state.told then tell(3, nil) end
  end
elseif must_open(state, now) then -- guard: breaker
  open(state, now)
  tell(1, 1)
end
if seen.asked_rest > 0 then
  ask_rest(state, seen, now)
  if state.whole and not state.told then tell(2, 1) end
end
if not state.open then
  if seen.answered > 0 then state.tries, state.errors, state.first = 0, 0, nil end
  measure(state, seen, now)
end

local fields = {}
for name, value in pairs(state) do
  fields[#fields + 1] = name
  fields[#fields + 1] = string.format('%.3f', value)
end
redis.call('DEL', health_key)
redis.call('HSET', health_key, unpack(fields))
redis.call('PEXPIRE', health_key, HEALTH_KEPT_MS + math.max(0, (state.probe or now) - now))

local health = 0
if state.run >= TRIP_AT then health = 1 end
if state.open then health = 2 end
if state.open and state.asked then health = 3 end
local function ago(at)
  if at then return now - at end
  return -1
end
return {health, ago(state.good), ago(state.back), ago(state.own), event, figures[1], figures[2], figures[3]}
