"""A pool of processes for one kind of work: each is warmed before it is given any, and replaced when it is lost.

ProcessFailed     see `wearon.processes.child`
  NoProcess       no process could be started
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, TypeVarTuple

import structlog

from wearon.dependencies import Dependencies, Dependency
from wearon.processes.answers import Raised, Returned
from wearon.processes.child import Call, ChildProcess, NeverBegun, ProcessDied, ProcessFailed

log = structlog.get_logger()

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

START_LIMIT_S = 60.0
"""Limit for starting and warming a process: 0.4 s for pictures, 1-5 s for the pose model, much longer on a cold
disk."""

RESTART_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Pauses between attempts to replace a process that does not come up; the last one for ever."""

AHEAD_S = 0.02
"""How long before its call is expected to end a process is sent the next one. It has that at hand then and need not
wait for the loop, which may be busy with others for some milliseconds (4 % more estimates a second)."""


class NoProcess(ProcessFailed):
    """The system has no process, no memory or no descriptor left for one, or what it is to load does not load."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the processes of a pool have in common."""

    name: str
    """What log lines call them."""
    memory_limit_bytes: int
    is_fault: Callable[[Exception], bool]
    """Whether an error that a call raised means that its process must be replaced."""
    warm_up: Callable[..., None]
    """The first call of each process."""
    warm_up_args: tuple[Any, ...] = ()


@dataclass(slots=True, eq=False)
class Worker:
    """A warm process of a pool."""

    process: ChildProcess
    calls: int = 0
    """Calls sent to it and not answered: two when one was sent ahead."""
    nearly_done: bool = False
    """Whether the call that it has begun is expected to end soon."""


@dataclass(frozen=True, slots=True)
class Sent(Generic[R]):
    """A call that was sent to a process of a pool. `ProcessPool.answer` must follow, or the process stays occupied."""

    call: Call[R]
    worker: Worker


