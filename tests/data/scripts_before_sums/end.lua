-- KEYS: running, queue, job, starts, refund outbox
-- ARGV: worker id, job id, token, done or again, delay (ms), job as it is to be run again or '', it was a start (1, 0),
--       number of its starts
local wrong = wrong_type(KEYS[1], 'hash') or wrong_type(KEYS[2], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
make_turns_sound()
local owner = redis.call('HGET', KEYS[1], ARGV[2])
if owner and owner ~= ARGV[1] or was_taken_since(KEYS[2], ARGV[2], ARGV[3], KEYS[4], ARGV[8]) then
  return 0 -- it has been taken since, perhaps by this worker
end
if not owner then leave_line(ARGV[2]) end -- it was freed, and waits for its turn
-- Cancelled while it ran: its worker, which did not know yet, must not bring it back.
local cancelled = not owner and is_being_failed(KEYS[5], ARGV[2])
if ARGV[4] == 'done' or cancelled then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('DEL', KEYS[3], KEYS[4])
else
  if ARGV[6] ~= '' then redis.call('SET', KEYS[3], ARGV[6]) end
  redis.call('ZADD', KEYS[2], now_ms() + ARGV[5], ARGV[2])
  if ARGV[7] == '0' then redis.pcall('DECR', KEYS[4]) end
end
redis.call('HDEL', KEYS[1], ARGV[2])
note_not_running(ARGV[1], ARGV[2])
return 1
