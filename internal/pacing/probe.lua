-- The breaker is open: the provider is tried with one recipient every PROBE_EVERY_MS, over all
-- processes.

-- probe returns what take.lua returns. due and last are as stored: when the next probe is due (unix
-- ms), and the hash of the recipient who was probed last. recipient is the hash of the one who
-- would be probed, 0 = nobody. Who comes first:
--   - recipients whose tries never failed;
--   - PROBE_FAILED_MS later those whose tries have failed;
--   - PROBE_EVERY_MS later still the one who was probed last, for a probe that nobody else wants.
local function probe(health_key, due, last, recipient, has_failed, now_ms)
  local wait = tonumber(due) - now_ms
  if has_failed then wait = wait + PROBE_FAILED_MS end
  if recipient ~= 0 and tonumber(last) == recipient then wait = wait + PROBE_EVERY_MS end
  if wait > 0 then return {0, wait, 1} end
  redis.call('HSET', health_key, 'probe', whole(now_ms + PROBE_EVERY_MS), 'who', whole(recipient), 'tested', 1)
  redis.call('PEXPIRE', health_key, HEALTH_KEPT_MS)
  return {1, 0, 1}
end
