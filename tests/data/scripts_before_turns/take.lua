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
