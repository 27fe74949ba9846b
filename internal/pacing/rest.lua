-- Rest. An answer that asks for it (Retry-After) opens the breaker at once: for as long as it says
-- if the channel is meant, and else for REST_OF_ONE_MS. The channel is meant in two cases:
--   - A probe asks for rest, and its recipient is another one than the first who asked.
--   - Two recipients or more ask, and they are more than REST_SHARE of those that are answered.
--
-- Otherwise it may be about one recipient. What the probe of another recipient gets decides: when
-- it is served, all goes on as before.
local function ask_rest(state, seen, now)
  if not state.open then
    state.open, state.probe, state.by, state.asked = now, now, seen.who, 0
  end
  state.asked, state.rest = (state.asked or 0) + seen.asked_rest, math.max(state.rest or 0, now + seen.rest)
  local another = seen.asked_rest > 1 or state.by ~= seen.who
  if another and (state.tested or state.asked > state.n * REST_SHARE) then state.whole = 1 end
  if state.whole then
    state.probe = math.max(state.probe, state.rest)
  else
    state.probe = math.max(state.probe, now + math.min(seen.rest, REST_OF_ONE_MS))
  end
end
