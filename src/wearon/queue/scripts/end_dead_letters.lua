-- KEYS: dead letters, tasks
-- ARGV: marker, entry of the audit log; then of each an entry, where it was in the list or '', its document if that is to
-- be pushed, else '', its letter's id
local wrong = wrong_type(KEYS[1], 'list') or wrong_type(KEYS[2], 'list')
if wrong then return redis.error_reply('WRONGTYPE ' .. wrong) end
local ended, marked, ids, pushed = {}, 0, {}, 0
for i = 3, #ARGV, 4 do
  local there = ARGV[i + 1] ~= '' and redis.call('LINDEX', KEYS[1], ARGV[i + 1]) == ARGV[i]
  if there and not redis.pcall('LSET', KEYS[1], ARGV[i + 1], ARGV[1]).err then
    marked = marked + 1 -- one look through the list takes all of these out
  else
    there = redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 -- it has moved, or Redis is full
  end
  -- Only who took the entry out pushes its document.
  if there and ARGV[i + 2] ~= '' then
    redis.call('LPUSH', KEYS[2], ARGV[i + 2])
    pushed = pushed + 1
  end
  if there then ids[#ids + 1] = ARGV[i + 3] end
  ended[#ended + 1] = there and 1 or 0
end
if marked > 0 then redis.call('LREM', KEYS[1], -marked, ARGV[1]) end
if #ids > 0 then
  local after = {pushed = pushed, deleted = #ids - pushed}
  note_action(ARGV[2], {ids = ids, before = {dead_letters = #ids}, after = after})
end
return ended
