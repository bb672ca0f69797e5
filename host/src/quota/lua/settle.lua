-- Counts what was used in place of what was set aside, once. KEYS: meter of tokens, money, leases, a mark that it was counted.
-- ARGV: 1 reservation, 2 when it was made here, ms ('' where it was made while Redis was down), 3 when it was settled, ms, 4 money ('' where none is limited), 5 day, 6 month in which it was made,
-- 7 tokens more than were set aside (may be negative), 8 tokens per minute ('' for no limit), 9 how long the ledger may take, ms, 10 how long the money is kept, ms.
-- Answers a verdict, the tokens of this minute, and all sums.
local now = now_us()
local money = KEYS[2]
if ARGV[4] ~= '' then
  local seeded = tonumber(redis.call('HGET', money, 'seeded'))
  if not seeded then return {'unseeded'} end
  turn_to(money, ARGV[5], ARGV[6])
  local made_at = tonumber(ARGV[2])
  -- Made where Redis did not know of it, or before it lost what it knew, or while the ledger was asked. Only of these a mark tells that they were counted; of all others, that they are gone.
  local needs_mark = not made_at or made_at < seeded
  local numbers = release(money, ARGV[1])
  if numbers then
    redis.call('ZREM', KEYS[3], ARGV[1])
  else
    -- The second of these: it is in the ledger, and was when that was read.
    if not needs_mark or tonumber(ARGV[3]) + tonumber(ARGV[9]) <= seeded then return tell(money, 'already', '') end
    numbers = {ARGV[5], ARGV[6], '0'}
  end
  if needs_mark and not redis.call('SET', KEYS[4], '1', 'NX', 'PX', DAY_MS) then return tell(money, 'already', '') end
  for i, span in ipairs(SPANS) do
    if redis.call('HGET', money, span) == numbers[i] then
      for _, sum in ipairs({span .. ':s', span .. ':c'}) do
        if not add(money, sum, ARGV[4]) then redis.call('HSET', money, sum, '9223372036854775807') end
      end
    end
  end
  redis.call('PEXPIRE', money, ARGV[10])
end
local tpm, tokens = tonumber(ARGV[8]), ''
if tpm then
  local count = math.max(0, used(KEYS[1], tpm, now) + tonumber(ARGV[7]))
  put(KEYS[1], count, tpm, now)
  tokens = exact(count)
end
if ARGV[4] == '' then return {'ok', tokens} end
return tell(money, 'ok', tokens)
