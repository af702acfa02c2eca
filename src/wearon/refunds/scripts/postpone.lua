-- KEYS: outbox, settled, lock, errors   ARGV: session, intent, its stamp, token, why, what becomes of the lock, ms
-- Returns 0 when another process has settled the intent meanwhile, else 1: it is in the outbox.
local lock = redis.call('GET', KEYS[3])
if ARGV[6] == 'release' and lock == ARGV[4] then redis.call('DEL', KEYS[3]) end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  if redis.call('GET', KEYS[2]) == ARGV[3] then return 0 end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  if ARGV[6] == 'hold' and not lock then redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[7]) end
end
redis.call('HSET', KEYS[4], ARGV[1], ARGV[5])
return 1
