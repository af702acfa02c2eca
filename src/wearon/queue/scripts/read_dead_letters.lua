-- KEYS: dead letters   ARGV: passed over, from which end ('newest' or 'oldest'), most entries, enough bytes
local found, bytes, passed = {}, 0, tonumber(ARGV[1])
local last = passed + tonumber(ARGV[3])
while passed < last and bytes < tonumber(ARGV[4]) do
  local oldest = ARGV[2] == 'oldest'
  local entries = oldest and redis.call('LRANGE', KEYS[1], -passed - 5, -passed - 1)
    or redis.call('LRANGE', KEYS[1], passed, passed + 4)
  if #entries == 0 then break end
  for i = 1, #entries do
    local entry = entries[oldest and #entries + 1 - i or i]
    found[#found + 1] = entry
    bytes = bytes + #entry
  end
  passed = passed + 5
end
return found
