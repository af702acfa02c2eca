-- KEYS: pending, job, queue, wake   ARGV: document, job id, job, wake another machine (1 or 0)
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[3], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  return redis.call('ZCARD', KEYS[3]) -- another process has enqueued it
end
redis.call('SET', KEYS[2], ARGV[3], 'NX')
-- Whether or not the job was there already: one that had lost its place in the queue gets it back.
local added = redis.call('ZADD', KEYS[3], 'NX', now_ms(), ARGV[2])
redis.call('LREM', KEYS[1], 1, ARGV[1])
if added == 1 and ARGV[4] == '1' and not wrong_type(KEYS[4], 'list') then
  redis.call('LPUSH', KEYS[4], '')
  redis.call('LTRIM', KEYS[4], 0, 99)
end
return redis.call('ZCARD', KEYS[3])
