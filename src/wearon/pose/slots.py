"""The pose processes, each in its slot: who is given which, and new ones in the place of those that are lost."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import structlog

from wearon.child_process import Call, ChildProcess
from wearon.pose.detector import Detector

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

WARM_UP_SECONDS = 60.0
"""Importing mediapipe and loading the model takes 1-5 s; a cold disk much longer."""
MEMORY_LIMIT_BYTES = 1664 * 1024 * 1024
"""For one process: 350 MB when it is warm, and what the largest picture may need (see `wearon.pictures.pool`)."""
RESTART_DELAYS_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Between attempts to warm a process that does not come up; the last one for ever."""


class Slots:
    """So many processes, each warm before it is given a call. First come, first served.

    asyncio's queues do not promise that: who comes just when something is put in may take it before the first of those
    who wait, and he goes to the end.
    """

    def __init__(self, model_path: Path | None, processes: int) -> None:
        self._model_path = model_path
        self._processes = processes
        self._slots: list[Slot] = []
        self._seekers: deque[asyncio.Future[Slot]] = deque()
        self._background: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger()

    @property
    def there(self) -> bool:
        """Whether they have been started, and not closed."""
        return bool(self._slots)

    @property
    def warm(self) -> int:
        """How many of the processes are warm and alive."""
        return sum(slot.usable for slot in self._slots)

    async def start(self) -> None:
        """Warm all of them. Those that do not come up are tried again, unless none does: then nothing is left running,
        and the first one's error is raised.
        """
        self._slots = [Slot() for _ in range(self._processes)]
        started = await asyncio.gather(
            *(slot.warm_up(self._model_path) for slot in self._slots), return_exceptions=True
        )
        failures = [failure for failure in started if failure is not None]
        if len(failures) == len(started):
            self.close()
            raise failures[0]
        for slot, failure in zip(self._slots, started, strict=True):
            if failure is not None:
                self._log.error("pose process does not start", error=str(failure))
                slot.warming = False
                self.replace(slot)

    async def free(self) -> "Slot":
        """Wait for one that can be sent a call; it is to be given back when the call has been answered."""
        self._hand_out()
        if not self._seekers and (slot := self._take()):
            return slot
        seeker: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._seekers.append(seeker)
        try:
            return await seeker
        except asyncio.CancelledError:
            if not seeker.cancelled():
                self.give_back(seeker.result())
            raise

    def give_back(self, slot: "Slot") -> None:
        """It has one call less."""
        slot.in_hand -= 1
        self._hand_out()

    def is_nearly_done(self, slot: "Slot") -> None:
        """The call that it has begun is expected to end soon: it may be sent one more."""
        slot.nearly_done = True
        self._hand_out()

    def replace(self, slot: "Slot") -> None:
        """Its process is lost, or was ended: put a new one in its place. Once is enough, and twice does no harm."""
        if not slot.warming:
            slot.warming = True
            task = asyncio.create_task(self._warm_again(slot))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for task in self._background:
            task.cancel()
        for slot in self._slots:
            slot.close()
        self._slots = []

    def _take(self) -> "Slot | None":
        """The one that is free soonest, counted as having one call more from here on; None when all have enough."""
        free = []
        for slot in self._slots:
            if not slot.usable:  # it died while it was idle
                self.replace(slot)
            elif slot.in_hand == 0 or (slot.in_hand == 1 and slot.nearly_done):
                free.append(slot)
        soonest = min(free, key=lambda slot: slot.in_hand, default=None)
        if soonest is not None:
            soonest.in_hand += 1
        return soonest

    def _hand_out(self) -> None:
        """To be called whenever a process may have become free."""
        while self._seekers:
            if self._seekers[0].done():  # gone
                self._seekers.popleft()
            elif slot := self._take():
                self._seekers.popleft().set_result(slot)
            else:
                break

    async def _warm_again(self, slot: "Slot") -> None:
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


class Slot:
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
    def usable(self) -> bool:
        """Whether a warm process is here and alive."""
        return self._warm and self._process is not None and self._process.alive

    async def warm_up(self, model_path: Path | None) -> None:
        """Put a new process in the place of the one that was there.

        Raises what loading the model raises, and ProcessFailed.
        """
        self._warm = False
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join)
            self._process = None
        self._process = await ChildProcess.start(memory_limit_bytes=MEMORY_LIMIT_BYTES)
        try:
            await self._process.run(WARM_UP_SECONDS, _load, model_path)
        except BaseException:
            self._process.kill()  # it may hold 100 MB until the next attempt
            raise
        self._warm = True
        self.warming = False
        self.in_hand = 0

    def send(self, function: Callable[[Detector, *Ts], R], args: tuple[*Ts]) -> Call[R]:
        """See `ChildProcess.send`."""
        assert self._process is not None
        return self._process.send(_call, function, args, speaks_for=function)

    def close(self) -> None:
        """End the process."""
        self._warm = False
        if self._process is not None:
            self._process.kill()
            self._process.join()


# What follows runs in the pose processes.


_detectors: list[Detector] = []
"""The process's detector: loading one takes seconds, and a process does one thing after the other."""


def _load(model_path: Path | None) -> None:
    _detectors.append(Detector(model_path))


def _call(function: Callable[[Detector, *Ts], R], args: tuple[*Ts]) -> R:
    return function(_detectors[0], *args)
