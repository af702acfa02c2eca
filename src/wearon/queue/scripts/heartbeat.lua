-- KEYS: workers, capacity, running, jobs, refunds, pending, reports, data id, pauses, all slots of the fleet
-- ARGV: worker id, lease (ms), capacity, report, time for latecomers (ms), a new data id, longest delay (ms),
--       time between two probes (ms), most paused tenants that are named,
--       ids of workers that have surely ended, sum of the jobs that run at this worker ('': list them in any case)
local wrong = wrong_type(KEYS[1], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local bad, usable = {}, {}
for i, wanted in ipairs({'zset', 'hash', 'hash', 'zset', 'hash', 'list', 'hash', 'string', 'hash'}) do
  local words = wrong_type(KEYS[i], wanted)
  usable[i] = not words
  if words then bad[#bad + 1] = KEYS[i]; bad[#bad + 1] = words end
end
make_turns_sound()
make_sound(KEYS[10], 'string')
local now, me = now_ms(), ARGV[1]
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) <= now then
  for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZADD', KEYS[1], now + ARGV[5], silent)
  end
end
-- Not even an older version lasts for two leases: this server's clock was ahead, or the entry is nonsense.
for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 2 * ARGV[2], '+inf')) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], far)
end
for dead in string.gmatch(ARGV[10] or '', '%S+') do
  redis.call('ZADD', KEYS[1], 'XX', 0, dead)
end
local known = redis.call('ZSCORE', KEYS[1], me) and 1 or 0
local alone = redis.call('ZCARD', KEYS[1]) - known == 0 and 1 or 0
redis.call('ZADD', KEYS[1], now + ARGV[2], me)
local data_id = ''
if usable[8] then
  redis.call('SET', KEYS[8], ARGV[6], 'NX')
  data_id = redis.call('GET', KEYS[8])
end
if usable[2] then redis.call('HSET', KEYS[2], me, ARGV[3]) end
if usable[7] and ARGV[4] ~= '' then redis.call('HSET', KEYS[7], me, ARGV[4]) end
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, worker in ipairs(dead) do redis.call('ZREM', KEYS[1], worker) end
local comparable = usable[3] and usable[4]
local living
local function lives(worker)
  if not living then
    living = {}
    for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do living[id] = true end
  end
  return living[worker]
end

-- Workers of earlier versions write `running` alone, and clear it alone when they free a job of ours.
local function write_held_again()
  local owners, running = {}, redis.call('HGETALL', KEYS[3])
  for i = 1, #running, 2 do owners[running[i]] = running[i + 1] end
  for _, held in ipairs(redis.call('ZRANGE', HELD, 0, -1)) do
    local job = string.match(held, '\n(.*)$') or ''
    local due = tonumber(redis.call('ZSCORE', KEYS[4], job) or 0)
    if not owners[job] and due % 1 == 0.5 then redis.call('ZADD', KEYS[4], now, job) end
  end
  redis.call('DEL', HELD, RUNNING_OF_TENANTS, SUMS)
  for job, worker in pairs(owners) do note_running(worker, job) end
end
-- A count that is too high keeps a store's jobs waiting, and only their ends would lower it. Adding them up once a minute
-- is enough.
local function counts_are_wrong(held_jobs)
  local sum = 0
  for _, count in ipairs(redis.call('HVALS', RUNNING_OF_TENANTS)) do sum = sum + (tonumber(count) or math.huge) end
  return sum > held_jobs
end
local function held_by(worker)
  -- '\v' is what follows '\n'.
  return redis.call('ZRANGE', HELD, '[' .. worker .. '\n', '(' .. worker .. '\v', 'BYLEX')
