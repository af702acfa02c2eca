-- KEYS: journals
local found = {}
for i, key in ipairs(KEYS) do
  local entries = redis.pcall('LRANGE', key, 0, -1)
  found[i] = entries.err and {} or entries -- not a list: nothing of ours
end
return found
