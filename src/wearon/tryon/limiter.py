"""The image account's requests a minute, spent evenly by the whole fleet, and which model each of them asks.

One key in Redis holds the moment of the next free start; whoever reserves takes it and moves it on by one spacing
(the generic cell rate algorithm without a burst). A reservation is one script call on the Redis server's clock, so
machines need not agree about the time. The same call says which model to ask, so knowing it costs no command.

Starts are (60 + 0.5) / per_minute seconds apart. So `per_minute` + 1 of them span 60.5 s, and no half-open window
of 60 s holds more than `per_minute`, even when one start is up to 0.5 s later after its slot than another: event
loop lag, the way back from Redis, the way to OpenAI.

A reservation whose owner goes away is not given back, and one whose answer is lost is made again: both spend less
than the limit allows, never more. Only a Redis that loses its data forgets the slots already given out.

A model that cannot be used is passed over for `MODEL_PAUSE_S`. While all are, nothing is reserved, but for one request
in `PROBE_S` to the model that has not been asked for the longest time: one may be back, and shoppers wait.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from wearon.tryon import keys

JITTER_S = 0.5
"""How much later after its slot one start may be than another without breaking the limit."""

MODEL_PAUSE_S = 600
"""One job in ten minutes finds out whether a model is back, and the others need not ask it in vain."""

PROBE_S = 3.0
"""Three models are each asked within 9 s, so work goes on within 10 s of the return of one."""

MAX_REASON = 120
"""Characters of a reason: status, code and parameter take fewer."""

RESERVE = """
-- KEYS: next free start (us), models that cannot be used
-- ARGV: spacing (us), probe spacing (us), models in the order in which they are to be asked
-- Returns the wait (us), the place of the model to ask (0: none), and for each model why it is passed over, or ''.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local reasons, place = {}, 0
if #ARGV > 2 then
  local known = redis.pcall('HMGET', KEYS[2], '', unpack(ARGV, 3))
  if known.err then
    if not string.find(known.err, 'WRONGTYPE') then return known end
    redis.call('DEL', KEYS[2]) -- no more than what every model will say again
    known = redis.call('HMGET', KEYS[2], '', unpack(ARGV, 3))
  end
  local longest_ago, soonest = 1, math.huge
  for i = 2, #known do
    local till, why = string.match(known[i] or '', '^(%d+) (.*)$')
    till = tonumber(till or '0')
    reasons[i - 1] = till > now and why or ''
    if till <= now and place == 0 then place = i - 1 end
    if till < soonest then longest_ago, soonest = i - 1, till end
  end
  if place == 0 then
    if now < tonumber(known[1] or '0') then return {0, 0, unpack(reasons)} end
    redis.call('HSET', KEYS[2], '', string.format('%.0f', now + tonumber(ARGV[2])))
    place = longest_ago
  end
end
-- What is no number, or is further ahead than a day, which no line is long, says nothing: it is written over.
local held = redis.pcall('GET', KEYS[1])
local start = type(held) == 'string' and tonumber(held) or 0
if not (start > now and start < now + 86400000000) then start = now end
local next_start = start + tonumber(ARGV[1])
-- Written in full, since Lua's own way rounds to 14 digits. Once it is past, the key says nothing and may expire.
redis.call('SET', KEYS[1], string.format('%.0f', next_start), 'PX', math.ceil((next_start - now) / 1000) + 1000)
return {start - now, place, unpack(reasons)}
"""

SKIP_MODEL = """
-- KEYS: models that cannot be used   ARGV: model, for how long (s), why
local time = redis.call('TIME')
local till = (tonumber(time[1]) + tonumber(ARGV[2])) * 1000000 + tonumber(time[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', till) .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave for one request."""

    wait_s: float
    model: str | None = None
    """Which to ask; None: all are passed over, and nothing was reserved."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Models that are not asked now, and why."""


class RequestLimiter:
    """Lets at most `per_minute` requests start in any minute, over all processes that share the Redis."""

    def __init__(self, redis: Redis, per_minute: int) -> None:
        self._redis = redis
        self._spacing_us = math.ceil((60 + JITTER_S) * 1_000_000 / per_minute)
        self._reserve = redis.register_script(RESERVE)
        self._pass_over = redis.register_script(SKIP_MODEL)

    async def reserve(self) -> float:
        """Take the next free start; returns in how many seconds it is. Raises redis-py's errors."""
        return (await self.reserve_turn(())).wait_s

    async def wait(self) -> None:
        """Take the next free start and return when it has come. Raises redis-py's errors."""
        await asyncio.sleep(await self.reserve())

    async def reserve_turn(self, models: Sequence[str]) -> Turn:
        """Take the next free start for the first of `models` that can be used. Raises redis-py's errors."""
        wait_us, place, *reasons = await self._reserve(
            keys=[keys.REQUEST_SLOTS, keys.IMAGE_MODELS],
            args=[self._spacing_us, round(PROBE_S * 1_000_000), *models],
        )
        told = zip(models, (reason.decode(errors="replace") for reason in reasons), strict=True)
        return Turn(
            wait_us / 1_000_000,
            models[place - 1] if place else None,
            {model: reason for model, reason in told if reason},
        )

    async def pass_over(self, model: str, reason: str) -> None:
        """Nobody asks the model for `MODEL_PAUSE_S`. Raises redis-py's errors."""
        await self._pass_over(
            keys=[keys.IMAGE_MODELS], args=[model, MODEL_PAUSE_S, reason[:MAX_REASON] or "no reason was told"]
        )

    async def take_back(self, model: str) -> None:
        """The model has answered: it may be asked again. Raises redis-py's errors."""
        await self._redis.hdel(keys.IMAGE_MODELS, model)
