-- KEYS: pauses, refusals   ARGV: tenant, pause, refusals that the fleet pauses itself for (0: an operator does), how
-- long they are counted (s), entry of the audit log or ''
-- Returns 1 when the pause is written.
local most = tonumber(ARGV[3])
if most > 0 then
  local refusals = redis.call('INCR', KEYS[2])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  if refusals < most or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
  redis.call('DEL', KEYS[2])
end
local pause = cjson.decode(ARGV[2])
pause.since_ms = now_ms()
pause.probed_ms = pause.since_ms
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(pause))
note_action(ARGV[5], {before = facts_of_pause(before)})
return 1
