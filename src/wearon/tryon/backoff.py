"""Pauses while Redis is away: longer each time, half of each by chance, and said once."""

import asyncio
import random

import structlog

log = structlog.get_logger()


class Backoff:
    """Of one loop that talks to Redis. `trouble` is what is logged when it begins, and when its reason changes."""

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
        """It works (again)."""
        if self._said is not None:
            log.info("Redis answers again", after=self._trouble)
        self._said = None
        self._pause_s = self._first_s
