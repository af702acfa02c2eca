-- KEYS: models that cannot be used   ARGV: model, for how long (s), why
local time = redis.call('TIME')
local till = (tonumber(time[1]) + tonumber(ARGV[2])) * 1000000 + tonumber(time[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', till) .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
