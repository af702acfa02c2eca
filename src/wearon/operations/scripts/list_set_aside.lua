-- KEYS: running, queue
-- ARGV: prefix of lines, most jobs that are looked at, most that are found
-- Jobs that are due later or again: with no worker, and not in their tenant's line. Each with its due time (ms).
local found = {}
local due = redis.call('ZRANGE', KEYS[2], 0, ARGV[2] - 1, 'WITHSCORES')
for i = 1, #due, 2 do
  local name = string.match(due[i], '^reject:(.*)$') or due[i]
  local tenant = string.match(name, '^(b2b:[^:]+):') or 'b2c'
  if redis.call('HEXISTS', KEYS[1], due[i]) == 0 and not redis.call('ZSCORE', ARGV[1] .. tenant, due[i]) then
    found[#found + 1], found[#found + 2] = due[i], due[i + 1]
    if #found >= 2 * tonumber(ARGV[3]) then break end
  end
end
return found
