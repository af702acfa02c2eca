-- KEYS: pending, dead letters   ARGV: longest document, letter, most letters
-- Cuts the newest document, if it is too large. Looking at it would copy it four times on its way to a script; how much
-- memory a list takes costs nothing. With one sample that is its newest node times the number of nodes, and a document
-- that is too large has a node of its own.
local count = redis.call('LLEN', KEYS[1])
local bytes = count > 0 and redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 1)
if type(bytes) ~= 'number' or bytes <= ARGV[1] * (count == 1 and 1 or 2 * count) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)
redis.call('LTRIM', KEYS[1], 1, -1)
return 1
