-- KEYS: running, queue, starts   ARGV: worker id, job id, its score as it was seen ('' for none), take a start back
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[1] then return 0 end
local score = redis.call('ZSCORE', KEYS[2], ARGV[2]) or ''
if score ~= ARGV[3] then return 0 end
make_turns_sound()
if ARGV[4] == '1' and redis.call('EXISTS', KEYS[3]) == 1 then redis.pcall('DECR', KEYS[3]) end
make_due(KEYS[2], ARGV[2], now_ms())
redis.call('HDEL', KEYS[1], ARGV[2])
note_not_running(ARGV[1], ARGV[2])
return 1
