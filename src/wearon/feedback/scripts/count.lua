-- KEYS: what feedback said to estimates of that day, counters of that month
-- ARGV: estimate, cell of the counters, verdict, stated probabilities of right and of larger (thousandths), most
-- estimates of a day, most counters of a month, seconds until each of the two expires
-- Returns -1 when there is no more room, else how many verdicts have changed.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before == ARGV[3] then return 0 end
if not before then
  local full = redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) or redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[7])
  if full then return -1 end
end
local function count(verdict, by)
  redis.call('HINCRBY', KEYS[2], ARGV[2] .. verdict, by)
  if verdict ~= 'returned' then
    redis.call('HINCRBY', KEYS[2], ARGV[2] .. 'stated_right', by * ARGV[4])
    redis.call('HINCRBY', KEYS[2], ARGV[2] .. 'stated_larger', by * ARGV[5])
  end
end
if before then count(before, -1) end
count(ARGV[3], 1)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('EXPIRE', KEYS[2], ARGV[9])
return 1
