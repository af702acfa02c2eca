-- KEYS: queue, running, workers, pauses, all slots of the fleet
-- ARGV: how many at most, worker id, prefix of jobs, prefix of their starts, how long those are kept (s),
--       deadline of a job that has begun (ms), time between two probes (ms), how long a paused job is put aside (ms),
--       jobs of one store at once (0: half of the slots while others wait), weights of tenants (JSON),
--       how many at most that only reject a session, besides the others
local wrong = wrong_type(KEYS[1], 'zset') or wrong_type(KEYS[2], 'hash') or wrong_type(KEYS[3], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
make_turns_sound()
local function about_the_key(answer)
  return string.find(answer.err, 'WRONGTYPE') or string.find(answer.err, 'not an integer')
end
local now, me = now_ms(), ARGV[2]
local taken = {now}
local lease_ends = tonumber(redis.call('ZSCORE', KEYS[3], me) or 0)
if lease_ends <= now then
  return taken -- without a lease, the next beat of anybody would give these jobs to others
end
local left, failed = tonumber(ARGV[1]), nil

-- Whether it was free, and runs now.
local function start(job)
  if redis.call('HSETNX', KEYS[2], job, me) == 0 then return false end
  local token = string.format('%.17g', now + RUNS_FOR + 0.5)
  redis.call('ZADD', KEYS[1], 'XX', token, job)
  note_running(me, job)
  local starts = redis.pcall('INCR', ARGV[4] .. job)
  if type(starts) == 'table' then
    if not about_the_key(starts) then failed = starts end
    starts = 1
    if not failed then redis.call('SET', ARGV[4] .. job, 1) end -- what it held was no number, and says nothing
  end
  redis.pcall('EXPIRE', ARGV[4] .. job, ARGV[5])
  local document = redis.pcall('GET', ARGV[3] .. job)
  if type(document) == 'table' and not about_the_key(document) then failed = document end
  for _, part in ipairs({job, token, starts, type(document) == 'string' and document or ''}) do
    taken[#taken + 1] = part
  end
  if not is_reject(job) then left = left - 1 end
  return true
end

local pausable = not wrong_type(KEYS[4], 'hash')
local pause = pausable and pause_of_fleet(KEYS[4])
local probe = pause and probe_is_due(pause, KEYS[2], now, ARGV[7])
local function note_probe(job)
  probe, pause.probe, pause.probed_ms = false, job, now
  redis.call('HSET', KEYS[4], '*', cjson.encode(pause))
end
local function is_paused(tenant) return pausable and redis.call('HEXISTS', KEYS[4], tenant) == 1 end
local function is_past_deadline(job)
  local document = redis.pcall('GET', ARGV[3] .. job)
  local began = type(document) == 'string' and string.match(document, '"first_started_at": ?(%d+%.?%d*)')
  return (tonumber(began or 0) or 0) > 0 and now - began * 1000 >= tonumber(ARGV[6])
end
local function start_if_free(job) return left > 0 and start(job) end

-- Whether it is due no more. What can start joins its tenant's line, before the jobs that have not begun yet.
local function look_at(job, due)
  local tenant = tenant_of(job)
  if redis.call('HEXISTS', KEYS[2], job) == 1 then return false end
  if is_reject(job) and redis.call('ZSCORE', REJECTS, job) then
    redis.call('ZADD', KEYS[1], now + WAITS_FOR, job)
    return true
  end
  if tenant then make_sound(LINE .. tenant, 'zset') end
  if tenant and redis.call('ZSCORE', LINE .. tenant, job) then
    redis.call('ZADD', KEYS[1], now + WAITS_FOR, job)
    give_turns(tenant)
    return true
  end
  local tenant_paused = tenant and is_paused(tenant)
  if tenant_paused or pause then
    if is_past_deadline(job) then return start_if_free(job) end
    if not tenant_paused and probe and not is_reject(job) and start_if_free(job) then
      note_probe(job)
    else
      redis.call('ZADD', KEYS[1], now + ARGV[8], job)
    end
    return true
  end
  if not tenant then return start_if_free(job) end
  redis.call('ZADD', KEYS[1], now + WAITS_FOR, job)
  enter_line(job, tenant, due - 1e13)
  return true
end
local offset, moved = 0, 0
repeat
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', offset, 100)
  for i = 1, #due, 2 do
    if look_at(due[i], tonumber(due[i + 1])) then moved = moved + 1 else offset = offset + 1 end
  end
until failed or #due < 200 or moved >= 500

-- Those of paused tenants are put aside, as their other jobs are.
local rejects = tonumber(ARGV[11])
if not pause and rejects > 0 then
  for _, job in ipairs(redis.call('ZRANGE', REJECTS, 0, rejects - 1)) do
    if failed then break end
    redis.call('ZREM', REJECTS, job)
    local tenant = tenant_of(job)
    if tenant and is_paused(tenant) then
      redis.call('ZADD', KEYS[1], now + ARGV[8], job)
    elseif redis.call('ZSCORE', KEYS[1], job) then
      start(job)
    end
  end
end

local known, weights = pcall(cjson.decode, ARGV[10])
if not known then weights = {} end
local slots = redis.pcall('GET', KEYS[5])
slots = type(slots) == 'string' and tonumber(string.match(slots, '^%d+')) or math.huge
local at_once, half = tonumber(ARGV[9]), math.max(1, math.floor(slots / 2))
local last_turn = tonumber(redis.call('ZSCORE', TURNS_PAST, '*') or 0)
local function runs_at_least(count, tenant)
  return (tonumber(redis.call('HGET', RUNNING_OF_TENANTS, tenant) or 0) or 0) >= count
end
-- Its next job starts. One that has gone, or runs, has left its line only now.
local function take_turn(tenant, time)
  local line = LINE .. tenant
  make_sound(line, 'zset')
  local job = redis.call('ZRANGE', line, 0, 0)[1]
  if job then
    redis.call('ZREM', line, job)
    local is_there = redis.call('ZSCORE', KEYS[1], job)
    if is_there and pause and is_reject(job) then -- of an earlier version; it would ask for nothing
      redis.call('ZADD', KEYS[1], now + ARGV[8], job)
    elseif is_there and start(job) then
      last_turn = math.max(last_turn, time)
      if pause then note_probe(job) end
      time = time + 1 / (tonumber(weights[tenant]) or 1)
    end
  end
  local waiting = redis.call('ZCARD', line)
  if waiting > 0 then
    redis.call('ZADD', WAITING, waiting, tenant)
    redis.call('ZADD', TURNS, time, tenant)
  else
    redis.call('ZREM', WAITING, tenant)
    redis.call('ZREM', TURNS, tenant)
    redis.call('ZADD', TURNS_PAST, time, tenant)
  end
end
-- Those that hold half of the slots (two at most) are passed over as long as others wait.
local passed, alone = 0, false
while left > 0 and not failed and (probe or not pause) do
  local tenant, time = unpack(redis.call('ZRANGE', TURNS, passed, passed, 'WITHSCORES'))
  local store = tenant and tenant ~= 'b2c'
  if not tenant and passed == 0 then
    break
  elseif not tenant then
    passed, alone = 0, true
  elseif is_paused(tenant) or store and at_once > 0 and runs_at_least(at_once, tenant) then
    redis.call('ZREM', TURNS, tenant) -- until one of its jobs ends, or a heartbeat sees that the pause is over
    redis.call('ZADD', TURNS_PAST, time, tenant)
  elseif store and not alone and at_once == 0 and runs_at_least(half, tenant) then
    passed = passed + 1
  else
    take_turn(tenant, tonumber(time))
  end
end
if redis.call('ZCARD', TURNS) == 0 then
  redis.call('DEL', TURNS_PAST)
else
  redis.call('ZADD', TURNS_PAST, last_turn, '*')
  local over = '(' .. string.format('%.17g', last_turn)
  for _, past in ipairs(redis.call('ZRANGEBYSCORE', TURNS_PAST, '-inf', over, 'LIMIT', 0, 20)) do
    redis.call('ZREM', TURNS_PAST, past)
  end
end
return failed or taken
