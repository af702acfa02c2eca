local function wrong_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found == wanted or found == 'none' then return nil end
  return key .. ' is a ' .. found .. ', not a ' .. wanted
end
local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Turns: names as in wearon.queue.keys. What these keys hold follows from the jobs, so one of a wrong type is deleted.
local LINE, TURNS, TURNS_PAST, WAITING = 'wearon:pending:', 'wearon:turns', 'wearon:turns:past', 'wearon:waiting'
local HELD, RUNNING_OF_TENANTS = 'wearon:running:by-worker', 'wearon:running:tenants'
local SUMS = 'wearon:running:sums'
-- Jobs that fail and refund a session, which take no slot and no turn. Versions before this one find them when they are
-- due some minutes later.
local REJECTS = LINE .. 'reject'
local function is_reject(job) return string.sub(job, 1, 7) == 'reject:' end
-- A job that is in a line, or runs, is due so much later (ms): takes do not meet it. Workers of versions without lines
-- find it there, as the reconcilers of all versions do; were line or worker lost, it would start then.
local WAITS_FOR, RUNS_FOR = 300000, 660000

local function make_sound(key, wanted)
  if wrong_type(key, wanted) then redis.call('DEL', key) end
end
local function make_turns_sound()
  for _, key in ipairs({TURNS, TURNS_PAST, WAITING, HELD, REJECTS}) do make_sound(key, 'zset') end
  make_sound(RUNNING_OF_TENANTS, 'hash')
  make_sound(SUMS, 'hash')
end
local function tenant_of(job)
  local name = string.match(job, '^reject:(.*)$') or job
  if string.sub(name, 1, 4) == 'b2c:' then return 'b2c' end
  return string.match(name, '^(b2b:[^:]+):')
end
-- Its turn comes as if it had always been there, without credit for the time in which nothing of it waited.
local function give_turns(tenant)
  if redis.call('ZSCORE', TURNS, tenant) then return end
  local now, own = redis.call('ZSCORE', TURNS_PAST, '*'), redis.call('ZSCORE', TURNS_PAST, tenant)
  redis.call('ZADD', TURNS, math.max(tonumber(now or 0), tonumber(own or 0)), tenant)
  redis.call('ZREM', TURNS_PAST, tenant)
end
local function enter_line(job, tenant, place)
  if is_reject(job) then return redis.call('ZADD', REJECTS, 'NX', place, job) end
  local line = LINE .. tenant
  make_sound(line, 'zset')
  redis.call('ZADD', line, 'NX', place, job)
  redis.call('ZADD', WAITING, redis.call('ZCARD', line), tenant)
  give_turns(tenant)
end
local function leave_line(job)
  if is_reject(job) then redis.call('ZREM', REJECTS, job) end -- and that of the store, where earlier versions put it
  local tenant = tenant_of(job)
  if not tenant or not redis.call('ZSCORE', WAITING, tenant) then return end
  local line = LINE .. tenant
  make_sound(line, 'zset')
  redis.call('ZREM', line, job)
  local left = redis.call('ZCARD', line)
  if left > 0 then redis.call('ZADD', WAITING, left, tenant) else redis.call('ZREM', WAITING, tenant) end
end
-- What a job adds to its worker's sum, as `TakenJob.part_of_sum`. Those of a thousand jobs add up exactly in a double.
local function part_of_sum(job) return tonumber(string.sub(redis.sha1hex(job), 1, 10), 16) end
local function add_to_sum(worker, part)
  local sum = redis.pcall('HINCRBY', SUMS, worker, string.format('%.0f', part))
  if sum == 0 or type(sum) == 'table' then redis.call('HDEL', SUMS, worker) end
end
local function note_running(worker, job)
  local tenant = tenant_of(job)
  if redis.call('ZADD', HELD, 0, worker .. '\n' .. job) == 0 then return end
  add_to_sum(worker, part_of_sum(job))
  if tenant then redis.pcall('HINCRBY', RUNNING_OF_TENANTS, tenant, 1) end
end
local function note_not_running(worker, job)
  local tenant = tenant_of(job)
  if redis.call('ZREM', HELD, worker .. '\n' .. job) == 0 then return end
  add_to_sum(worker, -part_of_sum(job))
  if not tenant then return end
  local running = redis.pcall('HINCRBY', RUNNING_OF_TENANTS, tenant, -1)
  if type(running) == 'table' or running <= 0 then redis.call('HDEL', RUNNING_OF_TENANTS, tenant) end
  if redis.call('ZSCORE', WAITING, tenant) then give_turns(tenant) end
