"""Processes that hold a warm pose detector (`wearon.pose.slots`), and the line before them (`wearon.pose.line`).

    PoseError
    ├── PoseBusy          too many are waiting: an answer would come too late to be of use
    └── PoseUnavailable   no process could do it: starting, replaced, hung on this picture or died of it

Whichever process hangs or dies is thrown away and a new one warmed in its place, while the others go on; a call that it
had not begun goes back into the line. A process is given work only when it has run an inference.

Who would wait too long is refused at once (`PosePool.place`): a queue that only grows serves nobody in time.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, TypeVarTuple

import structlog

from wearon.child_answers import Raised, Returned
from wearon.child_process import Call, ProcessDied, ProcessFailed
from wearon.metrics import Metrics
from wearon.pose.detector import Detector
from wearon.pose.line import Line, Ticket
from wearon.pose.slots import Slot, Slots
from wearon.shortage import is_shortage

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

MAX_WAIT_SECONDS = 0.7
"""The contract promises an estimate in under 1 s; the picture's download and the inference need the rest."""
ADMISSION = 0.7
"""Share of the longest wait up to which callers are let in: those who are should be served, and the forecast errs."""
AHEAD_SECONDS = 0.02
"""So long before its call is expected to end a process is sent the next one, if somebody waits: it has it at hand then
and need not wait for the loop, which may be busy with others for some milliseconds (4 % more estimates a second)."""
OVERRUN_SECONDS = 0.1
"""Who has been sent ahead and waits for longer stands behind a call that takes longer than was thought, and goes back
into the line. His call runs in vain then, if ever."""


class PoseError(Exception):
    """The pose pool did not do the work."""


class PoseBusy(PoseError):
    """Too many pictures are waiting."""


class PoseUnavailable(PoseError):
    """No pose process could do the work."""


