-- More requests: all of them or none. KEYS: meter of requests, visits. ARGV: requests per minute, requests at once ('' for no limit), lease in ms, then the visits. Answers a verdict, and the
-- requests of this minute.
local now = now_us()
local rpm, at_once, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local count = #ARGV - 3
local requests = rpm and used(KEYS[1], rpm, now) or 0
if at_once then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now / 1000))
  if redis.call('ZCARD', KEYS[2]) + count > at_once then return {'concurrency', exact(requests)} end
end
if rpm then
  if requests + count > rpm then return {'requests', exact(requests)} end
  requests = requests + count
  put(KEYS[1], requests, rpm, now)
end
if at_once then
  for i = 4, #ARGV do
    redis.call('ZADD', KEYS[2], whole(now / 1000 + lease), ARGV[i])
  end
  redis.call('PEXPIRE', KEYS[2], lease)
end
return {'ok', exact(requests)}
