-- KEYS: jobs   Returns what each is to do; '' for one that is gone, or holds something else.
local found = {}
for place, key in ipairs(KEYS) do
  local document = redis.pcall('GET', key)
  found[place] = type(document) == 'string' and document or ''
end
return found