class ProcessPool:
    """`processes` processes of one kind. `dependencies` is notified when none can be started, and when one can."""

    def __init__(self, kind: Kind, processes: int, dependencies: Dependencies) -> None:
        self.processes = processes
        self._kind = kind
        self._dependencies = dependencies
        self._workers: list[Worker] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._seekers: deque[asyncio.Future[Worker]] = deque()

    @property
    def running(self) -> bool:
        """Whether it was started, and not closed."""
        return bool(self._workers or self._starting)

    @property
    def warm(self) -> int:
        """How many of the processes are warm and alive."""
        return sum(worker.process.alive for worker in self._workers)

    async def start(self) -> None:
        """Start all processes. Those that do not come up are tried again; raises NoProcess when none comes up."""
        started = await asyncio.gather(*(self._add() for _ in range(self.processes)), return_exceptions=True)
        failures = [failure for failure in started if failure is not None]
        for failure in failures:
            log.error(f"{self._kind.name} process does not start", error=str(failure))
            self._replace(None)
        if len(failures) == len(started):
            raise failures[0]

    async def send(
        self, function: Callable[[*Ts], R], *args: *Ts, speaks_for: Callable[..., R] | None = None
    ) -> Sent[R]:
        """Wait for a process that is free or nearly so, first come, first served, and send it a call.

        See `ChildProcess.send`. Raises NoProcess when there is none and none can be started.
        """
        worker = await self._free()
        try:
            return Sent(worker.process.send(function, *args, speaks_for=speaks_for), worker)
        except BaseException:
            self._release(worker)
            raise

    async def answer(self, sent: Sent[R], timeout: float, typical_s: float = 0.0) -> Returned[R] | Raised:
        """What came of a call, which may take `timeout` seconds and takes `typical_s` as a rule.

        Raises ProcessFailed when the process was lost: NeverBegun when that was not this call's doing.
        """
        worker = sent.worker
        try:
            await sent.call.begins()
            timer = asyncio.get_running_loop().call_later(typical_s - AHEAD_S, self._expect_end, worker)
            try:
                answer = await self.outcome(sent.call, timeout)
            finally:
                timer.cancel()
                worker.nearly_done = False
        except BaseException as error:
            if isinstance(error, ProcessFailed) and not isinstance(error, NeverBegun):
                log.warning(f"{self._kind.name} process lost", error=str(error))
            self._lose(worker)
            raise
        self._release(worker)
        return answer

    async def outcome(self, call: Call[R], timeout: float) -> Returned[R] | Raised:
        """What came of a call to a process of this kind. Raises ProcessFailed, also when the process cannot go on."""
        answer = await call.answer(timeout)
        if isinstance(answer, Raised) and self._kind.is_fault(answer.error):
            raise ProcessDied(f"its process could not go on: {type(answer.error).__name__}: {answer.error}")
        return answer

    async def start_process(self) -> ChildProcess:
        """Start and warm up one process more, which is the caller's to end. Raises NoProcess."""
        asked = f"{self._kind.name} process"
        try:
            process = await ChildProcess.start(memory_limit_bytes=self._kind.memory_limit_bytes)
            try:
                await process.run(START_LIMIT_S, self._kind.warm_up, *self._kind.warm_up_args)
            except BaseException:
                process.kill()  # it may hold 100 MB until the next attempt
                process.join()
                raise
        except Exception as error:
            words = f"no process for {self._kind.name}s can be started"
            self._dependencies.refused(Dependency.MACHINE, words, asked=asked)
            raise NoProcess(f"no process could be had: {type(error).__name__}: {error}") from error
        self._dependencies.answered(Dependency.MACHINE, asked=asked)
        return process

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for task in self._starting:
            task.cancel()
        self._starting.clear()
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
        self._workers.clear()
        self._refuse(NoProcess("the pool was closed"))

    async def _free(self) -> Worker:
        if not self.running:
            raise NoProcess("the pool is not running")
        # Neither asyncio's queues nor a look at the processes first would keep the order: a caller who comes just when
        # a process becomes free would go before those who wait.
        seeker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._seekers.append(seeker)
        self._hand_out()
        try:
            return await seeker
        except asyncio.CancelledError:
            if seeker.done() and not seeker.cancelled() and seeker.exception() is None:
                self._release(seeker.result())
            raise

    def _hand_out(self) -> None:
        """Give free processes to those who wait. Every change that may free one must call this."""
        while self._seekers:
            if self._seekers[0].done():  # its caller has gone
                self._seekers.popleft()
            elif worker := self._take():
                self._seekers.popleft().set_result(worker)
            else:
                break

    def _take(self) -> Worker | None:
        """The process that is free soonest, counted as having one call more from here on; None when all have enough."""
        for worker in [worker for worker in self._workers if not worker.process.alive]:  # died while it was idle
            self._lose(worker)
        free = [worker for worker in self._workers if worker.calls == 0 or (worker.calls == 1 and worker.nearly_done)]
        soonest = min(free, key=lambda worker: worker.calls, default=None)
        if soonest is not None:
            soonest.calls += 1
        return soonest

    def _release(self, worker: Worker) -> None:
        worker.calls -= 1
        self._hand_out()

    def _expect_end(self, worker: Worker) -> None:
        worker.nearly_done = True
        self._hand_out()

    def _lose(self, worker: Worker) -> None:
        if worker in self._workers:  # it may have failed several calls
            self._workers.remove(worker)
            self._replace(worker.process)

    def _replace(self, lost: ChildProcess | None) -> None:
        task = asyncio.create_task(self._keep_trying(lost))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _keep_trying(self, lost: ChildProcess | None) -> None:
        if lost is not None:
            await lost.end()
        for delay in itertools.chain(RESTART_DELAYS_S, itertools.repeat(RESTART_DELAYS_S[-1])):
            try:
                await self._add()
            except NoProcess as error:
                log.error(f"{self._kind.name} process does not start", error=str(error), retry_in_s=delay)
                if not self._workers:
                    self._refuse(error)
                await asyncio.sleep(delay)
            else:
                log.info(f"{self._kind.name} process replaced")
                self._hand_out()
                return

    async def _add(self) -> None:
        self._workers.append(Worker(await self.start_process()))

    def _refuse(self, error: NoProcess) -> None:
        while self._seekers:
            seeker = self._seekers.popleft()
            if not seeker.done():
                seeker.set_exception(error)
