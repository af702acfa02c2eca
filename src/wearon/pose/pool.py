"""Processes that hold a warm pose detector, and the queue in front of them.

    PoseError
    ├── PoseBusy          too many are waiting: an answer would come too late to be of use
    └── PoseUnavailable   no process could do it: starting, replaced, hung on this picture or died of it

Whichever process hangs or dies is thrown away and a new one warmed in its place, while the others go on; a call that it
had not begun goes back into the line. A process is given work only when it has run an inference.

Who would wait too long is refused at once (`PosePool.place`): a queue that only grows serves nobody in time.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, TypeVarTuple

import structlog

from wearon.child_process import Call, ChildProcess, ProcessFailed, Raised, Returned
from wearon.metrics import Metrics
from wearon.pose.detector import Detector

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

WARM_UP_SECONDS = 60.0
"""Importing mediapipe and loading the model takes 2-5 s, building the bundle 1 s more; a cold disk much longer."""
MAX_WAIT_SECONDS = 0.7
"""The contract promises an estimate in under 1 s; the picture's download and the inference need the rest."""
ADMISSION = 0.7
"""Share of the longest wait up to which callers are let in: those who are should be served, and the forecast errs."""
FETCH_SECONDS = 0.3
"""For so long a caller counts as being in line without having handed in a picture. Storage needs a tenth of that; who
waits for a slow server must not keep others out."""
TYPICAL_RUN_SECONDS = 0.08
"""Decoding plus inference on a picture of 512 px: what a call is taken to cost until calls have been measured."""
MEMORY_LIMIT_BYTES = 1664 * 1024 * 1024
"""For one process: 350 MB when it is warm, and what the largest picture may need (see `wearon.pictures.pool`)."""
AHEAD_SECONDS = 0.02
"""So long before its call is expected to end a process is sent the next one, if somebody waits: it has it at hand then
and need not wait for the loop, which may be busy with others for some milliseconds (4 % more estimates a second)."""
OVERRUN_SECONDS = 0.1
"""Who has been sent ahead and waits for longer stands behind a call that takes longer than was thought, and goes back
into the line. His call runs in vain then, if ever."""
RESTART_DELAYS_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Between attempts to warm a process that does not come up; the last one for ever."""


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
        self._model_path = model_path
        self._max_wait = max_wait_seconds
        self._slots: list[_Slot] = []
        self._seekers: deque[asyncio.Future[_Slot]] = deque()
        self._line: set[_Ticket] = set()
        self._run_seconds: dict[str, float] = {}
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
        return sum(slot.usable for slot in self._slots)

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return sum(ticket.waiting for ticket in self._line)

    @property
    def expected_wait_s(self) -> float:
        """How long a call that came now would wait for a process, in seconds."""
        ahead, processes = self._ahead(), max(1, self.warm)
        return sum(ahead) / processes if len(ahead) >= processes else 0.0

    async def start(self) -> None:
        """Start all processes and return when each has run one inference.

        Raises PoseUnavailable, with the reason, when one does not come up; nothing is left running then.
        """
        self._slots = [_Slot() for _ in range(self.processes)]
        started = await asyncio.gather(
            *(slot.warm_up(self._model_path) for slot in self._slots), return_exceptions=True
        )
        failures = [result for result in started if result is not None]
        if failures:
            self.close()
            raise PoseUnavailable(f"the pose model could not be started: {failures[0]}") from failures[0]
        self._log.info("pose processes are warm", processes=self.processes)

    @contextmanager
    def place(self, function: Callable[[Detector, *Ts], R]) -> "Iterator[Place[R, *Ts]]":
        """A place in line for one call, to be taken before its picture is fetched: who comes too late learns it now.

        Raises PoseBusy when a process would not be free in time, PoseUnavailable when there is none.
        """
        with self._counted(unless="answered"):
            ticket = self._admit(function)
        try:
            yield Place(self, function, ticket)
        finally:
            if not ticket.running:
                self._line.discard(ticket)

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

    async def _run(
        self, ticket: "_Ticket", function: Callable[[Detector, *Ts], R], args: tuple[*Ts], timeout: float
    ) -> R:
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
        for slot in self._slots:
            slot.close()
        self._slots = []
        self._line.clear()

    async def _begin(
        self, ticket: "_Ticket", function: Callable[[Detector, *Ts], R], args: tuple[*Ts], timeout: float
    ) -> asyncio.Task[Returned[R] | Raised]:
        """Wait until a process has begun the call; the task finishes it, whether anybody still waits or not."""
        self._line.discard(ticket)  # nobody waits for himself
        self._refuse_when_late(self._max_wait)  # again: fetching the picture may have taken long
        self._line.add(ticket)
        ticket.waiting = True
        try:
            async with asyncio.timeout(self._max_wait):
                while True:
                    slot = await self._free_slot()
                    try:
                        call = slot.send(function, args)
                    except BaseException:
                        self._give_back(slot)
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

    def _admit(self, function: Callable[..., object]) -> "_Ticket":
        self._refuse_when_late(ADMISSION * self._max_wait)
        ticket = _Ticket(self._run_seconds.get(function.__qualname__, TYPICAL_RUN_SECONDS))
        self._line.add(ticket)
        return ticket

    async def _free_slot(self) -> "_Slot":
        """Wait for one that can be sent a call. First come, first served, which asyncio's queues do not promise."""
        self._hand_out()
        if not self._seekers and (slot := self._take()):
            return slot
        seeker: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self._seekers.append(seeker)
        try:
            return await seeker
        except asyncio.CancelledError:
            if not seeker.cancelled():
                self._give_back(seeker.result())
            raise

    def _take(self) -> "_Slot | None":
        """The one that is free soonest, counted as having one call more from here on; None when all have enough."""
        for slot in self._slots:
            if not slot.usable:  # it died while it was idle
                self._replace(slot)
        soonest = min((slot for slot in self._slots if slot.free), key=lambda slot: slot.in_hand, default=None)
        if soonest is not None:
            soonest.in_hand += 1
        return soonest

    def _give_back(self, slot: "_Slot") -> None:
        slot.in_hand -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        """To be called whenever a process may have become free."""
        while self._seekers:
            if self._seekers[0].done():  # gone
                self._seekers.popleft()
            elif slot := self._take():
                self._seekers.popleft().set_result(slot)
            else:
                break

    def _is_nearly_done(self, slot: "_Slot") -> None:
        slot.nearly_done = True
        self._hand_out()

    def _refuse_when_late(self, longest_wait: float) -> None:
        """Say no now rather than after a wait in vain: those who can still be served are served sooner."""
        if not self._slots:
            raise PoseUnavailable("the pose pool is not running")
        if self.expected_wait_s > longest_wait:
            raise PoseBusy(f"{len(self._ahead())} pictures are ahead")

    def _ahead(self) -> list[float]:
        return [seconds for ticket in self._line if (seconds := ticket.remaining())]

    async def _work(
        self, slot: "_Slot", ticket: "_Ticket", call: Call[R], kind: str, timeout: float
    ) -> Returned[R] | Raised:
        typical = self._run_seconds.get(kind, TYPICAL_RUN_SECONDS)
        try:
            if not await call.begins():
                return Raised(PoseUnavailable("the pose process was lost"))  # of a call before: its task replaces it
            ticket.start()
            began = time.monotonic()
            timer = asyncio.get_running_loop().call_later(typical - AHEAD_SECONDS, self._is_nearly_done, slot)
            try:
                outcome = await call.answer(timeout)
            finally:
                timer.cancel()
                slot.nearly_done = False
        except ProcessFailed as error:
            self._log.warning("pose process lost", error=str(error))
            self._replace(slot)
            return Raised(PoseUnavailable(f"the pose process was lost: {error}"))
        finally:
            self._line.discard(ticket)
        self._give_back(slot)
        seconds = time.monotonic() - began
        self._metrics.pose_run.observe(seconds)
        # A moving average over about ten calls: follows a change of load in a second, but not one large photo. One for
        # each function: a preview takes ten times as long as an estimate, and must not turn estimates away.
        typical = self._run_seconds.get(kind, TYPICAL_RUN_SECONDS)
        self._run_seconds[kind] = typical + 0.1 * (seconds - typical)
        return outcome

    def _replace(self, slot: "_Slot") -> None:
        if not slot.warming:
            slot.warming = True
            self._in_background(self._warm_again(slot))

    async def _warm_again(self, slot: "_Slot") -> None:
        for attempt in itertools.count():
            try:
                await slot.warm_up(self._model_path)
            except Exception as error:  # noqa: BLE001 (there is nobody to tell; /health shows it, and we try again)
                delay = RESTART_DELAYS_SECONDS[min(attempt, len(RESTART_DELAYS_SECONDS) - 1)]
                self._log.error("pose process does not start", error=str(error), retry_in_s=delay)
                await asyncio.sleep(delay)
            else:
                self._hand_out()
                self._log.info("pose process replaced")
                return

    def _in_background(self, coroutine: Coroutine[object, object, R]) -> asyncio.Task[R]:
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


