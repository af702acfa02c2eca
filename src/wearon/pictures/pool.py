"""Processes that decode pictures off the event loop; one that a picture hangs or kills is replaced.

PictureError         no picture comes out of these bytes, whoever tries
ProcessFailed        nothing is known about the picture: to be tried again later
  ProcessDied        its process was lost, or had no memory for it
  NoProcess          there was none to be had
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from wearon.child_answers import Raised
from wearon.child_process import ChildProcess, NeverBegun, ProcessDied, ProcessFailed
from wearon.dependencies import Dependencies, Dependency
from wearon.errand import current_errand
from wearon.fair_slots import FairSlots
from wearon.pictures import suspects
from wearon.pictures.decode import PictureError, ensure_jpeg, prepare
from wearon.pictures.suspects import Suspects

log = structlog.get_logger()

TIME_LIMIT_S = 15.0
"""For one picture. The slowest ones known (see `Bare.work_s`) take 0.8 s on an idle core, and ten processes may share
one."""

START_LIMIT_S = 60.0
"""For a process to begin: 0.4 s, but the first one may happen on a cold disk."""

IN_HAND = 2
"""Pictures that a process is given at once: it need not wait for the loop between them, which has much else to do."""

TOGETHER = 2
"""Processes that a picture may lose before it is taken for a suspect: the system ends them for others' sake."""

MEMORY_LIMIT_BYTES = 1280 * 1024 * 1024
"""For one process. The hungriest picture known (a PNG of 50 megapixels and 256 colours, some clear) needs 480 MB. What
needs more is not a picture but a fault in a decoder: the process says no before the machine's memory is gone."""


class NoProcess(ProcessFailed):
    """The system has no process, no memory or no descriptor left for one."""


