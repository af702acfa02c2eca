-- KEYS: running, queue, job, starts
-- ARGV: worker id, job id, token, job, number of starts, how long those are kept (s), Redis has lost its data (1 or 0)
local owner, score = redis.call('HGET', KEYS[1], ARGV[2]), redis.call('ZSCORE', KEYS[2], ARGV[2])
if owner and owner ~= ARGV[1] or was_taken_since(KEYS[2], ARGV[2], ARGV[3], KEYS[4], ARGV[5]) then
  return 0 -- another worker has taken it
end
if not owner and not score and ARGV[7] == '0' then
  return 0 -- another worker has taken it, and ended it
end
make_turns_sound()
leave_line(ARGV[2])
redis.call('SET', KEYS[3], ARGV[4], 'NX')
redis.call('SET', KEYS[4], ARGV[5], 'NX', 'EX', ARGV[6])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
note_running(ARGV[1], ARGV[2])
return 1
