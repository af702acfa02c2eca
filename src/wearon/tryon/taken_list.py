"""What a crash, or a document that is too large to travel, has left in the taken-list.

Documents are measured in Redis: one of hundreds of megabytes would hold a consumer's connection for as long as it
travels, and all tasks behind it. What no task can be is cut there, and goes to the dead letters without leaving Redis.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from wearon.tryon import keys
from wearon.tryon.dead_letters import MAX_LETTERS, DeadLetter, DeadLetters
from wearon.tryon.task import MAX_LENIENT_BYTES

CUT_BYTES = 1024
"""Kept of one that is too large: enough to see who wrote it."""

READ_BYTES = 4 * 1024 * 1024
"""About as much is read at once."""

LOOKED_AT = 100
"""Documents that are measured at once: each is copied within Redis for that."""

TAKE_STOCK = """
-- KEYS: taken, tasks, dead letters
-- ARGV: longest document, bytes kept of a longer one, bytes read at once, documents looked at, most letters, time,
--       marker
local longest, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
local cut, found, bytes = {}, {}, 0

local function cut_out(list, index, document)
  local id = 'cut-' .. string.sub(redis.sha1hex(string.sub(document, 1, kept) .. #document), 1, 8)
  local reason = #document .. ' bytes: longer than any task'
  -- Escapes are ASCII: whatever the bytes are, the letter is JSON that everybody can read.
  local payload = string.gsub(string.sub(document, 1, kept), '[^\\32-\\126]', '?')
  redis.call('LPUSH', KEYS[3], cjson.encode({id = id, at = ARGV[6], reason = reason, payload = payload}))
  redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[5]) - 1)
  redis.call('LSET', list, index, ARGV[7])
  redis.call('LREM', list, -1, ARGV[7])
  cut[#cut + 1] = {id, reason, payload}
end

local function look_at(list, number)
  local document = redis.call('LINDEX', list, number)
  if not document then return 0 end
  if #document > longest then
    cut_out(list, number, document)
    return -1
  end
  return #document, document
end

local number = -1
for _ = 1, tonumber(ARGV[4]) do
  local size, document = look_at(KEYS[1], number)
  if size == 0 and not document then break end
  if document then
    found[#found + 1] = document
    bytes = bytes + size
    number = number - 1
    if bytes > tonumber(ARGV[3]) then break end
  end
end
if #cut > 0 then
  -- One seldom comes alone, and each would break a connection.
  number = -1
  for _ = 1, tonumber(ARGV[4]) do
    local size, document = look_at(KEYS[2], number)
    if size == 0 and not document then break end
    if document then number = number - 1 end
  end
end
return {found, cut}
"""


class TakenList:
    """The documents between the producers' list and the job queue."""

    def __init__(self, redis: Redis, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._take_stock = redis.register_script(TAKE_STOCK)

    async def documents(self) -> Sequence[bytes]:
        """What lies there, the oldest first: all of it, or as much as is read at once. Raises redis errors.

        Documents that are too large are gone from it, and from the end of the producers' list, afterwards.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        found, cut = await self._take_stock(
            keys=[keys.TAKEN, keys.TASKS, keys.DEAD_LETTERS],
            args=[
                MAX_LENIENT_BYTES,
                CUT_BYTES,
                READ_BYTES,
                LOOKED_AT,
                MAX_LETTERS,
                at,
                f"cut:{secrets.token_hex(16)}",
            ],
        )
        for letter in cut:
            letter_id, reason, payload = (part.decode() for part in letter)
            await self._dead_letters.announce(DeadLetter(letter_id, at, reason, payload))
        return list(found)