class Place(Generic[R, *Ts]):
    """A place in line, made by `PosePool.place`."""

    def __init__(self, pool: PosePool, function: Callable[[Detector, *Ts], R], ticket: "_Ticket") -> None:
        self._pool = pool
        self._function = function
        self._ticket = ticket

    async def run(self, *args: *Ts, timeout: float = 5.0) -> R:
        """See `PosePool.run`. Once only."""
        with self._pool._counted():  # noqa: SLF001 (the pool's own other half)
            return await self._pool._run(self._ticket, self._function, args, timeout)  # noqa: SLF001


@dataclass(slots=True, eq=False)
class _Ticket:
    """What the line is expected to do for one caller."""

    seconds: float
    """How long such a call takes as a rule."""
    taken_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    waiting: bool = False

    @property
    def running(self) -> bool:
        return self.started_at is not None

    def start(self) -> None:
        """A process has it now."""
        self.started_at = time.monotonic()

    def remaining(self) -> float:
        """Seconds of a process that it is still going to take; 0 for one whose picture does not come."""
        now = time.monotonic()
        if self.started_at is not None:
            # Never quite nothing: it may take longer than as a rule.
            return max(0.2 * self.seconds, self.seconds - (now - self.started_at))
        return self.seconds if self.waiting or now - self.taken_at < FETCH_SECONDS else 0.0


