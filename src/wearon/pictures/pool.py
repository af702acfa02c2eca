"""Processes that decode pictures off the event loop; one that a picture hangs or kills is replaced."""

import asyncio
from collections.abc import Callable

from wearon.pictures.decode import PictureError, ensure_jpeg, prepare
from wearon.processes import KillablePool, ProcessFailed

TIME_LIMIT_S = 15.0
"""For one picture. The slowest legal one (50 megapixels, 16-bit PNG) takes about a second on an idle machine."""


class PicturePool:
    """`prepare` and `ensure_jpeg` in `processes` processes of their own."""

    def __init__(self, processes: int, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._pool = KillablePool(processes)
        self._time_limit_s = time_limit_s

    async def start(self) -> None:
        """Start every process now, so that the first picture does not wait for it."""
        await asyncio.gather(*(self._pool.run(60.0, _warm_up) for _ in range(self._pool.processes)))

    async def prepare(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.prepare`. Raises PictureError, also when the time limit is reached."""
        return await self._run(prepare, data)

    async def ensure_jpeg(self, data: bytes) -> bytes:
        """See `wearon.pictures.decode.ensure_jpeg`. Raises PictureError, also when the time limit is reached."""
        return await self._run(ensure_jpeg, data)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()

    async def _run(self, function: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return await self._pool.run(self._time_limit_s, function, data)
        except ProcessFailed as error:
            raise PictureError(f"could not be decoded: {error}") from error


def _warm_up() -> None:
    """Importing this module has loaded the decoders."""
