-- KEYS: journal, request index, minute, day, sessions by time, their lines
-- ARGV: entry, most entries, kept (s), session id, kept minute (s), kept day (s), counts of the minute, the session's
--       line or '', what stays of a line that is there: nothing, ended, all but the refund; most lines, is b2c (1, 0),
--       most causes of a line, then all counts
local kept = tonumber(ARGV[3])
if kept > 0 then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
  redis.call('EXPIRE', KEYS[1], kept)
  if ARGV[11] == '1' then redis.call('SET', KEYS[2], ARGV[4], 'EX', kept) end
end
local in_minute = tonumber(ARGV[7])
for i = 13, #ARGV, 2 do
  local key = (i - 13) / 2 < in_minute and KEYS[3] or KEYS[4]
  -- Hundreds of stores at most are counted one by one.
  if string.sub(ARGV[i], 1, 8) ~= 'picture:' or redis.call('HLEN', key) < 300 then
    redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1])
  end
  redis.call('EXPIRE', key, key == KEYS[3] and ARGV[5] or ARGV[6])
end

-- The list of sessions. It comes last: when it cannot be written, history and counters are.
local session, line, stays = ARGV[4], ARGV[8], ARGV[9]
if kept <= 0 or line == '' then return end
local known = redis.call('HGET', KEYS[6], session)
local function has_ended()
  return string.find(known, '"status":"completed"', 1, true) or string.find(known, '"status":"failed"', 1, true)
end
if known and stays == 'ended' and has_ended() then return end
-- Quotes within texts are escaped, so this is a key; the ids in front of it hold no unescaped one either.
local function each_cause(text) return string.gmatch(string.match(text, '"causes":%[([^%]]*)%]') or '', '"[%l_:.]+"') end
if known and stays == 'all but the refund' and has_ended() then
  local refund = string.match(line, '"refund":"[%w_]+"')
  local rest = string.gsub(string.sub(known, 1, -2), ',"refund":"[%w_]*"', '')
  -- Counted for the cause, as a refund within the attempt is.
  local cause = string.match(each_cause(known)() or '', '^"[fe]%l+:(.*)"$')
  if cause and refund == '"refund":"given_back"' then redis.call('HINCRBY', KEYS[3], 'refunded:' .. cause, 1) end
  redis.call('HSET', KEYS[6], session, rest .. ',' .. refund .. '}')
  return
end
-- Why earlier attempts were retried stays.
local causes, listed = '', 0
for _, text in ipairs({line, known or ''}) do
  for cause in each_cause(text) do
    if listed < tonumber(ARGV[12]) and not string.find(causes, cause, 1, true) then
      causes, listed = causes .. (listed > 0 and ',' or '') .. cause, listed + 1
    end
  end
end
if listed > 0 then
  line = string.gsub(line, ',"causes":%[[^%]]*%]', '')
  line = string.sub(line, 1, -2) .. ',"causes":[' .. causes .. ']}'
end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('HSET', KEYS[6], session, line)
redis.call('ZADD', KEYS[5], string.format('%.0f', now), session)
local over = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', string.format('(%.0f', now - kept * 1000000), 'LIMIT', 0, 20)
local many = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[10])
if #over == 0 and many > 0 then over = redis.call('ZRANGE', KEYS[5], 0, math.min(many, 20) - 1) end
if #over > 0 then
  redis.call('ZREM', KEYS[5], unpack(over))
  redis.call('HDEL', KEYS[6], unpack(over))
end
redis.call('EXPIRE', KEYS[5], kept)
redis.call('EXPIRE', KEYS[6], kept)
