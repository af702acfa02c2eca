-- KEYS: stores, charts of the store   ARGV: store, chart's name, entry of the audit log
-- Returns 0 when there was no such chart.
local kept = redis.call('HGET', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
local left = redis.call('HLEN', KEYS[2])
if left == 0 then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], left) end
if not kept then return 0 end
note_action(ARGV[3], {before = {version = tonumber(string.match(kept, '^(%d+) ')) or 0}})
return 1
