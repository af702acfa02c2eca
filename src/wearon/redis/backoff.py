"""Endless loops that talk to Redis: pauses while it is away, longer each time, half of each by chance, said once."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from wearon.redis.cancellation import heed_cancellation

log = structlog.get_logger()


class Backoff:
    """The pauses of one loop. `trouble` is what is logged when it begins, and when its reason changes."""

    def __init__(self, trouble: str, first_s: float, longest_s: float) -> None:
        self._trouble = trouble
        self._first_s = first_s
        self._longest_s = longest_s
        self._pause_s = first_s
        self._said: str | None = None

    async def pause(self, error: Exception) -> None:
        """Wait before the next try."""
        why = str(error) or type(error).__name__
        if why != self._said:
            log.warning(self._trouble, error=why, error_type=type(error).__name__)
            self._said = why
        # By chance, so that a fleet does not come back all at once.
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311
        self._pause_s = min(self._pause_s * 2, self._longest_s)

    def succeeded(self) -> None:
        """Note a success: the next pause is the first one again."""
        if self._said is not None:
            log.info("Redis answers again", after=self._trouble)
        self._said = None
        self._pause_s = self._first_s


async def run_forever(
    step: Callable[[], Awaitable[object]],
    rest: Callable[[], Awaitable[object]] | None = None,
    *,
    trouble: str,
    pauses_s: tuple[float, float],
    passing: tuple[type[Exception], ...] = (RedisError, OSError),
) -> None:
    """Repeat `step`, with `rest` after each one that succeeds, until cancelled.

    An error that is `passing` is logged as `trouble` and paused for, any other is raised. `pauses_s` are the first and
    the longest pause.
    """
    backoff = Backoff(trouble, *pauses_s)
    while True:
        heed_cancellation()
        try:
            await step()
        except passing as error:
            await backoff.pause(error)
        else:
            backoff.succeeded()
            if rest is not None:
                await rest()
