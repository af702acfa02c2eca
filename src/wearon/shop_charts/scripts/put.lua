-- KEYS: stores, charts of the store
-- ARGV: store, chart's name, chart, version that it is to replace ('' for any), most stores, most charts of a store,
-- entry of the audit log
-- Returns what became of it, and version and time (ms) of the chart that is kept now. The same chart again is no new
-- version.
local version, at, chart = 0, 0, nil
local kept = redis.call('HGET', KEYS[2], ARGV[2])
if kept then
  version, at, chart = string.match(kept, '^(%d+) (%d+) (.*)$')
  version, at = tonumber(version) or 0, tonumber(at) or 0
end
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= version then return {'changed', version, at} end
if chart == ARGV[3] then return {'kept', version, at} end
if not kept then
  local charts = redis.call('HLEN', KEYS[2])
  if charts >= tonumber(ARGV[6]) then return {'charts', version, at} end
  if charts == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return {'stores', version, at} end
  redis.call('HSET', KEYS[1], ARGV[1], charts + 1)
end
local before = kept and {version = version} or nil
at, version = now_ms(), version + 1
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d %.0f %s', version, at, ARGV[3]))
note_action(ARGV[7], {before = before, after = {version = version}})
return {'kept', version, at}
