-- KEYS: pauses   ARGV: tenant, entry of the audit log
-- Returns 0 when there was no pause.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
note_action(ARGV[2], {before = facts_of_pause(before)})
return 1
