-- KEYS: pending, queue, wake, tasks, running, all slots of the fleet, refund outbox, dead letters
-- ARGV: prefix of jobs, free slots beside the consumer, jobs of one store a day (0: no limit), prefix of their counts,
--       most dead letters, then for each document: itself, job id or '', job, the job that refuses it because of that
--       limit, its dead letter or ''
-- Returns how many jobs, tasks and rejects there are, whether dead letters can be kept, and the places (from 0) of the
-- documents whose letters are kept now.
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[2], 'zset')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
make_turns_sound()
local now, added, rejects = now_ms(), 0, 0
-- Two scripts may run within a millisecond, and the first one's jobs go first: microseconds, then one more for each job.
local since = now + redis.call('TIME')[2] % 1000 / 1024
local a_day = tonumber(ARGV[3])

local function is_over_the_limit(tenant)
  if a_day == 0 or not tenant or tenant == 'b2c' then return false end
  local day = ARGV[4] .. math.floor(now / 86400000)
  make_sound(day, 'hash')
  local accepted = redis.pcall('HINCRBY', day, tenant, 1)
  redis.call('EXPIRE', day, 172800)
  return type(accepted) == 'number' and accepted > a_day
end
local function enqueue(job, document, refusal)
  if is_being_failed(KEYS[7], job) then return end
  local tenant = tenant_of(job)
  if refusal ~= '' and not redis.call('ZSCORE', KEYS[2], job) and is_over_the_limit(tenant) then
    job, document = 'reject:' .. job, refusal
  end
  redis.call('SET', ARGV[1] .. job, document, 'NX')
  -- Whether or not the job was there already: one that had lost its place in the queue gets it back.
  if redis.call('ZADD', KEYS[2], 'NX', now + WAITS_FOR, job) == 0 then return end
  added = added + 1
  if is_reject(job) then rejects = rejects + 1 end
  enter_line(job, tenant, since + added / 1024)
end

local letters_fit, kept = not wrong_type(KEYS[8], 'list'), {}
for i = 6, #ARGV, 5 do
  local letter = ARGV[i + 4]
  -- The oldest is at the right end. What is not there has been enqueued by another process.
  if (letter == '' or letters_fit) and redis.call('LPOS', KEYS[1], ARGV[i], 'RANK', -1) then
    if letter ~= '' then
      redis.call('LPUSH', KEYS[8], letter)
      kept[#kept + 1] = (i - 6) / 5
    end
    if ARGV[i + 1] ~= '' then enqueue(ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
    redis.call('LREM', KEYS[1], -1, ARGV[i])
  end
end
if #kept > 0 then redis.call('LTRIM', KEYS[8], 0, ARGV[5] - 1) end
local slots = redis.pcall('GET', KEYS[6])
slots = type(slots) == 'string' and tonumber(string.match(slots, '^%d+')) or math.huge
local running = redis.pcall('HLEN', KEYS[5])
local idle_elsewhere = slots - (type(running) == 'number' and running or 0) - ARGV[2]
if not wrong_type(KEYS[3], 'list') then
  -- A job that only rejects a session needs no slot.
  for _ = 1, math.max(math.min(added - ARGV[2], idle_elsewhere, 100), math.min(rejects, 1)) do redis.call('LPUSH', KEYS[3], '') end
  redis.call('LTRIM', KEYS[3], 0, 99)
end
local tasks = redis.pcall('LLEN', KEYS[4])
local jobs = redis.call('ZCARD', KEYS[2])
return {jobs, type(tasks) == 'number' and tasks or 0, rejects, letters_fit and 1 or 0, kept}
