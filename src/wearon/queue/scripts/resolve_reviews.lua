-- KEYS: refunds in review   ARGV: entry of the audit log; then of each its field, its session
-- Returns for each whether its review was still open.
local resolved, ids = {}, {}
for i = 2, #ARGV, 2 do
  local there = redis.call('HDEL', KEYS[1], ARGV[i])
  if there == 1 then ids[#ids + 1] = ARGV[i + 1] end
  resolved[#resolved + 1] = there
end
if #ids > 0 then note_action(ARGV[1], {ids = ids}) end
return resolved
