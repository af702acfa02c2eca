-- KEYS: tasks, taken, jobs, running, dead letters, refunds, by hand, reports, workers, slots, day, incidents,
--   books, pauses, line of b2c, lines of tenants, retention, minutes...
-- ARGV: longest document that is looked at, field of the books, prefix of jobs, most pauses, lines by name, prefix of
--   lines
-- What cannot be read, because the key holds something else or a right is missing, looks empty and is named.
local refused = {}
local function ask(empty, command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) == 'table' and answer.err then
    refused[#refused + 1] = command; refused[#refused + 1] = key; refused[#refused + 1] = answer.err
    return empty
  end
  return answer or empty
end
local oldest_task = ask('', 'LINDEX', KEYS[1], -1)
if #oldest_task > tonumber(ARGV[1]) then oldest_task = '' end
local oldest_refund = ''
for _, intent in ipairs(ask({}, 'HVALS', KEYS[6])) do
  -- Not decoded: thousands of intents may lie here after an outage. Quotes within texts are escaped, so this is a key.
  local at = string.match(intent, '"completed_at": ?"([%d:%.T+-]+)"')
  if at and (oldest_refund == '' or at < oldest_refund) then oldest_refund = at end
end
-- Lines of tenants, the longest first: the longest by name, then how many wait in all, and since when (ms) the oldest.
local longest, in_lines, waits_since = {}, 0, ''
local lines = ask({}, 'ZREVRANGE', KEYS[16], 0, -1, 'WITHSCORES')
for i = 1, #lines, 2 do
  local count = tonumber(lines[i + 1])
  if not (count >= 0 and count < 1e9) then count = 0 end -- nobody's line: no script of ours wrote that
  in_lines = in_lines + count
  if i < 2 * tonumber(ARGV[5]) then longest[i], longest[i + 1] = lines[i], string.format('%.0f', count) end
  local first = i < 2000 and ask({}, 'ZRANGE', ARGV[6] .. lines[i], 0, 0, 'WITHSCORES')[2]
  local since = first and tonumber(first)
  if since and since < 0 then since = since + 1e13 end -- it has begun before, see take.lua
  if since and (waits_since == '' or since < waits_since) then waits_since = since end
end
local pauses = {'*', ask('', 'HGET', KEYS[14], '*')}
if pauses[2] == '' then pauses = {} end
if ask(0, 'HLEN', KEYS[14]) <= tonumber(ARGV[4]) then pauses = ask({}, 'HGETALL', KEYS[14]) end
-- While b2c is paused, those of its sessions that have waited for the longest time.
local waiting, seen = {}, {}
if ask(0, 'HEXISTS', KEYS[14], '*') + ask(0, 'HEXISTS', KEYS[14], 'b2c') > 0 then
  for _, line in ipairs({KEYS[15], KEYS[3]}) do
    for _, job in ipairs(ask({}, 'ZRANGE', line, 0, 99)) do
      local document = string.sub(job, 1, 4) == 'b2c:' and redis.pcall('GET', ARGV[3] .. job)
      local at = type(document) == 'string' and string.match(document, '"created_at": ?"([%d:%.T+Z-]+)"')
      if at and not seen[job] and ask(0, 'HEXISTS', KEYS[4], job) == 0 then
        seen[job] = true
        waiting[#waiting + 1] = job; waiting[#waiting + 1] = at
      end
    end
  end
end
local minutes = {}
for i = 18, #KEYS do minutes[#minutes + 1] = ask({}, 'HGETALL', KEYS[i]) end
return {
  redis.call('TIME'), ask(0, 'LLEN', KEYS[1]), oldest_task, ask(0, 'LLEN', KEYS[2]), ask(0, 'ZCARD', KEYS[3]),
  ask(0, 'HLEN', KEYS[4]), ask(0, 'LLEN', KEYS[5]), ask(0, 'HLEN', KEYS[6]), oldest_refund, ask(0, 'HLEN', KEYS[7]),
  ask({}, 'HGETALL', KEYS[8]), ask({}, 'ZRANGE', KEYS[9], 0, -1, 'WITHSCORES'), ask('0', 'GET', KEYS[10]),
  ask({}, 'HGETALL', KEYS[11]), ask({}, 'HGETALL', KEYS[12]), ask('', 'HGET', KEYS[13], ARGV[2]), pauses, waiting,
  longest, in_lines, tostring(waits_since), ask('', 'GET', KEYS[17]), minutes, refused
}
