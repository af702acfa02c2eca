"""The image account's requests a minute, spent evenly by the whole fleet.

One key in Redis holds the moment of the next free start; whoever reserves takes it and moves it on by one spacing
(the generic cell rate algorithm without a burst). A reservation is one script call on the Redis server's clock, so
machines need not agree about the time.

Starts are (60 + 0.5) / per_minute seconds apart. So `per_minute` + 1 of them span 60.5 s, and no half-open window
of 60 s holds more than `per_minute`, even when one start is up to 0.5 s later after its slot than another: event
loop lag, the way back from Redis, the way to OpenAI.

A reservation whose owner goes away is not given back, and one whose answer is lost is made again: both spend less
than the limit allows, never more. Only a Redis that loses its data forgets the slots already given out.
"""

import asyncio
import math

from redis.asyncio import Redis

from wearon.tryon import keys

JITTER_S = 0.5
"""How much later after its slot one start may be than another without breaking the limit."""

RESERVE = """
-- KEYS: next free start (us)   ARGV: spacing (us)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local start = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local next_start = start + tonumber(ARGV[1])
-- Written in full, since Lua's own way rounds to 14 digits. Once it is past, the key says nothing and may expire.
redis.call('SET', KEYS[1], string.format('%.0f', next_start), 'PX', math.ceil((next_start - now) / 1000) + 1000)
return start - now
"""


class RequestLimiter:
    """Lets at most `per_minute` requests start in any minute, over all processes that share the Redis."""

    def __init__(self, redis: Redis, per_minute: int) -> None:
        self._spacing_us = math.ceil((60 + JITTER_S) * 1_000_000 / per_minute)
        self._reserve = redis.register_script(RESERVE)

    async def reserve(self) -> float:
        """Take the next free start; returns in how many seconds it is. Raises redis-py's errors."""
        wait_us: int = await self._reserve(keys=[keys.REQUEST_SLOTS], args=[self._spacing_us])
        return wait_us / 1_000_000

    async def wait(self) -> None:
        """Take the next free start and return when it has come. Raises redis-py's errors."""
        await asyncio.sleep(await self.reserve())
