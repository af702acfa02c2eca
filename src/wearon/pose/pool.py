"""Processes that hold a warm pose detector, behind admission control.

    PoseError
    ├── PoseBusy          too many are waiting: an answer would come too late to be of use
    └── PoseUnavailable   no process could do it: starting, replaced, hung on this picture or died of it

A call that would wait too long is refused at once (`PosePool.place`): a queue that only grows serves nobody in time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, TypeVarTuple

import structlog

from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.pose.admission import Admission, Ticket
from wearon.pose.detector import Detector
from wearon.processes.answers import Raised, Returned
from wearon.processes.child import NeverBegun, ProcessFailed
from wearon.processes.pool import Kind, NoProcess, ProcessPool, Sent
from wearon.resources.shortage import is_shortage

log = structlog.get_logger()

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

MAX_WAIT_S = 0.7
"""The contract promises an estimate in under 1 s; the picture's download and the inference need the rest."""

ADMISSION = 0.7
"""Share of the longest wait up to which calls are let in: those that are should be served, and the forecast errs."""

OVERRUN_S = 0.1
"""A call that was sent ahead and waits for longer stands behind one that takes longer than as a rule: it is sent to
another process as well, and runs in vain in the first one."""

MEMORY_LIMIT_BYTES = 1664 * 1024 * 1024
"""Limit for one process: 350 MB when it is warm, and what the largest picture may need (see `wearon.pictures.pool`)."""


class PoseError(Exception):
    """The pose pool did not do the work."""


class PoseBusy(PoseError):
    """Too many pictures are waiting."""


class PoseUnavailable(PoseError):
    """No pose process could do the work."""


