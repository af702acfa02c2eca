"""Keeps the components of a process running: one that dies is started again.

One that cannot come back ends the process, unless the work goes on without it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from pydantic import AwareDatetime, BaseModel

log = structlog.get_logger()

RESTART_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Before each restart in a row; after the last one a needed component is given up (half a minute in all)."""

STEADY_S = 60.0
"""A component that ran this long before it died starts again from the first pause."""


CANCEL_AGAIN_S = 8.0
"""A cancellation can get lost (`wearon.redis.cancellation`), so it is repeated; the API takes up to 5 s to close."""


class ComponentGaveUp(Exception):
    """A component died again and again; the process cannot do its work."""


class ComponentState(StrEnum):
    """Whether a component works."""

    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


class ComponentHealth(BaseModel):
    """How a component is, as `/health` shows it under the component's name."""

    state: str
    """A ComponentState; a report of a newer version may name one that is not known here."""
    restarts: int = 0
    error: str | None = None
    died_at: AwareDatetime | None = None
    """The last time."""


class Component(ComponentHealth):
    """One supervised coroutine of a process: consumer, worker, api, lease, housekeeping, audit, image_models, ..."""

    name: str


@dataclass(frozen=True, slots=True)
class _Supervised:
    component: Component
    run: Callable[[], Awaitable[None]]
    """Called anew for each start."""
    needed: bool


class Supervisor:
    """Starts components, restarts those that die, and stops them one by one in the order that the caller chooses."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._supervised: dict[str, _Supervised] = {}
        self._gave_up: asyncio.Future[ComponentGaveUp] | None = None

    @property
    def components(self) -> list[Component]:
        """All components that were started; their state goes on changing."""
        return [supervised.component for supervised in self._supervised.values()]

    def start(self, name: str, run: Callable[[], Awaitable[None]], *, needed: bool = True) -> None:
        """Run a component from now on. One that is not `needed` is never given up."""
        component = Component(name=name, state=ComponentState.STOPPED)
        supervised = self._supervised[name] = _Supervised(component, run, needed)
        self._tasks[name] = asyncio.create_task(self._keep_running(supervised), name=name)

    async def stop(self, name: str) -> None:
        """Cancel a component and wait for its end; one that was never started is fine."""
        task = self._tasks.pop(name, None)
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)

    async def stop_all(self) -> None:
        """Stop what is still running, the last started first."""
        for name in reversed(list(self._tasks)):
            await self.stop(name)

    async def wait_until_one_gives_up(self) -> None:
        """Raises ComponentGaveUp when a component cannot be kept running; waits for ever otherwise."""
        self._gave_up = self._gave_up or asyncio.get_running_loop().create_future()
        raise await asyncio.shield(self._gave_up)

    async def _keep_running(self, supervised: _Supervised) -> None:
        component, needed = supervised.component, supervised.needed
        failures = 0
        while failures <= len(RESTART_PAUSES_S) or not needed:
            component.state = ComponentState.RUNNING
            began = time.monotonic()
            try:
                await supervised.run()
                component.error = "ended by itself"
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    component.state = ComponentState.STOPPED
                    raise
                component.error = "something that it waited for was cancelled"
            except Exception as error:
                component.error = f"{type(error).__name__}: {error}"
                log.exception("part died", part=component.name)
            component.died_at = datetime.now(UTC)
            failures = 1 if time.monotonic() - began > STEADY_S else failures + 1
            if failures <= len(RESTART_PAUSES_S) or not needed:
                component.state = ComponentState.RESTARTING
                component.restarts += 1
                pause_s = RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S)) - 1]
                log.warning("part is started again", part=component.name, error=component.error, pause_s=pause_s)
                await asyncio.sleep(pause_s)
        component.state = ComponentState.FAILED
        log.critical("part cannot be kept running", part=component.name, error=component.error)
        self._gave_up = self._gave_up or asyncio.get_running_loop().create_future()
        if not self._gave_up.done():
            self._gave_up.set_result(ComponentGaveUp(f"{component.name}: {component.error}"))
