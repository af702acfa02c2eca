"""The Redis scripts by which jobs move. Each looks at the types first, and removes nothing before it has written.

A job's place in the queue carries a token: each take adds 1/1024 to its score (milliseconds since the epoch, so a
double holds it exactly). Whoever took a job names the token when it ends, gives back or writes down the job, and a
command that comes late, because it hung on a network that was away, finds a higher one and does nothing. All due
times are the Redis server's: machines need not agree about the time.
"""

CHECK_TYPES = """
local function wrong_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found == wanted or found == 'none' then return nil end
  return key .. ' is a ' .. found .. ', not a ' .. wanted
end
local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
"""

HAND_OVER = (
    CHECK_TYPES
    + """
-- KEYS: taken, job, queue, wake   ARGV: document, job id, job, wake another machine (1 or 0)
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[3], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
if not redis.call('LPOS', KEYS[1], ARGV[1]) then
  return redis.call('ZCARD', KEYS[3]) -- another process has handed it over
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
"""
)

TAKE = (
    CHECK_TYPES
    + """
-- KEYS: queue, running, workers
-- ARGV: how many at most, worker id, prefix of jobs, prefix of their starts, how long those are kept (s)
local wrong = wrong_type(KEYS[1], 'zset') or wrong_type(KEYS[2], 'hash') or wrong_type(KEYS[3], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local function about_the_key(answer)
  return string.find(answer.err, 'WRONGTYPE') or string.find(answer.err, 'not an integer')
end
local now = now_ms()
local taken = {now}
local lease_ends = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[2]) or 0)
if lease_ends <= now then
  return taken -- without a lease, the next beat of anybody would give these jobs to others
end
local left, offset = tonumber(ARGV[1]), 0
while left > 0 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', offset, 100)
  for i = 1, #due, 2 do
    local id = due[i]
    if left > 0 and redis.call('HSETNX', KEYS[2], id, ARGV[2]) == 1 then
      local token = string.format('%.17g', tonumber(due[i + 1]) + 1 / 1024)
      redis.call('ZADD', KEYS[1], 'XX', token, id)
      local starts = redis.pcall('INCR', ARGV[4] .. id)
      if type(starts) == 'table' then
        if not about_the_key(starts) then return starts end
        redis.call('SET', ARGV[4] .. id, 1) -- what it held was no number, and says nothing
        starts = 1
      end
      redis.call('EXPIRE', ARGV[4] .. id, ARGV[5])
      local job = redis.pcall('GET', ARGV[3] .. id)
      if type(job) == 'table' and not about_the_key(job) then return job end
      for _, part in ipairs({id, token, starts, type(job) == 'string' and job or ''}) do taken[#taken + 1] = part end
      left = left - 1
    end
  end
  if #due < 200 then break end
  offset = offset + 100
end
return taken
"""
)

END = (
    CHECK_TYPES
    + """
-- KEYS: running, queue, job, starts
-- ARGV: worker id, job id, token, done or again, delay (ms), job as it is to be run again or '', it was a start (1, 0)
local wrong = wrong_type(KEYS[1], 'hash') or wrong_type(KEYS[2], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local owner, score = redis.call('HGET', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[2], ARGV[2])
if owner and owner ~= ARGV[1] or score and tonumber(score) > tonumber(ARGV[3]) then
  return 0 -- somebody has taken it since, perhaps we ourselves
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
"""
)

RELEASE = """
-- KEYS: running, queue, starts   ARGV: worker id, job id, its score as it was seen ('' for none), take a start back
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[1] then return 0 end
local score = redis.call('ZSCORE', KEYS[2], ARGV[2]) or ''
if score ~= ARGV[3] then return 0 end
if ARGV[4] == '1' and redis.call('EXISTS', KEYS[3]) == 1 then redis.pcall('DECR', KEYS[3]) end
redis.call('HDEL', KEYS[1], ARGV[2])
return 1
"""

RESTORE = """
-- KEYS: running, queue, job, starts
-- ARGV: worker id, job id, token, job, number of starts, how long those are kept (s), Redis has lost its data (1 or 0)
local owner, score = redis.call('HGET', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[2], ARGV[2])
if owner and owner ~= ARGV[1] or score and tonumber(score) > tonumber(ARGV[3]) then
  return 0 -- somebody else has taken it
end
if not owner and not score and ARGV[7] == '0' then
  return 0 -- somebody else has taken it, and ended it
end
redis.call('SET', KEYS[3], ARGV[4], 'NX')
redis.call('SET', KEYS[4], ARGV[5], 'NX', 'EX', ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
return 1
"""
