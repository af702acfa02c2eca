-- KEYS: next free start (us), models that cannot be used
-- ARGV: spacing (us), probe spacing (us), models in the order in which they are to be asked
-- Returns the wait (us), the place of the model to ask (0: none), and for each model why it is passed over, or ''.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local A_DAY = 86400000000
local reasons, place = {}, 0
if #ARGV > 2 then
  local known = redis.pcall('HMGET', KEYS[2], '', unpack(ARGV, 3))
  if known.err then
    if not string.find(known.err, 'WRONGTYPE') then return known end
    redis.call('DEL', KEYS[2]) -- no more than what every model will say again
    known = redis.call('HMGET', KEYS[2], '', unpack(ARGV, 3))
  end
  local longest_ago, soonest = 1, math.huge
  for i = 2, #known do
    local till, why = string.match(known[i] or '', '^(%d+) (.*)$')
    till = tonumber(till or '0')
    if till > now + A_DAY then till = 0 end -- nobody passes a model over for so long
    reasons[i - 1] = till > now and why or ''
    if till <= now and place == 0 then place = i - 1 end
    if till < soonest then longest_ago, soonest = i - 1, till end
  end
  if place == 0 then
    local again = tonumber(known[1] or '0') or 0
    if now < again and again < now + A_DAY then return {0, 0, unpack(reasons)} end
    redis.call('HSET', KEYS[2], '', string.format('%.0f', now + tonumber(ARGV[2])))
    place = longest_ago
  end
end
-- What is no number, or is further ahead than a day, which no line is long, says nothing: it is written over.
local held = redis.pcall('GET', KEYS[1])
local start = type(held) == 'string' and tonumber(held) or 0
if not (start > now and start < now + A_DAY) then start = now end
local next_start = start + tonumber(ARGV[1])
-- Written in full, since Lua's own way rounds to 14 digits. Once it is past, the key says nothing and may expire.
redis.call('SET', KEYS[1], string.format('%.0f', next_start), 'PX', math.ceil((next_start - now) / 1000) + 1000)
return {start - now, place, unpack(reasons)}
