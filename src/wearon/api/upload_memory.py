"""Memory and time for uploads: how much all may hold at once, and how slowly one may come."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from wearon.api.estimate import RETRY_AFTER_S, UNAVAILABLE

log = structlog.get_logger()

MOST_BYTES = 128 * 1024 * 1024
"""All uploads together, from their first byte to their answer: six of the largest forms, or forty usual photos."""

LEAST_BYTES = 1024 * 1024
"""What an upload counts as at least, so that there are 128 at most."""

SLOW_AFTER_S = 5.0
LEAST_BYTES_A_S = 20 * 1024
"""As for downloads: an upload that is slower than this is given up after 5 s. One that takes longer than that at all is
given up as soon as another one needs its memory."""

LONGEST_S = 30.0
"""For the largest picture at 3 Mbit/s."""

CLOSE = {"Connection": "close"}
"""What remains of the body stays unread."""


class Upload:
    """One upload that has its memory: `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._began = asyncio.get_running_loop().time()
        self._patience: asyncio.Timeout | None = None

    @property
    def is_slow(self) -> bool:
        """Whether it is still coming in, and has been for long."""
        return self._patience is not None and asyncio.get_running_loop().time() - self._began > SLOW_AFTER_S

    async def read(self, request: Request, most_bytes: int, take: Callable[[bytes], None]) -> None:
        """Hand the body to `take`, piece by piece.

        Raises HTTPException when it is larger than `most_bytes`, too slow, or breaks off.
        """
        count = 0
        try:
            async with asyncio.timeout(SLOW_AFTER_S) as self._patience:
                async for piece in request.stream():
                    count += len(piece)
                    if count > most_bytes:
                        raise too_large(most_bytes)
                    take(piece)
                    self._expect_more_until(min(LONGEST_S, max(SLOW_AFTER_S, count / LEAST_BYTES_A_S)))
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly", CLOSE) from None
        except ClientDisconnect:
            # The caller is gone; the answer is for log and metrics.
            raise HTTPException(400, "The body broke off", CLOSE) from None
        finally:
            self._patience = None

    def give_up(self) -> int:
        """Stop reading. Returns the bytes that it no longer counts as."""
        assert self._patience is not None
        self._patience.reschedule(self._began)
        released, self.size = self.size, 0
        return released

    def _expect_more_until(self, seconds: float) -> None:
        if self.size and self._patience is not None:
            self._patience.reschedule(self._began + seconds)


class UploadMemory:
    """At most `most_bytes` for all uploads; when a new one finds too little, slow ones are given up."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._free = most_bytes
        self._uploads: dict[Upload, None] = {}

    @contextmanager
    def held(self, size: int) -> Iterator[Upload]:
        """Memory for an upload of `size` bytes, within the block. Raises HTTPException when there is none."""
        size = max(size, LEAST_BYTES)
        for other in [other for other in self._uploads if other.is_slow]:
            if self._free >= size:
                break
            self._free += other.give_up()
        if self._free < size:
            log.warning("estimate not possible now", reason="uploads hold all memory that they may have")
            raise HTTPException(503, UNAVAILABLE, {"Retry-After": RETRY_AFTER_S, **CLOSE})
        upload = Upload(size)
        self._uploads[upload] = None
        self._free -= size
        try:
            yield upload
        finally:
            del self._uploads[upload]
            self._free += upload.size


def too_large(most_bytes: int) -> HTTPException:
    """The refusal of a body, or a part of one, that has more bytes."""
    return HTTPException(413, f"Larger than {most_bytes} bytes", CLOSE)
