"""Processes that decode pictures off the event loop; one that a picture hangs or kills is replaced.

PictureError         no picture comes out of these bytes, however often it is tried
ProcessFailed        nothing is known about the picture: to be tried again later
  Starved            it got little of the processors in its time: the machine has too much to do
  ProcessDied        its process was lost, or had no memory for it
  NoProcess          no process could be started
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import structlog

from wearon.dependencies import Dependencies
from wearon.pictures import suspects
from wearon.pictures.decode import PictureError, ensure_jpeg, prepare
from wearon.pictures.suspects import Suspects
from wearon.processes.answers import Raised, Returned
from wearon.processes.child import Call, NeverBegun, ProcessDied, ProcessFailed, Starved
from wearon.processes.pool import Kind, NoProcess, ProcessPool
from wearon.resources.fair_slots import Budget, FairSlots
from wearon.resources.work import Purpose, Work, current_work

log = structlog.get_logger()

TIME_LIMIT_S = 15.0
"""Limit for one picture. The slowest ones known (see `Bare.work_s`) take 0.8 s on an idle core. What gets less than a
third of this from a busy machine is tried again later."""

IN_HAND = 2
"""Pictures that a process is given at once: it need not wait for the loop between them, which has much else to do."""

TOGETHER = 2
"""Processes that a picture may lose before it is a suspect: the system ends processes when others need memory."""

TASK_CPU_S = 10.0
"""CPU seconds for all pictures of one attempt at a task: ten of the slowest kind. An honest task needs a half."""

OWNER_CPU_S = 5.0
OWNER_HALF_LIFE_S = 30.0
"""CPU seconds that an owner may have used lately before all others go first: fifty pictures of 12 megapixels."""

MEMORY_LIMIT_BYTES = 1280 * 1024 * 1024
"""Limit for one process. The hungriest picture known (a PNG of 50 megapixels and 256 colours, some clear) needs 480 MB.
What needs more is not a picture but a fault in a decoder: the process says no before the machine's memory is gone."""


def _is_fault(error: Exception) -> bool:
    """Anything but a reason says nothing about the picture, and a process that has no memory left will not get any."""
    return not isinstance(error, PictureError)


KIND = Kind("picture", MEMORY_LIMIT_BYTES, _is_fault, suspects.warm_up)