class PicturePool:
    """`prepare` and `ensure_jpeg` in `processes` processes of their own (35 MB each).

    Served are in turn those for whom the fewest are in hand (`wearon.errand`), so that one shop's pictures, each of
    which costs a second at most, do not keep another's waiting; pictures that are paid wait for nobody's.
    `dependencies` is told of processes that cannot be had.
    """

    def __init__(
        self, processes: int, *, time_limit_s: float = TIME_LIMIT_S, dependencies: Dependencies | None = None
    ) -> None:
        self._time_limit_s = time_limit_s
        self._dependencies = dependencies or Dependencies()
        self._slots = [self._slot() for _ in range(processes)]
        self._places = FairSlots(processes * IN_HAND)
        self._alone = asyncio.Semaphore(processes)
        self._suspects = Suspects()
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def start(self) -> None:
        """Start the processes, so that the first pictures need not wait for that. One that cannot be had now is tried
        again when it is wanted.
        """
        started = await asyncio.gather(*(slot.ready() for slot in self._slots), return_exceptions=True)
        for failure in started:
            if isinstance(failure, NoProcess):
                log.error("picture process does not start", error=str(failure))
            elif isinstance(failure, BaseException):
                raise failure

    async def prepare(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.prepare`.

        Raises PictureError, also when the picture took too long or processes that it had for itself were lost again and
        again, and ProcessFailed.
        """
        return await self._run(prepare, data)

    async def ensure_jpeg(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.ensure_jpeg`, for pictures that are paid.

        Raises PictureError only for what was seen in the picture, and ProcessFailed however often processes are lost.
        """
        return await self._run(ensure_jpeg, data, paid=True)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for work in self._under_way:
            work.cancel()
        for slot in self._slots:
            slot.close()

    def _slot(self) -> "_Slot":
        return _Slot(self._time_limit_s, self._dependencies)

    async def _run(self, function: Callable[[bytes], bytes], data: bytes, *, paid: bool = False) -> bytes:
        try:
            if not (self._suspects and self._suspects.knows(await _digest(data))):
                for _ in range(TOGETHER):
                    try:
                        return await self._together(function, data, "" if paid else current_errand().owner)
                    except ProcessDied as error:
                        log.warning("picture process lost", error=str(error))
            return await self._by_itself(function, data)
        except (ProcessDied, NoProcess):
            raise
        except ProcessFailed as error:  # it took too long
            if paid:
                raise
            raise _not_decoded(error) from error
        except _ToBlame as error:
            if paid:
                raise error.loss from error
            raise _not_decoded(error.loss) from error

    async def _together(self, function: Callable[[bytes], bytes], data: bytes, owner: str) -> bytes:
        await self._places.acquire(owner)
        slot = min(self._slots, key=lambda slot: slot.in_hand)
        slot.in_hand += 1
        # Finished even when nobody waits any more (another picture of the task was refused): cancelling would end the
        # process, and the next picture, given to it at that moment, could be lost and taken for one that hangs.
        work = asyncio.create_task(self._work(slot, function, data, owner))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        return await asyncio.shield(work)

    async def _work(self, slot: "_Slot", function: Callable[[bytes], bytes], data: bytes, owner: str) -> bytes:
        try:
            return await slot.run(function, data)
        finally:
            slot.in_hand -= 1
            self._places.release(owner)

    async def _by_itself(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        """In a new process that nobody else has. Raises _ToBlame when it is lost once too often."""
        suspect = await _digest(data)
        self._suspects.add(suspect)
        async with self._alone:
            slot = self._slot()
            try:
                await slot.ready()
                began = time.monotonic()
                decoded = await slot.run(function, data)
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
                slot.close()
        self._suspects.clear(suspect)
        return decoded

    async def _our_own_come_through(self, seconds: float) -> bool:
        slot = self._slot()
        try:
            process = await slot.ready()
            await process.run(seconds + self._time_limit_s, suspects.decode_our_own, seconds)
        except Exception as error:  # noqa: BLE001 (whatever it is, the suspect has nothing to do with it)
            log.warning("pictures of our own cannot be decoded either", error=f"{type(error).__name__}: {error}")
            return False
        finally:
            slot.close()
        return True


class _ToBlame(Exception):
    """A picture has lost processes again and again that it had for itself, the last one by `loss`."""

    def __init__(self, loss: ProcessDied) -> None:
        super().__init__(str(loss))
        self.loss = loss


class _Slot:
    """The place of one process. One that is gone, at work or idle, is replaced when it is wanted next."""

    def __init__(self, time_limit_s: float, dependencies: Dependencies) -> None:
        self._time_limit_s = time_limit_s
        self._dependencies = dependencies
        self._process: ChildProcess | None = None
        self._starting = asyncio.Lock()
        self.in_hand = 0
        """Pictures given to it and not done."""

    async def ready(self) -> ChildProcess:
        """A process to be given work, a new one if need be. Raises NoProcess."""
        async with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            self.close()  # one that died idle has left its socket behind
            try:
                self._process = await ChildProcess.start(memory_limit_bytes=MEMORY_LIMIT_BYTES)
                await self._process.run(START_LIMIT_S, suspects.warm_up)
            except Exception as error:  # whatever its imports met with
                self.close()
                self._dependencies.refused(
                    Dependency.MACHINE, "no process for pictures can be started", asked="picture process"
                )
                raise NoProcess(f"no process could be had: {type(error).__name__}: {error}") from error
            self._dependencies.answered(Dependency.MACHINE, asked="picture process")
            return self._process

    async def run(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        """Raises PictureError, NoProcess, ProcessDied, and ProcessFailed for what took too long."""
        while True:
            process = await self.ready()
            try:
                answer = await process.send(function, data).answer(self._time_limit_s)
            except NeverBegun:
                continue  # the picture before this one ended the process
            if not isinstance(answer, Raised):
                return answer.value
            if isinstance(answer.error, PictureError):
                raise answer.error
            # It says nothing about the picture, and a process that has no memory left will not get any.
            await process.end()
            raise ProcessDied(f"its process could not go on: {type(answer.error).__name__}: {answer.error}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


async def _digest(data: bytes) -> bytes:
    return await asyncio.to_thread(suspects.digest, data)


def _not_decoded(error: ProcessFailed) -> PictureError:
    return PictureError(f"could not be decoded: {error}")
