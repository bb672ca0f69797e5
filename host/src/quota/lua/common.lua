-- What the scripts of a gateway key share. Amounts of money are whole picodollars as decimal digits, and never become Lua numbers, which are doubles and exact only to 2^53 (9007 USD): Redis adds
-- them as 64-bit integers (HINCRBY), and they are compared as text.
--
-- A key's money is one hash, so that Redis has all of it or none of it:
--   seeded            when its sums were read from the ledger, ms
--   d m t             numbers of the present day and month (t: 0)
--   d:s m:s t:s       spent
--   d:c m:c t:c       committed: spent and reserved
--   r:<reservation>   amount:day:month. An amount of 0: its lease has run out, and it has still to be settled

local DAY_MS = 86400000
local SPANS = {'d', 'm', 't'}

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function whole(number)
  return string.format('%.0f', number)
end

-- A meter that drains, as in window.rs.
local function used(key, limit, now)
  local meter = redis.call('HMGET', key, 'used', 'at')
  if not meter[1] then return 0 end
  return math.max(0, tonumber(meter[1]) - math.max(0, now - tonumber(meter[2])) * limit / 60000000)
end

local function exact(number)
  return string.format('%.17g', number)
end

-- It is kept until it has drained.
local function put(key, amount, limit, now)
  redis.call('HSET', key, 'used', exact(amount), 'at', whole(now))
  redis.call('PEXPIRE', key, whole(math.min(amount / math.max(limit, 1) * 60000, DAY_MS) + 1000))
end

local function more(a, b)
  return #a > #b or (#a == #b and a > b)
end

-- Answers false where the sum is no 64-bit integer.
local function add(money, field, amount)
  if amount == '0' or amount == '-0' then return true end
  return type(redis.pcall('HINCRBY', money, field, amount)) == 'number'
end

-- Begins the day and the month, if they are new.
local function turn_to(money, day, month)
  for span, number in pairs({d = day, m = month}) do
    if tonumber(number) > tonumber(redis.call('HGET', money, span)) then
      redis.call('HSET', money, span, number, span .. ':s', '0', span .. ':c', '0')
    end
  end
end

-- Sets an amount aside. Answers the first span that has no room for it, and then nothing is set aside.
local function hold(money, numbers, amount, limits)
  local done = {}
  for i, span in ipairs(SPANS) do
    if redis.call('HGET', money, span) == numbers[i] then
      local added = add(money, span .. ':c', amount)
      if added then table.insert(done, span) end
      if not added or (limits[i] ~= '' and more(redis.call('HGET', money, span .. ':c'), limits[i])) then
        for _, other in ipairs(done) do add(money, other .. ':c', '-' .. amount) end
        return span
      end
    end
  end
end

-- Gives back what is set aside. Answers nothing where Redis does not know of it, else where it was counted, and how much it was.
local function release(money, id)
  local record = redis.call('HGET', money, 'r:' .. id)
  if not record then return nil end
  redis.call('HDEL', money, 'r:' .. id)
  local amount, day, month = string.match(record, '^(%d+):(%d+):(%d+)$')
  local numbers = {day, month, '0'}
  for i, span in ipairs(SPANS) do
    if redis.call('HGET', money, span) == numbers[i] then add(money, span .. ':c', '-' .. amount) end
  end
  return numbers, amount
end

local function note(money, id, amount, numbers)
  redis.call('HSET', money, 'r:' .. id, amount .. ':' .. numbers[1] .. ':' .. numbers[2])
end

-- Gives back what killed gateways had set aside. That it was there is known for another day, in which it can still be settled.
local function end_leases(money, leases, now_ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', whole(now_ms), 'LIMIT', 0, 100)) do
    local numbers, amount = release(money, id)
    if numbers and amount ~= '0' then
      note(money, id, '0', numbers)
      redis.call('ZADD', leases, whole(now_ms + DAY_MS), id)
    else
      redis.call('ZREM', leases, id)
    end
  end
end

local function tell(money, verdict, tokens)
  local sums = redis.call('HMGET', money, 'd', 'd:s', 'd:c', 'm', 'm:s', 'm:c', 't', 't:s', 't:c')
  return {verdict, tokens, unpack(sums)}
end
