-- KEYS: sessions by time, their lines
-- ARGV: before this time ('+inf': from the newest), not before that one, lines looked at, most found, number of fields,
--       the fields as they stand in a line, then texts of which an id must hold one
local rank = ARGV[1] == '+inf' and 0 or redis.call('ZCOUNT', KEYS[1], ARGV[1], '+inf')
local some = redis.call('ZREVRANGE', KEYS[1], rank, rank + ARGV[3] - 1, 'WITHSCORES')
local since, most, fields = tonumber(ARGV[2]) or -math.huge, tonumber(ARGV[4]), tonumber(ARGV[5])
local ids = {}
for i = 1, #some, 2 do ids[#ids + 1] = some[i] end
local lines = #ids > 0 and redis.call('HMGET', KEYS[2], unpack(ids)) or {}

local function wanted(id, line)
  for i = 6, 5 + fields do
    if not string.find(line, ARGV[i], 1, true) then return false end
  end
  if #ARGV == 5 + fields then return true end
  -- The ids are what stands before the channel. Quotes within texts are escaped, so this is a key.
  local ids_end = string.find(line, ',"channel":', 1, true) or 0
  for i = 6 + fields, #ARGV do
    local at = string.find(line, ARGV[i], 1, true)
    if at and at < ids_end or string.find(id, ARGV[i], 1, true) then return true end
  end
  return false
end

local found, cursor, done = {}, '', #ids < tonumber(ARGV[3])
for i, id in ipairs(ids) do
  if tonumber(some[2 * i]) < since then
    done = true
    break
  end
  cursor = some[2 * i]
  if lines[i] and wanted(id, lines[i]) then
    for _, part in ipairs({id, cursor, lines[i]}) do found[#found + 1] = part end
    if #found == 3 * most then
      done = done and i == #ids
      break
    end
  end
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {done and 1 or 0, cursor, found, redis.call('ZCARD', KEYS[1]), oldest[2] or ''}
