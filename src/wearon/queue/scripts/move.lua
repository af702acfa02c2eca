-- KEYS: pending, dead letters, tasks
-- ARGV: longest document, bytes kept of a longer one, most letters, time, bytes at once, documents at once
-- Moves the oldest documents on, up to the first that is too large, and answers with them. That one is cut where it
-- lies: to move it and cut it there took Redis three times as long.
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[3], 'list')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local no_letters = wrong_type(KEYS[2], 'list')
local found, cut, bytes = {}, {}, 0
while #found < tonumber(ARGV[6]) and bytes < tonumber(ARGV[5]) and not cut[1] do
  local document = redis.call('LINDEX', KEYS[3], -1 - #found)
  if not document then break end
  if #document > tonumber(ARGV[1]) and no_letters then
    if #found == 0 then return redis.error_reply('WRONGTYPE ' .. no_letters) end
    break -- what lies before it goes on
  elseif #document > tonumber(ARGV[1]) then
    cut[1] = cut_document(KEYS[2], document, tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
  else
    redis.call('LPUSH', KEYS[1], document)
    found[#found + 1] = document
    bytes = bytes + #document
  end
end
if #found + #cut > 0 then redis.call('LTRIM', KEYS[3], 0, -1 - #found - #cut) end
return {found, cut}
