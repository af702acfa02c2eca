"""What this process does at the moment: kept up to date by events, read by its reports and by the console."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from wearon.events import Events
from wearon.queue.dead_letters import DeadLetterAdded
from wearon.refunds.intents import RefundSettled
from wearon.tryon.run import ImageRequested, Run, RunEnded, RunStarted, StepEnded, StepStarted

MOST_CALLS = 10_000
"""Requests of a minute that are remembered: thirty times the account's usual limit."""


class LiveView:
    """The runs that are under way, and an alarm clock for those who show them."""

    def __init__(self, events: Events) -> None:
        self._running: list[Run] = []
        self._calls: deque[float] = deque(maxlen=MOST_CALLS)
        self._changed = asyncio.Event()
        events.subscribe(RunStarted, lambda event: self._running.append(event.run))
        events.subscribe(RunEnded, lambda event: self._running.remove(event.run))
        events.subscribe(ImageRequested, lambda _: self._calls.append(time.monotonic()))
        for kind in (RunStarted, StepStarted, StepEnded, RunEnded, RefundSettled, DeadLetterAdded):
            events.subscribe(kind, self._announce_change)

    @property
    def running(self) -> Sequence[Run]:
        """The runs that are under way, the longest first."""
        return tuple(self._running)

    @property
    def calls_last_minute(self) -> int:
        """Requests that this process sent to the image model within the last 60 s."""
        while self._calls and self._calls[0] < time.monotonic() - 60:
            self._calls.popleft()
        return len(self._calls)

    async def wait_for_change(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    def _announce_change(self, _: object) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