class _Slot:
    """The place of one process; usable while there is a warm one."""

    def __init__(self) -> None:
        self._process: ChildProcess | None = None
        self._warm = False
        self.in_hand = 0
        """Calls given to it and not answered: two when one was sent ahead."""
        self.nearly_done = False
        """Whether the call that it has begun is expected to end soon."""
        self.warming = True
        """Whether somebody is at putting a process here."""

    @property
    def free(self) -> bool:
        """Whether it can be sent a call now."""
        return self.usable and (self.in_hand == 0 or (self.in_hand == 1 and self.nearly_done))

    @property
    def usable(self) -> bool:
        return self._warm and self._process is not None and self._process.alive

    async def warm_up(self, model_path: Path | None) -> None:
        """Put a new process in the place of the one that was there.

        Raises what loading the model raises, and ProcessFailed.
        """
        self._warm = False
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join)
        self._process = await ChildProcess.start(memory_limit_bytes=MEMORY_LIMIT_BYTES)
        await self._process.run(WARM_UP_SECONDS, _load, model_path)
        self._warm = True
        self.warming = False
        self.in_hand = 0

    def send(self, function: Callable[[Detector, *Ts], R], args: tuple[*Ts]) -> Call[R]:
        """See `ChildProcess.send`."""
        assert self._process is not None
        return self._process.send(_call, function, args)

    def close(self) -> None:
        self._warm = False
        if self._process is not None:
            self._process.kill()
            self._process.join()


# What follows runs in the pose processes.


_detectors: list[Detector] = []
"""The process's detector: loading one takes seconds, and a process is asked for one thing at a time."""


def _load(model_path: Path | None) -> None:
    _detectors.append(Detector(model_path))


def _call(function: Callable[[Detector, *Ts], R], args: tuple[*Ts]) -> R:
    return function(_detectors[0], *args)
