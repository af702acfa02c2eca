-- KEYS: pending, dead letters   ARGV: longest document, letter, most letters
-- Looking at a document copies it four times on its way to a script. How much memory a list takes costs nothing, and
-- says it all where there is only one.
local bytes = redis.call('LLEN', KEYS[1]) == 1 and redis.pcall('MEMORY', 'USAGE', KEYS[1])
if type(bytes) ~= 'number' or bytes <= tonumber(ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)
redis.call('DEL', KEYS[1])
return 1
