-- Sets tokens and money aside, or more of them. KEYS: meter of tokens, money, leases.
-- ARGV: 1 reservation, 2 how many more tokens, 3 tokens per minute ('' for no limit), 4 money in all ('' where none is limited), 5-7 limits of day, month, total ('' for none), 8 day, 9 month,
-- 10 lease in ms, 11 how long the money is kept in ms, 12-14 what the ledger says is spent ('' if it was not asked).
-- Answers a verdict, the tokens of this minute, and all sums.
local now = now_us()
local tpm, tokens = tonumber(ARGV[3]), 0
if tpm then
  tokens = used(KEYS[1], tpm, now)
  if tokens + tonumber(ARGV[2]) > tpm then return {'tokens', exact(tokens)} end
end
local money = KEYS[2]
if ARGV[4] ~= '' then
  if redis.call('HEXISTS', money, 'seeded') == 0 then
    if ARGV[12] == '' then return {'unseeded'} end
    redis.call('HSET', money, 'seeded', whole(now / 1000), 'd', ARGV[8], 'd:s', ARGV[12], 'd:c', ARGV[12], 'm', ARGV[9], 'm:s', ARGV[13], 'm:c', ARGV[13], 't', '0', 't:s', ARGV[14], 't:c', ARGV[14])
  end
  turn_to(money, ARGV[8], ARGV[9])
  end_leases(money, KEYS[3], now / 1000)
  local numbers, before = release(money, ARGV[1])
  numbers = numbers or {redis.call('HGET', money, 'd'), redis.call('HGET', money, 'm'), '0'}
  local short = hold(money, numbers, ARGV[4], {ARGV[5], ARGV[6], ARGV[7]})
  if short and before then
    hold(money, numbers, before, {'', '', ''})
    note(money, ARGV[1], before, numbers)
  end
  if not short then
    note(money, ARGV[1], ARGV[4], numbers)
    redis.call('ZADD', KEYS[3], whole(now / 1000 + ARGV[10]), ARGV[1])
  end
  redis.call('PEXPIRE', money, ARGV[11])
  redis.call('PEXPIRE', KEYS[3], ARGV[11])
  if short then return tell(money, short, exact(tokens)) end
end
if tpm then
  tokens = tokens + tonumber(ARGV[2])
  put(KEYS[1], tokens, tpm, now)
end
if ARGV[4] == '' then return {'ok', exact(tokens)} end
return tell(money, 'ok', exact(tokens))
