-- Requests are still being answered. KEYS: visits. ARGV: lease in ms, then the visits. One that has ended meanwhile is not brought back.
local ends = whole(now_us() / 1000 + ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 'ok'
