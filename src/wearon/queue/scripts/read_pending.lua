-- KEYS: pending, dead letters
-- ARGV: longest document, bytes kept of a longer one, bytes read at once, documents looked at, most letters, time,
--       marker
local longest, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local cut, found, bytes = {}, {}, 0

local function cut_out(index, document)
  local id = 'cut-' .. string.sub(redis.sha1hex(string.sub(document, 1, kept) .. #document), 1, 8)
  local reason = #document .. ' bytes: longer than any task'
  -- Escapes are ASCII: whatever the bytes are, the letter is JSON that everybody can read.
  local payload = string.gsub(string.sub(document, 1, kept), '[^\32-\126]', '?')
  redis.call('LPUSH', KEYS[2], cjson.encode({id = id, at = ARGV[6], reason = reason, payload = payload}))
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[5]) - 1)
  redis.call('LSET', KEYS[1], index, ARGV[7])
  redis.call('LREM', KEYS[1], -1, ARGV[7])
  cut[#cut + 1] = {id, reason, payload}
end

local number = -1
for _ = 1, tonumber(ARGV[4]) do
  if bytes > tonumber(ARGV[3]) then break end
  local document = redis.call('LINDEX', KEYS[1], number)
  if not document then break end
  if #document > longest then
    cut_out(number, document)
  else
    found[#found + 1] = document
    bytes = bytes + #document
    number = number - 1
  end
end
return {found, cut}
