-- KEYS: lock   ARGV: token, for how long (ms), token from now on
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
