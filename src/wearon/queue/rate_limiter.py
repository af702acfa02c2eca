"""The image account's requests a minute, spent evenly by the whole fleet, and which model each of them asks.

One key in Redis holds the moment of the next free start; a reservation takes it and moves it on by one spacing (the
generic cell rate algorithm without a burst). A reservation is one script call on the Redis server's clock, so
machines need not agree about the time. The same call says which model to ask, so knowing it costs no command.

Starts are (60 + 0.5) / per_minute seconds apart. So `per_minute` + 1 of them span 60.5 s, and no half-open window
of 60 s holds more than `per_minute`, even when one start is up to 0.5 s later after its slot than another: event
loop lag, the way back from Redis, the way to OpenAI.

A reservation whose owner goes away is not released, and one whose answer is lost is made again: both spend less
than the limit allows, never more. Only a Redis that loses its data forgets the slots already given out.

A model that cannot be used is passed over for `MODEL_PAUSE_S`. While all are, nothing is reserved, but for one request
in `PROBE_S` to the model that has not been asked for the longest time: one may be back, and shoppers wait.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from wearon.queue import keys
from wearon.redis.scripts import load_script

JITTER_S = 0.5
"""How much later after its slot one start may be than another without breaking the limit."""

MODEL_PAUSE_S = 600
"""One job in ten minutes finds out whether a model is back, and the others need not ask it in vain."""

PROBE_S = 3.0
"""Three models are each asked within 9 s, so work goes on within 10 s of the return of one."""

MAX_REASON = 120
"""Characters of a reason: status, code and parameter take fewer."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave for one request."""

    wait_s: float
    model: str | None = None
    """The model to ask; None: all are passed over, and nothing was reserved."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Models that are not asked now, and why."""


class RequestLimiter:
    """Lets at most `per_minute` requests start in any minute, over all processes that share the Redis."""

    def __init__(self, redis: Redis, per_minute: int) -> None:
        self._redis = redis
        self._spacing_us = math.ceil((60 + JITTER_S) * 1_000_000 / per_minute)
        self._reserve = redis.register_script(load_script("queue", "reserve_request"))
        self._pass_over = redis.register_script(load_script("queue", "skip_model"))

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
        """Keep the fleet from asking the model for `MODEL_PAUSE_S`. Raises redis-py's errors."""
        await self._pass_over(
            keys=[keys.IMAGE_MODELS], args=[model, MODEL_PAUSE_S, reason[:MAX_REASON] or "no reason was told"]
        )

    async def take_back(self, model: str) -> None:
        """The model has answered: it may be asked again. Raises redis-py's errors."""
        await self._redis.hdel(keys.IMAGE_MODELS, model)
