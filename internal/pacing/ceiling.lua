-- The ceiling is a rate of the channel, in recipients a second, that exists only after a slow-down.
-- It is judged at the end of each span: SPAN_MS with SPAN_REQUESTS at least, or SPAN_MOST_MS.
--
--   - Failures in the majority, HEAVY_FAILURES at least: × 1/2.
--   - Slow answers: × SLOWER, but no lower than SLOWER_FLOOR of state.ref, what was in use before
--     the slow-down.
--   - Neither, below half of state.ref: × 2.
--   - Neither, below state.ref: + RECOVERY_STEP of it.
--   - Neither, above: × BEYOND. The ceiling is removed from REMOVE_ABOVE × state.ref on, if less
--     than REMOVE_UNUSED of it is used.

-- new_span begins to measure anew.
local function new_span(state, now)
  state.at, state.n, state.done, state.failed, state.log, state.timed = now, 0, 0, 0, 0, 0
end

-- is_slow compares the span's mean latency with state.base, the usual one, and lets state.base
-- follow: a rise within minutes, so that a provider that stays slower becomes what is normal, and a
-- fall within seconds.
local function is_slow(state, span)
  if state.timed < TIMED_LEAST then return false end
  local took = math.exp(state.log / state.timed)
  state.base = state.base or took
  local slow = took > SLOW_TIMES * state.base and took > state.base + SLOW_MORE_MS
  local within = BASE_FALLS_MS
  if took > state.base then within = BASE_RISES_MS end
  state.base = state.base + (took - state.base) * math.min(1, math.min(span, BASE_SPAN_MS) / within)
  return slow
end

-- lower takes the ceiling down; used is recipients a second in this span.
local function lower(state, used, is_heavy)
  local before = state.ceil or math.max(1, used, state.rate or 0)
  if not state.ceil then state.ref = before end
  if is_heavy then
    state.ceil = math.max(1, before / 2)
  else
    state.ceil = math.max(state.ref * SLOWER_FLOOR, before * SLOWER)
  end
end

local function raise(state, used)
  if state.ceil < state.ref / 2 then
    state.ceil = state.ceil * 2
  elseif state.ceil < state.ref then
    state.ceil = state.ceil + state.ref * RECOVERY_STEP
  elseif state.ceil >= state.ref * REMOVE_ABOVE and used < state.ceil * REMOVE_UNUSED then
    state.ceil, state.ref = nil, nil
  else
    state.ceil = state.ceil * BEYOND
  end
end

-- measure adds what was seen to the span, and judges the span at its end.
local function measure(state, seen, now)
  state.n = state.n + seen.answered
  state.done, state.failed = state.done + seen.recipients, state.failed + seen.failed
  state.log, state.timed = state.log + seen.log_took, state.timed + seen.timed
  local span = now - state.at
  if span < SPAN_MS or (state.n + state.failed < SPAN_REQUESTS and span < SPAN_MOST_MS) then return end
  local used = state.done * 1000 / span
  local slow = is_slow(state, span)
  local heavy = state.failed >= HEAVY_FAILURES and state.failed > state.n
  if heavy or slow then
    lower(state, used, heavy)
  elseif state.ceil and state.n > 0 then
    raise(state, used)
  end
  state.rate = math.max(used, (state.rate or 0) * math.pow(RATE_KEEPS, span / SPAN_MS))
  new_span(state, now)
end