class PosePool:
    """`processes` processes with a detector each."""

    def __init__(
        self, model_path: Path | None, processes: int, *, metrics: Metrics, max_wait_s: float = MAX_WAIT_S
    ) -> None:
        self.processes = processes
        self._max_wait_s = max_wait_s
        kind = Kind("pose", MEMORY_LIMIT_BYTES, is_shortage, _load, (model_path,))
        self._pool = ProcessPool(kind, processes, Dependencies())  # of poses /health tells by itself
        self._admission = Admission()
        self._background: set[asyncio.Task[Any]] = set()
        self._metrics = metrics

    @property
    def ready(self) -> bool:
        """Whether at least one process is warm and alive."""
        return self.warm > 0

    @property
    def warm(self) -> int:
        """How many of the processes are warm and alive."""
        return self._pool.warm

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return self._admission.waiting

    @property
    def expected_wait_s(self) -> float:
        """How long a call that came now would wait for a process, in seconds."""
        return self._expected_wait_s()

    async def start(self) -> None:
        """Start all processes and return when each has run one inference.

        Raises PoseUnavailable, with the reason, when none comes up; nothing is left running then.
        """
        try:
            await self._pool.start()
        except NoProcess as error:
            self._pool.close()
            raise PoseUnavailable(f"the pose model could not be started: {error.__cause__}") from error
        log.info("pose processes are warm", processes=self.processes)

    @contextmanager
    def place(self, function: Callable[[Detector, *Ts], R], *, pictures: int = 1) -> "Iterator[Place[R, *Ts]]":
        """Let one call in before its picture is fetched: a caller who comes too late learns it now.

        `pictures` is how many `function` looks at: it counts as so much work until calls of it have been measured.
        Raises PoseBusy when a process would not be free in time, PoseUnavailable when there is none.
        """
        with self._counted(unless="answered"):
            self._refuse_when_late(ADMISSION * self._max_wait_s)
        ticket = self._admission.enter(function.__qualname__, pictures)
        try:
            yield Place(self, function, ticket)
        finally:
            if ticket.begun_at is None:
                self._admission.leave(ticket)

    async def run(
        self, function: Callable[[Detector, *Ts], R], *args: *Ts, timeout: float = 5.0, pictures: int = 1
    ) -> R:
        """Call `function(detector, *args)` in one of the processes and return its result.

        `function` must be importable by name; arguments, result and errors must be what `wearon.processes.child` can
        send. What it raises is raised here. `timeout` limits its running time, in seconds. Raises PoseBusy when no
        process would be free in time, PoseUnavailable when there is none, or when the call hung or took its process
        down. A caller that is cancelled leaves at once, but work that has begun is finished: that costs less than a
        new process.
        """
        with self.place(function, pictures=pictures) as place:
            return await place.run(*args, timeout=timeout)

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for task in self._background:
            task.cancel()
        self._pool.close()
        self._admission.clear()

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

    async def _begin(
        self, ticket: Ticket, function: Callable[[Detector, *Ts], R], args: tuple[*Ts], timeout: float
    ) -> asyncio.Task[Returned[R] | Raised]:
        """Wait until a process has begun the call; the task finishes it, whether its caller still waits or not."""
        self._refuse_when_late(self._max_wait_s, ticket)  # again: fetching the picture may have taken long
        ticket.waiting = True
        try:
            async with asyncio.timeout(self._max_wait_s):
                while True:
                    sent: Sent[R] = await self._pool.send(_call, function, args, speaks_for=function)
                    # A task of its own from here on: the process is not free again before it has answered.
                    work = asyncio.create_task(self._work(sent, ticket, timeout))
                    self._background.add(work)
                    work.add_done_callback(self._background.discard)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(OVERRUN_S):
                            if await sent.call.begins():
                                return work
        except TimeoutError as error:
            if self.ready:
                raise PoseBusy("no pose process came free in time") from error
            raise PoseUnavailable("the pose processes are starting") from error
        except NoProcess as error:
            raise PoseUnavailable(f"no pose process is there: {error}") from error
        finally:
            ticket.waiting = False

    async def _work(self, sent: Sent[R], ticket: Ticket, timeout: float) -> Returned[R] | Raised:
        if await sent.call.begins():
            ticket.begin()
        began = time.monotonic()
        try:
            answer = await self._pool.answer(sent, timeout, ticket.typical_s)
        except NeverBegun as error:
            return Raised(error)  # its caller sends it again
        except ProcessFailed as error:
            return Raised(PoseUnavailable(f"the pose process was lost: {error}"))
        finally:
            if ticket.begun_at is not None:
                self._admission.leave(ticket)
        seconds = time.monotonic() - began
        self._metrics.pose_run.observe(seconds)
        self._admission.took(ticket, seconds)
        return answer

    def _refuse_when_late(self, longest_wait_s: float, ticket: Ticket | None = None) -> None:
        """Say no now rather than after a wait in vain: those who can still be served are served sooner."""
        if not self._pool.running:
            raise PoseUnavailable("the pose pool is not running")
        if self._expected_wait_s(ticket) > longest_wait_s:
            raise PoseBusy(f"{len(self._admission.ahead(ticket))} pictures are ahead")

    def _expected_wait_s(self, but: Ticket | None = None) -> float:
        ahead, processes = self._admission.ahead(but), max(1, self.warm)
        return sum(ahead) / processes if len(ahead) >= processes else 0.0


class Place(Generic[R, *Ts]):
    """A call that was let in, made by `PosePool.place`."""

    def __init__(self, pool: PosePool, function: Callable[[Detector, *Ts], R], ticket: Ticket) -> None:
        self._pool = pool
        self._function = function
        self._ticket = ticket

    async def run(self, *args: *Ts, timeout: float = 5.0) -> R:
        """Run the call in its place, once; as `PosePool.run` otherwise."""
        with self._pool._counted():  # noqa: SLF001 (the pool's own other half)
            return await self._pool._run(self._ticket, self._function, args, timeout)  # noqa: SLF001


# What follows runs in the pose processes.


_detectors: list[Detector] = []
"""The process's detector: loading one takes seconds, and a process does one thing after the other."""


def _load(model_path: Path | None) -> None:
    _detectors.append(Detector(model_path))


def _call(function: Callable[[Detector, *Ts], R], args: tuple[*Ts]) -> R:
    return function(_detectors[0], *args)
