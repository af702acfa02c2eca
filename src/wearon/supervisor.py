"""Keeps the parts of a process running: one that dies is started again.

One that cannot come back ends the process, unless the work goes on without it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

log = structlog.get_logger()

RESTART_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Before each restart in a row; after the last one the part is given up (half a minute in all), if it is needed."""

STEADY_S = 60.0
"""A part that ran this long before it died starts again from the first pause."""


CANCEL_AGAIN_S = 8.0
"""A cancellation can get lost (`wearon.tryon.cancellation`), so it is repeated; the API takes up to 5 s to close."""


class PartGaveUp(Exception):
    """A part died again and again; the process cannot do its work."""


class PartState(StrEnum):
    """What `/health` says of a part."""

    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class Part:
    """One endless coroutine. `run` is called anew for each start."""

    name: str
    run: Callable[[], Awaitable[None]]
    needed: bool = True
    """Whether the process must not go on without it."""
    state: PartState = PartState.STOPPED
    restarts: int = 0
    error: str | None = None


class Supervisor:
    """Starts parts, restarts those that die, and stops them one by one in the order that the caller chooses."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parts: dict[str, Part] = {}
        self._gave_up: asyncio.Future[PartGaveUp] | None = None

    @property
    def parts(self) -> Sequence[Part]:
        """All parts that were started."""
        return list(self._parts.values())

    def start(self, name: str, run: Callable[[], Awaitable[None]], *, needed: bool = True) -> None:
        """Run a part from now on. One that is not `needed` is never given up."""
        part = self._parts[name] = Part(name, run, needed)
        self._tasks[name] = asyncio.create_task(self._keep_running(part), name=name)

    async def stop(self, name: str) -> None:
        """Cancel a part and wait for its end; one that was never started is fine."""
        task = self._tasks.pop(name, None)
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)

    async def stop_all(self) -> None:
        """Stop what is still running, the last started first."""
        for name in reversed(list(self._tasks)):
            await self.stop(name)

    async def wait_until_one_gives_up(self) -> None:
        """Raises PartGaveUp when a part cannot be kept running; waits for ever otherwise."""
        self._gave_up = self._gave_up or asyncio.get_running_loop().create_future()
        raise await asyncio.shield(self._gave_up)

    async def _keep_running(self, part: Part) -> None:
        failures = 0
        while failures <= len(RESTART_PAUSES_S) or not part.needed:
            part.state = PartState.RUNNING
            began = time.monotonic()
            try:
                await part.run()
                part.error = "ended by itself"
            except asyncio.CancelledError:
                part.state = PartState.STOPPED
                raise
            except Exception as error:
                part.error = f"{type(error).__name__}: {error}"
                log.exception("part died", part=part.name)
            failures = 1 if time.monotonic() - began > STEADY_S else failures + 1
            if failures <= len(RESTART_PAUSES_S) or not part.needed:
                part.state = PartState.RESTARTING
                part.restarts += 1
                pause_s = RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S)) - 1]
                log.warning("part is started again", part=part.name, error=part.error, pause_s=pause_s)
                await asyncio.sleep(pause_s)
        part.state = PartState.FAILED
        log.critical("part cannot be kept running", part=part.name, error=part.error)
        self._gave_up = self._gave_up or asyncio.get_running_loop().create_future()
        if not self._gave_up.done():
            self._gave_up.set_result(PartGaveUp(f"{part.name}: {part.error}"))
