-- KEYS: workers, capacity, running, jobs, refunds, pending, reports, data id
-- ARGV: worker id, lease (ms), capacity, report, time for latecomers (ms), a new data id, longest delay (ms)
local wrong = wrong_type(KEYS[1], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local bad, usable = {}, {}
for i, wanted in ipairs({'zset', 'hash', 'hash', 'zset', 'hash', 'list', 'hash', 'string'}) do
  local words = wrong_type(KEYS[i], wanted)
  usable[i] = not words
  if words then bad[#bad + 1] = KEYS[i]; bad[#bad + 1] = words end
end
local now = now_ms()
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) <= now then
  for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZADD', KEYS[1], now + ARGV[5], silent)
  end
end
-- Not even an older version lasts for two leases: this server's clock was ahead, or the entry is nonsense.
for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 2 * ARGV[2], '+inf')) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], far)
end
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
local alone = redis.call('ZCARD', KEYS[1]) - known == 0 and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local data_id = ''
if usable[8] then
  redis.call('SET', KEYS[8], ARGV[6], 'NX')
  data_id = redis.call('GET', KEYS[8])
end
if usable[2] then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
if usable[7] and ARGV[4] ~= '' then redis.call('HSET', KEYS[7], ARGV[1], ARGV[4]) end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
end
if usable[7] then
  for _, reporter in ipairs(redis.call('HKEYS', KEYS[7])) do
    if not redis.call('ZSCORE', KEYS[1], reporter) then redis.call('HDEL', KEYS[7], reporter) end
  end
end
local capacity = 0
if usable[2] then
  local slots = redis.call('HGETALL', KEYS[2])
  for i = 1, #slots, 2 do
    local count = tonumber(slots[i + 1])
    if not redis.call('ZSCORE', KEYS[1], slots[i]) then
      redis.call('HDEL', KEYS[2], slots[i])
    elseif count and count > 0 and count <= 1000 then
      capacity = capacity + count
    end
  end
else
  capacity = tonumber(ARGV[3]) -- as far as this worker knows
end
local jobs, startable, freed, mine = 0, 0, {}, {}
if usable[4] then
  jobs = redis.call('ZCARD', KEYS[4])
  startable = redis.call('ZCOUNT', KEYS[4], '-inf', now)
  for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], now + ARGV[7], '+inf', 'LIMIT', 0, 100)) do
    redis.call('ZADD', KEYS[4], now, far)
  end
end
if usable[3] and usable[4] then
  local running = redis.call('HGETALL', KEYS[3])
  for i = 1, #running, 2 do
    local job, owner = running[i], running[i + 1]
    local place = redis.call('ZSCORE', KEYS[4], job)
    if not redis.call('ZSCORE', KEYS[1], owner) then
      redis.call('HDEL', KEYS[3], job)
      freed[#freed + 1] = job
    else
      if place and tonumber(place) <= now then startable = startable - 1 end
      if owner == ARGV[1] then mine[#mine + 1] = job; mine[#mine + 1] = place or '' end
    end
  end
end
return {
  known, alone, data_id, usable[3] and usable[4] and 1 or 0, mine, bad, freed, capacity, jobs, startable,
  usable[5] and redis.call('HLEN', KEYS[5]) or 0, usable[6] and redis.call('LLEN', KEYS[6]) or 0,
  usable[4] and usable[6] and 1 or 0
}
