"""Going on while the platform is away: a call is repeated, and regular work is done later."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from wearon.platform.base import About, BucketRefused, PlatformError, PlatformRefused
from wearon.redis.backoff import run_forever

OUTAGE_RETRY_S = 60.0
"""How long an attempt itself waits for the platform to come back before the job is retried later."""

T = TypeVar("T")


async def repeat_every(every_s: float, work: Callable[[], Awaitable[object]], *, trouble: str) -> None:
    """Do the work again and again, until cancelled; `trouble` is logged while Redis or the platform is away."""
    await run_forever(
        work,
        lambda: asyncio.sleep(every_s),
        trouble=trouble,
        pauses_s=(every_s, every_s),
        passing=(RedisError, OSError, PlatformError),
    )


async def through_outages(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a platform call that is safe to repeat while the platform is away, or refuses us altogether.

    A bucket that takes nothing is an error at once: the fleet pauses itself after a few jobs that met it.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(_is_outage),
        wait=wait_random_exponential(multiplier=0.25, max=4),
        stop=stop_after_delay(OUTAGE_RETRY_S),
        reraise=True,
    ):
        with attempt:
            # Not by calling the retrying object: it awaits coroutine functions only, and a lambda is none.
            return await call()
    raise AssertionError("the last attempt returns or raises")


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, PlatformRefused):
        return error.about is About.US and not isinstance(error, BucketRefused)
    return isinstance(error, PlatformError)
