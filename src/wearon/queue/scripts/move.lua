-- KEYS: tasks, pending   ARGV: longest document, bytes at once, documents at once
-- Moves the oldest documents on, and answers with them. One that is too large to travel is moved, and not answered.
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[2], 'list')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local found, moved, bytes = {}, 0, 0
while moved < tonumber(ARGV[3]) and bytes < tonumber(ARGV[2]) do
  local document = redis.call('LINDEX', KEYS[1], -1 - moved)
  if not document then break end
  redis.call('LPUSH', KEYS[2], document)
  moved, bytes = moved + 1, bytes + #document
  if #document <= tonumber(ARGV[1]) then found[#found + 1] = document end
end
if moved > 0 then redis.call('LTRIM', KEYS[1], 0, -1 - moved) end
return {moved, found}