class PosePool:
    """`processes` processes with a detector each."""

    def __init__(
        self,
        model_path: Path | None,
        processes: int,
        *,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        metrics: Metrics | None = None,
    ) -> None:
        self.processes = processes
        self._max_wait = max_wait_seconds
        self._slots = Slots(model_path, processes)
        self._line = Line()
        self._background: set[asyncio.Task[Any]] = set()
        self._metrics = metrics or Metrics()
        self._log = structlog.get_logger()

    @property
    def ready(self) -> bool:
        """Whether at least one process is warm and alive."""
        return self.warm > 0

    @property
    def warm(self) -> int:
        """How many of the processes are warm and alive."""
        return self._slots.warm

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return self._line.waiting

    @property
    def expected_wait_s(self) -> float:
        """How long a call that came now would wait for a process, in seconds."""
        ahead, processes = self._line.ahead(), max(1, self.warm)
        return sum(ahead) / processes if len(ahead) >= processes else 0.0

    async def start(self) -> None:
        """Start all processes and return when each has run one inference.

        Raises PoseUnavailable, with the reason, when one does not come up; nothing is left running then.
        """
        try:
            await self._slots.start()
        except Exception as error:
            raise PoseUnavailable(f"the pose model could not be started: {error}") from error
        self._log.info("pose processes are warm", processes=self.processes)

    @contextmanager
    def place(self, function: Callable[[Detector, *Ts], R]) -> "Iterator[Place[R, *Ts]]":
        """A place in line for one call, to be taken before its picture is fetched: who comes too late learns it now.

        Raises PoseBusy when a process would not be free in time, PoseUnavailable when there is none.
        """
        with self._counted(unless="answered"):
            self._refuse_when_late(ADMISSION * self._max_wait)
            ticket = self._line.join(function.__qualname__)
        try:
            yield Place(self, function, ticket)
        finally:
            if not ticket.running:
                self._line.leave(ticket)

    async def run(self, function: Callable[[Detector, *Ts], R], *args: *Ts, timeout: float = 5.0) -> R:
        """Call `function(detector, *args)` in one of the processes and return its result.

        `function` must be importable by name; arguments, result and errors must pickle. What it raises is raised
        here. `timeout` limits its running time, in seconds. Raises PoseBusy when no process would be free in time,
        PoseUnavailable when there is none, or when the call hung or took its process down. A caller that is
        cancelled leaves at once, but work that has begun is finished: that costs less than a new process.
        """
        with self.place(function) as place:
            return await place.run(*args, timeout=timeout)

    @contextmanager
    def _counted(self, unless: str = "") -> Iterator[None]:
        outcome = "cut_off"
        try:
            yield
            outcome = "answered"
        except PoseBusy:
            outcome = "busy"
            raise
        except PoseUnavailable:
            outcome = "unavailable"
            raise
        except Exception:
            outcome = "refused"
            raise
        finally:
            if outcome != unless:
                self._metrics.pose_requests.labels(outcome).inc()

    async def _run(self, ticket: Ticket, function: Callable[[Detector, *Ts], R], args: tuple[*Ts], timeout: float) -> R:
        with self._metrics.pose_wait.time():
            work = await self._begin(ticket, function, args, timeout)
        try:
            outcome = await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():  # not the caller was cancelled, but the pool closed
                raise PoseUnavailable("the pose pool was closed") from None
            raise
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome.value

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for task in self._background:
            task.cancel()
        self._slots.close()
        self._line.clear()

    async def _begin(
        self, ticket: Ticket, function: Callable[[Detector, *Ts], R], args: tuple[*Ts], timeout: float
    ) -> asyncio.Task[Returned[R] | Raised]:
        """Wait until a process has begun the call; the task finishes it, whether anybody still waits or not."""
        self._line.leave(ticket)  # nobody waits for himself
        self._refuse_when_late(self._max_wait)  # again: fetching the picture may have taken long
        self._line.join_again(ticket)
        ticket.waiting = True
        try:
            async with asyncio.timeout(self._max_wait):
                while True:
                    slot = await self._slots.free()
                    try:
                        call = slot.send(function, args)
                    except BaseException:
                        self._slots.give_back(slot)
                        raise
                    # A task of its own from here on: the process is not free again before it has answered.
                    work = self._in_background(self._work(slot, ticket, call, function.__qualname__, timeout))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(OVERRUN_SECONDS):
                            if await call.begins():
                                return work
        except TimeoutError as error:
            if self.ready:
                raise PoseBusy("no pose process came free in time") from error
            raise PoseUnavailable("the pose processes are starting") from error
        finally:
            ticket.waiting = False

    def _refuse_when_late(self, longest_wait: float) -> None:
        """Say no now rather than after a wait in vain: those who can still be served are served sooner."""
        if not self._slots.there:
            raise PoseUnavailable("the pose pool is not running")
        if self.expected_wait_s > longest_wait:
            raise PoseBusy(f"{len(self._line.ahead())} pictures are ahead")

    async def _work(self, slot: Slot, ticket: Ticket, call: Call[R], kind: str, timeout: float) -> Returned[R] | Raised:
        try:
            if not await call.begins():
                return Raised(PoseUnavailable("the pose process was lost"))  # of a call before: its task replaces it
            ticket.start()
            began = time.monotonic()
            nearly_all = self._line.typical_seconds(kind) - AHEAD_SECONDS
            timer = asyncio.get_running_loop().call_later(nearly_all, self._slots.is_nearly_done, slot)
            try:
                outcome = await call.answer(timeout)
                if isinstance(outcome, Raised) and is_shortage(outcome.error):
                    raise ProcessDied(f"it could not go on: {type(outcome.error).__name__}")
            finally:
                timer.cancel()
                slot.nearly_done = False
        except ProcessFailed as error:
            self._log.warning("pose process lost", error=str(error))
            self._slots.replace(slot)
            return Raised(PoseUnavailable(f"the pose process was lost: {error}"))
        finally:
            self._line.leave(ticket)
        self._slots.give_back(slot)
        seconds = time.monotonic() - began
        self._metrics.pose_run.observe(seconds)
        self._line.took(kind, seconds)
        return outcome

    def _in_background(self, coroutine: Coroutine[object, object, R]) -> asyncio.Task[R]:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


class Place(Generic[R, *Ts]):
    """A place in line, made by `PosePool.place`."""

    def __init__(self, pool: PosePool, function: Callable[[Detector, *Ts], R], ticket: Ticket) -> None:
        self._pool = pool
        self._function = function
        self._ticket = ticket

    async def run(self, *args: *Ts, timeout: float = 5.0) -> R:
        """See `PosePool.run`. Once only."""
        with self._pool._counted():  # noqa: SLF001 (the pool's own other half)
            return await self._pool._run(self._ticket, self._function, args, timeout)  # noqa: SLF001
