"""Tells silence that is an outage from pictures that take their time.

A picture may take three minutes. So while calls run and none is answered, this process asks for something that is
free, which is answered at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.tryon.openai.breaker import NO_ANSWER

SILENT_S = 4.0
"""How long calls run unanswered before the service is asked for what is free, and between two such looks. `/health`
names an outage within 10 s, and the look takes up to four of them."""

SILENCE = "while calls run"


class SilenceWatch:
    """Watches the calls of a process. `somebody_answers` asks for what is free; `dependencies` shows the outage."""

    def __init__(self, somebody_answers: Callable[[], Awaitable[bool]], dependencies: Dependencies) -> None:
        self._somebody_answers = somebody_answers
        self._dependencies = dependencies
        self._waiting = 0
        self._is_outage = False
        self._heard = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Watch a call until its answer begins."""
        self._waiting += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._waiting -= 1
        self._hear()

    def close(self) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()

    def _hear(self) -> None:
        self._heard.set()
        self._is_outage = False
        self._dependencies.answered(Dependency.OPENAI, asked=SILENCE)

    async def _watch(self) -> None:
        while self._waiting or self._is_outage:
            self._heard.clear()
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._heard.wait()
            except TimeoutError:
                if self._waiting or self._is_outage:
                    await self._look()

    async def _look(self) -> None:
        if await self._somebody_answers():
            self._hear()
        elif not self._heard.is_set():
            self._is_outage = True
            self._dependencies.refused(Dependency.OPENAI, NO_ANSWER, asked=SILENCE, kind=RefusalKind.AWAY)