end
local function free_jobs_of(worker, freed)
  for _, held in ipairs(held_by(worker)) do
    local job = string.sub(held, #worker + 2)
    if redis.call('HGET', KEYS[3], job) == worker then
      redis.call('HDEL', KEYS[3], job)
      make_due(KEYS[4], job, now)
      freed[#freed + 1] = job
    end
    note_not_running(worker, job)
  end
end
local function free_jobs_of_the_dead()
  local freed, from = {}, '-'
  while true do
    local held = redis.call('ZRANGE', HELD, from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
    if not held then return freed end
    local worker = string.match(held, '^[^\n]*')
    if not lives(worker) then free_jobs_of(worker, freed) end
    from = '[' .. worker .. '\v'
  end
end
local function forget_the_dead(key)
  for _, worker in ipairs(redis.call('HKEYS', key)) do
    if not lives(worker) then redis.call('HDEL', key, worker) end
  end
end
local function count_slots()
  local capacity = 0
  for _, count in ipairs(redis.call('HVALS', KEYS[2])) do
    count = tonumber(count)
    if count and count > 0 and count <= 1000 then capacity = capacity + count end
  end
  return capacity
end
-- A pause is over, or a limit is higher now. A hundred tenants at once, any of them: with a thousand at their limit, all
-- would cost Redis this script and the next take some milliseconds.
local function give_turns_again()
  local waiting = redis.call('ZCARD', WAITING)
  if waiting <= redis.call('ZCARD', TURNS) then return end
  local first = redis.call('TIME')[2] % math.ceil(waiting / 100) * 100
  for _, tenant in ipairs(redis.call('ZRANGE', WAITING, first, first + 99)) do
    if redis.pcall('HEXISTS', KEYS[9], tenant) ~= 1 then give_turns(tenant) end
  end
end

-- What grows with the fleet is done once in a while by one process for all.
local capacity, at = string.match(redis.call('GET', KEYS[10]) or '', '^(%d+) (%d+)$')
local freed = {}
local held_jobs = redis.call('ZCARD', HELD)
if held_jobs == 0 then redis.call('DEL', SUMS) end
local uncounted = held_jobs > 0 and redis.call('EXISTS', RUNNING_OF_TENANTS) == 0
local differ = comparable and (uncounted or redis.call('HLEN', KEYS[3]) ~= held_jobs)
if differ then write_held_again() end
if #dead > 0 or known == 0 or differ or not at or now - tonumber(at) > ARGV[2] / 4 or now < tonumber(at) then
  if usable[7] then forget_the_dead(KEYS[7]) end
  forget_the_dead(SUMS)
  if usable[2] then
    forget_the_dead(KEYS[2])
    capacity = count_slots()
  else
    capacity = ARGV[3] -- as far as this worker knows
  end
  redis.call('SET', KEYS[10], capacity .. ' ' .. now)
  if comparable then
    local minute = math.floor(now / 60000) ~= math.floor((tonumber(at) or 0) / 60000)
    if not differ and minute and counts_are_wrong(held_jobs) then write_held_again() end
    freed = free_jobs_of_the_dead()
  end
  give_turns_again()
end
local jobs, startable, mine = 0, redis.call('ZCARD', TURNS) + redis.call('ZCARD', REJECTS), {}
if usable[4] then
  jobs = redis.call('ZCARD', KEYS[4])
  startable = startable + redis.call('ZCOUNT', KEYS[4], '-inf', now)
  for _, far in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], now + ARGV[7], '+inf', 'LIMIT', 0, 100)) do
    redis.call('ZADD', KEYS[4], now, far)
  end
end
-- As long as the jobs beside our name add up to the sum of those that run here, they are the same.
local same = known == 1 and ARGV[11] == (redis.call('HGET', SUMS, me) or '0')
if comparable and not same then
  local jobs_here = {}
  for i, held in ipairs(held_by(me)) do jobs_here[i] = string.sub(held, #me + 2) end
  local owners = #jobs_here > 0 and redis.call('HMGET', KEYS[3], unpack(jobs_here)) or {}
  local left = {}
  for i, job in ipairs(jobs_here) do
    if owners[i] and owners[i] ~= me then note_not_running(me, job) else left[#left + 1] = job end
    if owners[i] == me then mine[#mine + 1] = job; mine[#mine + 1] = redis.call('ZSCORE', KEYS[4], job) or '' end
  end
  if ARGV[11] ~= '' then -- versions without sums take jobs from us without lowering ours
    redis.call('HDEL', SUMS, me)
    local sum = 0
    for _, job in ipairs(left) do sum = sum + part_of_sum(job) end
    if sum > 0 then add_to_sum(me, sum) end
  end
end
local paused, written = {}, ''
if usable[9] then
  written = redis.call('HGET', KEYS[9], '*') or ''
  if #written > 4096 then written = '{}' end -- not ours, and too much for every heartbeat
  local pause = pause_of_fleet(KEYS[9])
  if pause and not (usable[3] and probe_is_due(pause, KEYS[3], now, ARGV[8])) then startable = 0 end
  if redis.call('HLEN', KEYS[9]) <= tonumber(ARGV[9]) then paused = redis.call('HKEYS', KEYS[9]) end
end
return {
  known, alone, data_id, comparable and (same and 2 or 1) or 0, mine, bad, freed, written, paused,
  tonumber(capacity), jobs, startable,
  usable[5] and redis.call('HLEN', KEYS[5]) or 0, usable[6] and redis.call('LLEN', KEYS[6]) or 0,
  usable[4] and usable[6] and 1 or 0
}
