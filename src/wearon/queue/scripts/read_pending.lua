-- KEYS: pending, dead letters
-- ARGV: longest document, bytes kept of a longer one, most letters, time, bytes read at once, documents looked at, marker
-- Answers with the oldest, up to the first that is too large: that one is cut. A document of hundreds of megabytes is
-- half a second's work for Redis, which must serve others before the next.
local found, cut, bytes, number = {}, {}, 0, -1
for _ = 1, tonumber(ARGV[6]) do
  local document = bytes <= tonumber(ARGV[5]) and redis.call('LINDEX', KEYS[1], number)
  if not document then break end
  if #document > tonumber(ARGV[1]) then
    cut[1] = cut_document(KEYS[2], document, tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
    redis.call('LSET', KEYS[1], number, ARGV[7])
    redis.call('LREM', KEYS[1], -1, ARGV[7])
    break
  end
  found[#found + 1] = document
  bytes = bytes + #document
  number = number - 1
end
return {found, cut}
