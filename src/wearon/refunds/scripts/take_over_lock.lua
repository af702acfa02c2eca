-- KEYS: lock   ARGV: token, for how long (ms), mark of a lock whose holder may have paid, ids of workers that have ended
-- Returns the token under which the caller holds the lock now; false: it does not.
-- Every lock ends by itself. What does not is not ours, whatever it holds: it gets an end (Redis 7 and later).
redis.pcall('PEXPIRE', KEYS[1], ARGV[2], 'NX')
local held = redis.pcall('GET', KEYS[1])
local holder, mark = string.match(type(held) == 'string' and held or '', '^(%S+) %x+(.*)$')
for i = 4, #ARGV do
  if ARGV[i] == holder then
    local token = ARGV[1] .. mark
    redis.call('SET', KEYS[1], token, 'KEEPTTL')
    -- What a call that may be under way does is not known before the lock runs out.
    if mark ~= ARGV[3] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    return token
  end
end
return false
