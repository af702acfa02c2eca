-- KEYS: incidents
-- ARGV: for each change its field, what it held ('' for nothing), and what it holds from now on ('' for nothing)
-- Two processes see the same at the same time: the first one writes, and tells of it in its log.
local done = {}
for i = 1, #ARGV, 3 do
  local is_mine = (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1]
  if is_mine then
    if ARGV[i + 2] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
  end
  done[#done + 1] = is_mine and 1 or 0
end
return done