end
local function make_due(queue, job, now)
  local due = redis.call('ZSCORE', queue, job)
  if due and tonumber(due) > now then redis.call('ZADD', queue, now, job) end
end
-- Whether another worker, or this one, has taken the job since it was taken with this token. `starts`: what its number
-- of starts was then. Free, it may wait in its line or be due; another token, or a later due time, is a later take's.
local function was_taken_since(queue, job, token, starts_key, starts)
  local due = redis.call('ZSCORE', queue, job)
  if not due or tonumber(due) == tonumber(token) then return false end
  local counted = redis.pcall('GET', starts_key)
  if type(counted) == 'string' and (tonumber(counted) or 0) > tonumber(starts or math.huge) then return true end
  due = tonumber(due)
  if due % 1 == 0.5 then return true end
  if is_reject(job) and redis.call('ZSCORE', REJECTS, job) then return false end
  local tenant = tenant_of(job)
  if tenant then
    make_sound(LINE .. tenant, 'zset')
    if redis.call('ZSCORE', LINE .. tenant, job) then return false end
  end
  return due > now_ms()
end
-- Its session is being failed and refunded: an operator has cancelled it, or another task of it has failed.
local function is_being_failed(refunds, job)
  local channel, owner, session = string.match(job, '^(b2[bc]):([^:]*):(.*)$')
  local intent = channel and redis.pcall('HGET', refunds, channel .. ':' .. session)
  local known, fields = pcall(cjson.decode, intent)
  return known and type(fields) == 'table' and fields.owner_id == owner
end
-- What a person did goes to the audit log, bounded. `entry`: '' is none; `known`: what only the script could see of it.
-- A Redis that is full, or whose audit log is something else, must not keep people from acting: the log has a line, too.
local AUDIT_LOG, AUDIT_ENTRIES = 'wearon:audit-log', 10000
local function note_action(entry, known)
  if entry == '' then return end
  local noted = cjson.decode(entry)
  for name, value in pairs(known or {}) do noted[name] = value end
  noted.at_ms = now_ms()
  local written = cjson.encode(noted)
  redis.pcall('LPUSH', AUDIT_LOG, written)
  redis.pcall('LTRIM', AUDIT_LOG, 0, AUDIT_ENTRIES - 1)
  return written
end
-- What the audit log says of a pause that was there; nil: there was none.
local function facts_of_pause(written)
  if not written then return nil end
  local facts, readable, pause = {paused = true}, pcall(cjson.decode, written)
  if not readable or type(pause) ~= 'table' then return facts end
  for _, name in ipairs({'kind', 'by', 'reason'}) do
    if type(pause[name]) == 'string' then facts[name] = string.sub(pause[name], 1, 1200) end
  end
  return facts
end
-- The pause of the whole fleet; nil: there is none. One that cannot be read is an operator's.
local function pause_of_fleet(pauses)
  local written = redis.pcall('HGET', pauses, '*')
  if type(written) ~= 'string' then return nil end
  local readable, pause = pcall(cjson.decode, written)
  return readable and type(pause) == 'table' and pause or {}
end
-- Whether one job may start in spite of the fleet's own pause, to see whether what was refused is granted again.
local function probe_is_due(pause, running, now, spacing)
  if pause.kind ~= 'breaker' or now < (tonumber(pause.probed_ms) or 0) + tonumber(spacing) then return false end
  return type(pause.probe) ~= 'string' or redis.call('HEXISTS', running, pause.probe) == 0
end
-- Keeps the start of a document that is too large as a dead letter. Returns what there is to say of it.
local function cut_document(letters, document, kept, most, at)
  local id = 'cut-' .. string.sub(redis.sha1hex(string.sub(document, 1, kept) .. #document), 1, 8)
  local reason = #document .. ' bytes: longer than any task'
  -- Escapes are ASCII: whatever the bytes are, the letter is JSON that everybody can read.
  local payload = string.gsub(string.sub(document, 1, kept), '[^\32-\126]', '?')
  redis.call('LPUSH', letters, cjson.encode({id = id, at = at, reason = reason, payload = payload}))
  redis.call('LTRIM', letters, 0, most - 1)
  return {id, reason, payload}
end
