"""Processes that decode pictures off the event loop; one that a picture hangs or kills is replaced."""

import asyncio
from collections.abc import Callable

from wearon.child_answers import Raised
from wearon.child_process import ChildProcess, NeverBegun, ProcessDied, ProcessFailed
from wearon.pictures.decode import PictureError, ensure_jpeg, prepare

TIME_LIMIT_S = 15.0
"""For one picture. The slowest one known (a WebP of 50 megapixels with alpha) takes 2 s on an idle core, and
ten processes may share one."""

START_LIMIT_S = 60.0
"""For a process to begin: 0.4 s, but the first one may happen on a cold disk."""

IN_HAND = 2
"""Pictures that a process is given at once: it need not wait for the loop between them, which has much else to do."""

MEMORY_LIMIT_BYTES = 1280 * 1024 * 1024
"""For one process. The hungriest picture (a WebP of 50 megapixels with alpha) needs 870 MB. What
needs more is not a picture but a fault in a decoder: the process says no before the machine's memory is gone."""


class PicturePool:
    """`prepare` and `ensure_jpeg` in `processes` processes of their own (35 MB each)."""

    def __init__(self, processes: int, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._slots = [_Slot(time_limit_s) for _ in range(processes)]
        self._places = asyncio.Semaphore(processes * IN_HAND)
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def start(self) -> None:
        """Start the processes, so that the first pictures need not wait for that. Raises ProcessFailed."""
        await asyncio.gather(*(slot.ready() for slot in self._slots))

    async def prepare(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.prepare`.

        Raises PictureError, also when the picture took too long or two processes died of it, and ProcessFailed when
        no process could be had.
        """
        return await self._run(prepare, data)

    async def ensure_jpeg(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.ensure_jpeg`. Raises what `prepare` raises."""
        return await self._run(ensure_jpeg, data)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for work in self._under_way:
            work.cancel()
        for slot in self._slots:
            slot.close()

    async def _run(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        await self._places.acquire()
        slot = min(self._slots, key=lambda slot: slot.in_hand)
        slot.in_hand += 1
        # Finished even when nobody waits any more (another picture of the task was refused): cancelling would end the
        # process, and the next picture, given to it at that moment, could be lost and taken for one that hangs.
        work = asyncio.create_task(self._work(slot, function, data))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        return await asyncio.shield(work)

    async def _work(self, slot: "_Slot", function: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return await slot.run(function, data)
        finally:
            slot.in_hand -= 1
            self._places.release()


class _Slot:
    """The place of one process. One that is gone, at work or idle, is replaced when it is wanted next."""

    def __init__(self, time_limit_s: float) -> None:
        self._time_limit_s = time_limit_s
        self._process: ChildProcess | None = None
        self._starting = asyncio.Lock()
        self.in_hand = 0
        """Pictures given to it and not done."""

    async def ready(self) -> ChildProcess:
        """A process to be given work, a new one if need be. Raises ProcessFailed."""
        async with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            self.close()  # one that died idle has left its socket behind
            try:
                self._process = await ChildProcess.start(memory_limit_bytes=MEMORY_LIMIT_BYTES)
            except OSError as error:  # the system has no memory or process number left
                raise ProcessFailed(f"no process could be had: {error}") from error
            await self._process.run(START_LIMIT_S, _warm_up)
            return self._process

    async def run(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        died = False
        while True:
            process = await self.ready()
            try:
                answer = await process.send(function, data).answer(self._time_limit_s)
            except NeverBegun:
                continue  # the picture before this one ended the process
            except ProcessDied as error:
                # The system may have ended it for others' sake, idle or at work. Dying twice is the picture's fault.
                if died:
                    raise _not_decoded(error) from error
                died = True
            except ProcessFailed as error:
                raise _not_decoded(error) from error
            else:
                if isinstance(answer, Raised):
                    raise answer.error
                return answer.value

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()


def _not_decoded(error: ProcessFailed) -> PictureError:
    return PictureError(f"could not be decoded: {error}")


def _warm_up() -> None:
    """Importing this module has loaded the decoders."""
