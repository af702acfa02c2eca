-- KEYS: journals
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('LRANGE', key, 0, -1) end
return found
