-- KEYS: queue, running, refund outbox, job, starts
-- ARGV: job id, session's field in the outbox, intent, also a job that runs (1 or 0), session's owner, entry of the
-- audit log or ''
-- Returns the session's intent; false: its job runs, and is let finish.
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if owner and ARGV[4] == '0' then return false end
redis.call('HSETNX', KEYS[3], ARGV[2], ARGV[3])
local intent = redis.call('HGET', KEYS[3], ARGV[2])
local known, fields = pcall(cjson.decode, intent)
-- A task that named the session with another owner was refused just now: its intent will be gone in a moment.
if not known or fields.owner_id ~= ARGV[5] then return redis.error_reply('TRYAGAIN an intent of another owner') end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
leave_line(ARGV[1])
if owner then note_not_running(owner, ARGV[1]) end
redis.call('DEL', KEYS[4], KEYS[5])
note_action(ARGV[6])
return intent
