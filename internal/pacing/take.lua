-- Grants tokens for one chunk of a campaign. It takes them from the channel's and the campaign's
-- bucket, both or neither.
--
-- Names in capitals are fields of Params; see params.go. scripts.go puts them, clock.lua,
-- bucket.lua, turns.lua and probe.lua in front of this file.

local health_key       = KEYS[1] -- hash, see observe.lua: the provider's shared state
local channel_key      = KEYS[2] -- hash: the channel's tokens, at (unix µs), turn (the turn last granted)
local campaign_key     = KEYS[3] -- hash: the campaign's tokens, at, turn, ask (unix ms: when its next page is to ask)
local limited_key      = KEYS[4] -- string: what held the campaign back, kept for NOTE_KEPT_MS
local waiting_key      = KEYS[5] -- sorted set: the campaigns that wait for the channel's rate, by turn
local until_key        = KEYS[6] -- hash: until when each of them waits, unix ms

local wanted           = tonumber(ARGV[1]) -- tokens asked for
local channel_rate     = tonumber(ARGV[2]) -- tokens a second; 0 = no limit
local campaign_rate    = tonumber(ARGV[3]) -- the same
local is_transactional = ARGV[4] == '1'
local now_us           = clock_us(tonumber(ARGV[5])) -- given in unix ms; 0 = Redis' own clock
local campaign         = ARGV[6]           -- its ID
local recipient        = tonumber(ARGV[7]) -- hash of the chunk's first recipient; 0 = nobody
local has_failed       = ARGV[8] == '1'    -- that recipient's tries have failed before

-- Returns a list:
--   1  tokens granted
--   2  with none: ms to wait before asking again
--   3  1 if the breaker is open, else 0

local now_ms = math.floor(now_us / 1000)
local health = redis.call('HMGET', health_key, 'open', 'probe', 'ceil', 'who')
if health[1] then
  redis.call('SET', limited_key, 'channel slow', 'PX', NOTE_KEPT_MS)
  return probe(health_key, health[2], health[4], recipient, has_failed, now_ms)
end

-- The provider's ceiling takes the place of a higher rate of the channel, or of none.
local channel_reason = 'channel rate'
local ceiling = tonumber(health[3] or 0)
if ceiling > 0 and (channel_rate == 0 or ceiling < channel_rate) then
  channel_rate, channel_reason = ceiling, 'channel slow'
end

local least = wanted
if channel_rate > 0 then least = least_grant(channel_rate, least) end
if campaign_rate > 0 then least = least_grant(campaign_rate, least) end

-- What the two buckets grant; wait is until both hold the least grant, and every how long a least
-- grant takes to come.
local grant, wait, every, limited_by = wanted, 0, 0, nil
local function limit(available, rate, reason)
  if math.floor(available) < grant then -- guard: rate
    grant = math.floor(available)
    limited_by = reason
  end
  every = math.max(every, least / rate * 1000)
  wait = math.max(wait, (least - available) / rate * 1000)
end

local channel_tokens, campaign_tokens, latest_turn
local stored = redis.call('HMGET', campaign_key, 'tokens', 'at', 'turn', 'ask')
if channel_rate > 0 then
  local bucket = redis.call('HMGET', channel_key, 'tokens', 'at', 'turn')
  channel_tokens = refilled(bucket[1], bucket[2], channel_rate, now_us)
  latest_turn = tonumber(bucket[3]) or 0
  -- A transactional campaign may take the bucket below zero, by as much as a full bucket holds.
  -- Bulk campaigns wait until it is above zero again. So transactional sends always find their
  -- share of the rate.
  local available = channel_tokens
  if is_transactional then available = channel_tokens + bucket_size(channel_rate) end
  limit(available, channel_rate, channel_reason)
end
if campaign_rate > 0 then
  campaign_tokens = refilled(stored[1], stored[2], campaign_rate, now_us)
  limit(campaign_tokens, campaign_rate, 'campaign rate')
end
if grant < least then grant = 0 end

-- Bulk campaigns get equal parts of the channel's rate.
if channel_rate > 0 and not is_transactional then
  local turn = turn_within(stored[3], latest_turn, channel_rate)
  if is_outrun(campaign, turn, channel_rate, waiting_key, until_key, now_ms) and grant > 0 then
    grant, wait, limited_by = 0, every, channel_reason
  end
  if grant > 0 then
    turn = advance_turn(campaign, turn, latest_turn, grant, channel_key, waiting_key)
  elseif not campaign_tokens or campaign_tokens >= least then -- the channel alone holds the campaign back
    wait_turn(campaign, turn, now_ms + wait, waiting_key, until_key)
  end
  redis.call('HSET', campaign_key, 'turn', whole(turn))
end

-- The pages of a campaign that wait come one after the other, up to ASK_APART_MS apart. If all came
-- at once, they would find a grant for one. A page waits for its own tokens or ASK_WITHIN_MS,
-- whichever is longer, and no longer.
if grant == 0 then
  local ask = math.min(math.max(tonumber(stored[4]) or 0, now_ms + wait), now_ms + math.max(wait, ASK_WITHIN_MS))
  redis.call('HSET', campaign_key, 'ask', whole(ask + math.min(ASK_APART_MS, every / ASKS_PER_GRANT)))
  wait = ask - now_ms
end

if channel_tokens then
  redis.call('HSET', channel_key, 'tokens', tostring(channel_tokens - grant), 'at', whole(now_us))
end
if campaign_tokens then
  redis.call('HSET', campaign_key, 'tokens', tostring(campaign_tokens - grant), 'at', whole(now_us))
end
redis.call('PEXPIRE', channel_key, BUCKET_KEPT_MS)
redis.call('PEXPIRE', campaign_key, BUCKET_KEPT_MS)
if limited_by then redis.call('SET', limited_key, limited_by, 'PX', NOTE_KEPT_MS) end
return {grant, math.ceil(wait), 0}
