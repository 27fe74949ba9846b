-- Start-time fair queueing between the campaigns that wait for one channel's rate (ADR 11).
--
-- Each campaign has a turn: a counter of the tokens it was granted over the channel. A campaign
-- whose turn is ahead of the lowest waiting one by more than TURN_LEAD of a full bucket gets
-- nothing.

-- turn_within returns a campaign's turn, kept near to latest, the turn last granted on the channel:
--   - no more than CATCH_UP_S of the rate behind it: a campaign that was away has what it missed
--     for so long;
--   - no more than a full bucket ahead of it, so that lost or odd state is forgotten within a few
--     grants.
-- A campaign that begins has no turn, and starts at latest.
local function turn_within(turn, latest, rate)
  turn = tonumber(turn) or latest
  return math.max(latest - math.floor(rate * CATCH_UP_S), math.min(latest + math.ceil(bucket_size(rate)), turn))
end

-- first_waiting returns the waiting campaign with the lowest turn, and this turn; nil when no
-- campaign waits. It removes those whose wait is over.
local function first_waiting(waiting_key, until_key, now_ms)
  local first = redis.call('ZRANGE', waiting_key, 0, 0, 'WITHSCORES')
  while first[1] and tonumber(redis.call('HGET', until_key, first[1]) or 0) < now_ms do
    redis.call('ZREM', waiting_key, first[1])
    redis.call('HDEL', until_key, first[1])
    first = redis.call('ZRANGE', waiting_key, 0, 0, 'WITHSCORES')
  end
  return first[1], first[2]
end

-- is_outrun says whether a campaign is too far ahead of the first that waits.
local function is_outrun(campaign, turn, rate, waiting_key, until_key, now_ms)
  local first, first_turn = first_waiting(waiting_key, until_key, now_ms)
  return first and first ~= campaign and turn > first_turn + bucket_size(rate) * TURN_LEAD
end

-- advance_turn adds a grant to a campaign's turn, and returns the new turn.
local function advance_turn(campaign, turn, latest, grant, channel_key, waiting_key)
  redis.call('HSET', channel_key, 'turn', whole(math.max(latest, turn)))
  redis.call('ZADD', waiting_key, 'XX', whole(turn + grant), campaign)
  return turn + grant
end

-- wait_turn lets a campaign wait for the channel's rate, until it is to ask again.
local function wait_turn(campaign, turn, until_ms, waiting_key, until_key)
  redis.call('ZADD', waiting_key, whole(turn), campaign)
  redis.call('HSET', until_key, campaign, whole(until_ms + WAIT_MARGIN_MS))
  redis.call('PEXPIRE', waiting_key, BUCKET_KEPT_MS)
  redis.call('PEXPIRE', until_key, BUCKET_KEPT_MS)
end
