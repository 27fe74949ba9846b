-- The breaker. state is the hash as stored, seen is what one process saw; observe.lua describes
-- both. Times are in unix ms.
--
-- state.run grows with each failure and shrinks by ANSWER_CREDIT with each answer. So it reaches
-- TRIP_AT only when nearly all requests fail.

local function count_run(state, seen, now)
  if state.ill and now - state.ill > RUN_FORGOTTEN_MS then state.run = 0 end
  if seen.weight > 0 then state.ill = now end
  state.run = math.min(RUN_MOST, math.max(0, state.run - ANSWER_CREDIT * seen.answered) + seen.weight)
end

-- must_open says whether nearly all requests fail and nothing was answered for SILENT_MS, which is
-- longer than a process keeps what it saw to itself.
local function must_open(state, now)
  return state.run >= TRIP_AT and (not state.good or now - state.good >= SILENT_MS)
end

local function open(state, now)
  if not state.ceil then state.ref = state.rate end
  state.open, state.probe, state.ceil = now, now + PROBE_EVERY_MS, nil
end

-- must_close says whether a request was answered that began while the breaker was open.
local function must_close(state, seen)
  return seen.answered > 0 and seen.began >= state.open
end

-- close sets the ceiling with which the channel goes on:
--   - after failures, from RESTART_SHARE of what was in use, and RESTART_LEAST at least;
--   - after a rest of the channel, or if somebody was served lately who had failed before, at half
--     of what was in use;
--   - after a rest that one recipient alone got, as before.
--
-- If more than SERVED_PER_REST were answered for each that asked for rest, the provider took what
-- was in use: the ceiling may rise back to that (state.ref).
local function close(state, now)
  if not state.asked then
    state.ceil = math.max(RESTART_LEAST, (state.ref or RATE_UNKNOWN) * RESTART_SHARE)
    state.ref = state.ref or RATE_UNKNOWN / RESTART_SHARE -- nothing is known of its rate: it doubles for long
    new_span(state, now)
  elseif state.whole or (state.back and now - state.back < RECOVERED_FOR_MS) then
    local before = state.ceil or math.max(1, state.rate or RATE_UNKNOWN)
    if not state.ceil or state.n > SERVED_PER_REST * state.asked then state.ref = before end
    state.ceil = math.max(1, before / 2)
    new_span(state, now)
  end
  state.open, state.probe, state.run = nil, nil, 0
  state.asked, state.by, state.rest, state.whole, state.tested, state.who = nil, nil, nil, nil, nil, nil
end
