-- clock_us returns the time in unix microseconds: the caller's, given in unix ms, or Redis' own if
-- that is 0.
local function clock_us(given_ms)
  if given_ms > 0 then return given_ms * 1000 end
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- whole formats a number for Redis without fraction and exponent.
local function whole(number)
  return string.format('%.0f', number)
end
