-- KEYS: pauses   ARGV: tenant, entry of the audit log
-- Returns 0 when there was no pause.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
make_turns_sound()
if redis.call('ZSCORE', WAITING, ARGV[1]) then give_turns(ARGV[1]) end
note_action(ARGV[2], {before = facts_of_pause(before)})
return 1
