-- KEYS: outbox, settled, lock   ARGV: session, intent, its stamp, token
-- The intent that is to be settled. One that a failover lost is written again, unless it was settled.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry then return entry end
if redis.call('GET', KEYS[2]) == ARGV[3] then
  if redis.call('GET', KEYS[3]) == ARGV[4] then redis.call('DEL', KEYS[3]) end
  return false
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ARGV[2]
