-- KEYS: queue   ARGV: job ids   Returns the places (from 1) of those that are there, or are to be rejected.
local found = {}
for place, job in ipairs(ARGV) do
  if redis.call('ZSCORE', KEYS[1], job) or redis.call('ZSCORE', KEYS[1], 'reject:' .. job) then
    found[#found + 1] = place
  end
end
return found
