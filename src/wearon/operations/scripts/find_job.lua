-- KEYS: running, queue, pending, the tenant's line, pauses, the job's document
-- ARGV: job id, id of the job that rejects it, tenant, documents read of the pending ones
local worker = redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[1], ARGV[2])
local due = redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('ZSCORE', KEYS[2], ARGV[2])
local place = redis.call('ZSCORE', KEYS[4], ARGV[1]) or redis.call('ZSCORE', KEYS[4], ARGV[2])
local ahead = place and redis.call('ZCOUNT', KEYS[4], '-inf', '(' .. place) or -1
local pending = {}
if not (worker or due or place) then pending = redis.call('LRANGE', KEYS[3], 0, ARGV[4] - 1) end
local paused = redis.call('HEXISTS', KEYS[5], '*') == 1 or redis.call('HEXISTS', KEYS[5], ARGV[3]) == 1
local clock = redis.call('TIME')
return {
  worker or '', due or '', ahead, pending, paused and 1 or 0, redis.call('GET', KEYS[6]) or '',
  clock[1] * 1000 + math.floor(clock[2] / 1000)
}
