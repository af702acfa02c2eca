-- KEYS: running, queue, job, starts
-- ARGV: worker id, job id, token, done or again, delay (ms), job as it is to be run again or '', it was a start (1, 0)
local wrong = wrong_type(KEYS[1], 'hash') or wrong_type(KEYS[2], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local owner, score = redis.call('HGET', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[2], ARGV[2])
if owner and owner ~= ARGV[1] or score and tonumber(score) > tonumber(ARGV[3]) then
  return 0 -- it has been taken since, perhaps by this worker
end
if ARGV[4] == 'done' then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[3], KEYS[4])
else
  if ARGV[6] ~= '' then redis.call('SET', KEYS[3], ARGV[6]) end
  if ARGV[5] ~= '0' then
    score = now_ms() + ARGV[5]
  elseif not score then
    score = ARGV[3] -- it has lost its place
  end
  redis.call('ZADD', KEYS[2], score, ARGV[2])
  if ARGV[7] == '0' then redis.pcall('DECR', KEYS[4]) end
end
redis.call('HDEL', KEYS[1], ARGV[2])
return 1
