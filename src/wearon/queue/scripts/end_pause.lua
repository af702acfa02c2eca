-- KEYS: pauses   ARGV: when the pause began (ms), ended (1) or the next probe may start at once (0)
-- Only a pause that the fleet made itself, and the one that was meant.
local pause = pause_of_fleet(KEYS[1])
if not pause or pause.kind ~= 'breaker' or pause.since_ms ~= tonumber(ARGV[1]) then return 0 end
if ARGV[2] == '1' then return redis.call('HDEL', KEYS[1], '*') end
pause.probed_ms = 0
redis.call('HSET', KEYS[1], '*', cjson.encode(pause))
return 1