class PicturePool:
    """`prepare` and `ensure_jpeg` in `processes` processes of their own (35 MB each).

    Served are in turn those for whom the fewest are in hand (`wearon.resources.work`), before those whose pictures
    have used up a budget of CPU: one shop's pictures, each of which costs a second at most, do not keep another's
    waiting. A task whose pictures have cost too much is refused; pictures that are paid wait for no others.
    `dependencies` is notified when no process can be started.
    """

    def __init__(self, processes: int, *, dependencies: Dependencies, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._pool = ProcessPool(KIND, processes, dependencies)
        self._budget = Budget(OWNER_CPU_S, OWNER_HALF_LIFE_S)
        self._places = FairSlots(processes * IN_HAND, budget=self._budget)
        self._alone = asyncio.Semaphore(processes)
        self._suspects = Suspects()
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def start(self) -> None:
        """Start the processes, so that the first pictures need not wait for that. One that cannot be had now is tried
        again.
        """
        with suppress(NoProcess):
            await self._pool.start()

    async def prepare(self, data: bytes) -> bytes:
        """Prepare an input picture for the image model (`wearon.pictures.decode.prepare`).

        Raises PictureError, also when the picture took too long on processors that it had, its task has used up its
        CPU seconds, or processes that it had for itself were lost again and again, and ProcessFailed.
        """
        return await self._run(prepare, data)

    async def ensure_jpeg(self, data: bytes) -> bytes:
        """Check a paid picture, and make it a JPEG (`wearon.pictures.decode.ensure_jpeg`).

        Raises PictureError only for what was seen in the picture, and ProcessFailed however often processes are lost.
        """
        return await self._run(ensure_jpeg, data, paid=True)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for running in self._under_way:
            running.cancel()
        self._pool.close()

    async def _run(self, function: Callable[[bytes], bytes], data: bytes, *, paid: bool = False) -> bytes:
        work = Work(Purpose.ANSWER) if paid else current_work()
        try:
            if not (self._suspects and self._suspects.knows(await _digest(data))):
                for _ in range(TOGETHER):
                    with suppress(ProcessDied):  # perhaps not because of this picture
                        return await self._together(function, data, work)
            return await self._by_itself(function, data, work)
        except (Starved, ProcessDied, NoProcess):
            raise
        except ProcessFailed as error:  # it took too long
            if paid:
                raise
            raise _not_decoded(error) from error
        except _ToBlame as error:
            if paid:
                raise error.loss from error
            raise _not_decoded(error.loss) from error

    async def _together(self, function: Callable[[bytes], bytes], data: bytes, work: Work) -> bytes:
        await self._places.acquire(work.owner)
        # Finished even when its caller has gone (another picture of the task was refused): cancelling would end the
        # process, and the next picture, given to it at that moment, could be lost and look like one that hangs.
        running = asyncio.create_task(self._work(function, data, work))
        self._under_way.add(running)
        running.add_done_callback(self._under_way.discard)
        return await asyncio.shield(running)

    async def _work(self, function: Callable[[bytes], bytes], data: bytes, work: Work) -> bytes:
        try:
            while True:
                _refuse_spendthrift(work)  # other pictures of its task were served while it waited
                sent = await self._pool.send(function, data)
                with suppress(NeverBegun), self._charged(sent.call, work):  # the picture before it ended the process
                    return _value(await self._pool.answer(sent, self._time_limit_s))
        finally:
            self._places.release(work.owner)

    @contextmanager
    def _charged(self, call: Call[bytes], work: Work) -> Iterator[None]:
        """Charge what the call costs within the block to its task and its owner. Raises PictureError."""
        try:
            yield
        finally:
            if work.spent is not None:
                work.spent.cpu_s += call.cpu_s
            if work.owner:
                self._budget.charge(work.owner, call.cpu_s)
        _refuse_spendthrift(work)

    async def _by_itself(self, function: Callable[[bytes], bytes], data: bytes, work: Work) -> bytes:
        """Decode it in a new process of its own. Raises _ToBlame when that is lost once too often."""
        _refuse_spendthrift(work)
        suspect = await _digest(data)
        self._suspects.add(suspect)
        async with self._alone:
            process = await self._pool.start_process()
            began = time.monotonic()
            try:
                call = process.send(function, data)
                with self._charged(call, work):
                    decoded = _value(await self._pool.outcome(call, self._time_limit_s))
            except ProcessDied as error:
                log.warning("process lost by a picture that was alone in it", error=str(error))
                seconds = suspects.control_seconds(time.monotonic() - began)
                if not await self._our_own_come_through(seconds):
                    self._suspects.spare(suspect)
                elif self._suspects.strike(suspect):
                    self._suspects.clear(suspect)
                    raise _ToBlame(error) from error
                raise
            except PictureError:
                self._suspects.clear(suspect)
                raise
            finally:
                await process.end()
        self._suspects.clear(suspect)
        return decoded

    async def _our_own_come_through(self, seconds: float) -> bool:
        try:
            process = await self._pool.start_process()
            try:
                await process.run(seconds + self._time_limit_s, suspects.decode_our_own, seconds)
            finally:
                await process.end()
        except Exception as error:  # noqa: BLE001 (whatever it is, the suspect has nothing to do with it)
            log.warning("pictures of our own cannot be decoded either", error=f"{type(error).__name__}: {error}")
            return False
        return True


class _ToBlame(Exception):
    """A picture has lost processes again and again that it had for itself, the last one by `loss`."""

    def __init__(self, loss: ProcessDied) -> None:
        super().__init__(str(loss))
        self.loss = loss


def _value(answer: Returned[bytes] | Raised) -> bytes:
    if isinstance(answer, Raised):
        raise answer.error
    return answer.value


async def _digest(data: bytes) -> bytes:
    return await asyncio.to_thread(suspects.digest, data)


def _refuse_spendthrift(work: Work) -> None:
    if work.spent is not None and work.spent.cpu_s > TASK_CPU_S:
        raise PictureError(f"belongs to a task whose pictures take more than {TASK_CPU_S:g} s of a processor")


def _not_decoded(error: ProcessFailed) -> PictureError:
    return PictureError(f"could not be decoded: {error}")
