"""Processes that decode pictures off the event loop; one that a picture hangs or kills is replaced."""

import asyncio
from collections.abc import Callable

from wearon.pictures.decode import PictureError, ensure_jpeg, prepare
from wearon.processes import KillablePool, ProcessFailed

TIME_LIMIT_S = 15.0
"""For one picture. The slowest one known (a WebP of 50 megapixels with alpha) takes 2 s on an idle core, and
ten processes may share one."""

HAND_OVER_LIMIT_S = 10.0
"""From handing a picture to an idle process until it begins. A process that must be started first needs 0.4 s."""

START_LIMIT_S = 60.0
"""For the first start, which may happen on a cold disk."""

MEMORY_LIMIT_BYTES = 1280 * 1024 * 1024
"""For one process. The hungriest picture (a WebP of 50 megapixels with alpha) needs 870 MB. What
needs more is not a picture but a fault in a decoder: the process says no before the machine's memory is gone."""


class PicturePool:
    """`prepare` and `ensure_jpeg` in `processes` processes of their own (35 MB each)."""

    def __init__(self, processes: int, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._slots = [_Slot(time_limit_s) for _ in range(processes)]
        self._idle: asyncio.Queue[_Slot] = asyncio.Queue()
        for slot in self._slots:
            self._idle.put_nowait(slot)
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def start(self) -> None:
        """Start the processes, so that the first pictures need not wait for that. Raises ProcessFailed."""
        await asyncio.gather(*(slot.start() for slot in self._slots))

    async def prepare(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.prepare`.

        Raises PictureError, also when the picture took too long or its process died of it, and ProcessFailed when
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
        slot = await self._idle.get()
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
            self._idle.put_nowait(slot)


class _Slot:
    """One process.

    Pebble replaces a process that is ended or dies at work. When one dies idle, its pool is broken for good, and
    when one dies while it takes a picture over, its pool never answers: then the pool is replaced. Pools of one,
    so that this concerns nobody else.
    """

    def __init__(self, time_limit_s: float) -> None:
        self._time_limit_s = time_limit_s
        self._pool = KillablePool(1, memory_limit_bytes=MEMORY_LIMIT_BYTES)

    async def start(self) -> None:
        await self._pool.run(START_LIMIT_S, _warm_up)

    async def run(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return await self._attempt(function, data)
        except _PoolBroken:
            # No fault of this picture's: it has not been looked at.
            await asyncio.to_thread(self._pool.close)
            self._pool = KillablePool(1, memory_limit_bytes=MEMORY_LIMIT_BYTES)
        try:
            return await self._attempt(function, data)
        except _PoolBroken as error:
            raise ProcessFailed("no process could be had for the picture") from error

    def close(self) -> None:
        self._pool.close()

    async def _attempt(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._time_limit_s + HAND_OVER_LIMIT_S):
                return await self._pool.run(self._time_limit_s, function, data)
        except ProcessFailed as error:
            raise PictureError(f"could not be decoded: {error}") from error
        except (RuntimeError, TimeoutError) as error:  # RuntimeError is what Pebble says of a broken pool
            raise _PoolBroken from error


class _PoolBroken(Exception):
    """The process is gone, and nobody will bring it back."""


def _warm_up() -> None:
    """Importing this module has loaded the decoders."""
