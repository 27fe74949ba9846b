-- Token buckets. A token is one recipient. A rate is in tokens a second.

-- bucket_size returns how many tokens a bucket of this rate holds, and is worth: BURST_S of the
-- rate, one token at least.
local function bucket_size(rate)
  return math.max(1, rate * BURST_S)
end

-- least_grant returns the fewest tokens a grant is worth: LEAST_GRANT_S of the rate, but no more
-- than least, and one at least.
local function least_grant(rate, least)
  return math.max(1, math.min(least, math.floor(rate * LEAST_GRANT_S)))
end

-- refilled returns the tokens of a bucket now. tokens and at are as stored: at is in unix
-- microseconds, and a new bucket has neither. A slow rate saves more than a full bucket, so that a
-- page that came late catches up: SLOW_TOKENS − rate / SLOW_RATE.
local function refilled(tokens, at, rate, now_us)
  local most = math.max(bucket_size(rate), SLOW_TOKENS - rate / SLOW_RATE)
  local since = math.max(0, now_us - (tonumber(at) or now_us))
  return math.min(most, (tonumber(tokens) or 0) + since * rate / 1000000)
end
