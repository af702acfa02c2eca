"""Memory and time for uploads: how much all may hold at once, and how slowly one may come."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import structlog
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from wearon.api.estimate import RETRY_AFTER_S, UNAVAILABLE
from wearon.api.guesses import client_of

log = structlog.get_logger()

MOST_BYTES = 128 * 1024 * 1024
"""All uploads together, from their first byte to their answer: six of the largest forms, or forty usual photos."""

LEAST_BYTES = 128 * 1024
"""What an upload counts as at least, for what the connection holds of it; then as what has arrived. What it says that
it will have costs a caller nothing: thirteen that promised 10 MB and sent a byte would hold all."""

PROMPT_BYTES = 16 * 1024
"""What must be here before an upload takes a place in the pose pool. An honest caller's first packets have more; 128
that sent a byte and came again held all places as they became free."""

SLOW_AFTER_S = 5.0
LEAST_BYTES_A_S = 20 * 1024
"""An upload that is slower than this is given up after 5 s, as a download is. One that takes longer than 5 s at all is
given up as soon as another one needs its memory."""

IDLE_AFTER_S = 1.0
"""An upload of which nothing has come for so long gives up its memory, too: three times the pause of a lost packet on a
phone's line."""

LONGEST_S = 30.0
"""For the largest picture at 3 Mbit/s."""

CLOSE = {"Connection": "close"}
"""What remains of the body stays unread."""


class Upload:
    """One upload, which counts as `size` bytes."""

    def __init__(self, request: Request, memory: "UploadMemory", most_bytes: int) -> None:
        self.client = client_of(request.client.host if request.client else "")
        self.size = 0
        self.is_coming = True
        self._memory = memory
        self._most_bytes = most_bytes
        self._pieces: AsyncIterator[bytes] = request.stream()
        self._first: list[bytes] = []
        self._count = 0
        self._began = self._heard = _now()
        self._until = self._began + SLOW_AFTER_S
        self._patience: asyncio.Timeout | None = None

    @property
    def may_be_given_up(self) -> bool:
        """Whether it is still coming in, and has been for long, or has stopped coming."""
        return self.is_coming and (_now() - self._began > SLOW_AFTER_S or _now() - self._heard > IDLE_AFTER_S)

    async def begin(self) -> None:
        """Wait for the first `PROMPT_BYTES`, or all of it. Raises HTTPException as `read` does."""
        await self._receive(self._first.append, PROMPT_BYTES)

    async def read(self, take: Callable[[bytes], None]) -> None:
        """Hand the body to `take`, piece by piece.

        Raises HTTPException when it is too large, too slow, or breaks off, or no memory is left.
        """
        for piece in self._first:
            take(piece)
        self._first.clear()
        await self._receive(take, self._most_bytes + 1)
        self.is_coming = False

    def give_up(self) -> int:
        """Stop reading. Returns the bytes that it no longer counts as."""
        self.is_coming, self._until = False, self._began
        if self._patience is not None:
            self._patience.reschedule(self._until)
        released, self.size = self.size, 0
        return released

    async def _receive(self, take: Callable[[bytes], None], enough: int) -> None:
        try:
            async with asyncio.timeout_at(self._until) as self._patience:
                while self._count < enough and (piece := await anext(self._pieces, None)) is not None:
                    self._note(len(piece))
                    take(piece)
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly", CLOSE) from None
        except ClientDisconnect:
            # The caller is gone; the answer is for log and metrics.
            raise HTTPException(400, "The body broke off", CLOSE) from None
        finally:
            self._patience = None

    def _note(self, arrived: int) -> None:
        self._count += arrived
        self._heard = _now()
        if self._count > self._most_bytes:
            raise too_large(self._most_bytes)
        if not self.is_coming:
            return  # given up; its time is over
        self._memory.grow(self, self._count)
        self._until = self._began + min(LONGEST_S, max(SLOW_AFTER_S, self._count / LEAST_BYTES_A_S))
        if self._patience is not None:
            self._patience.reschedule(self._until)


class UploadMemory:
    """At most `MOST_BYTES` for all uploads.

    When one finds too little, those are given up that are slow or have stopped, and then those of the client that
    holds the most, if that is more than its own client would.
    """

    def __init__(self) -> None:
        self._free = MOST_BYTES
        self._uploads: dict[Upload, None] = {}

    @contextmanager
    def held(self, request: Request, most_bytes: int, size: int) -> Iterator[Upload]:
        """Memory for an upload, within the block. Raises HTTPException when there is none for the `size` that it says.

        Nothing is kept for it but what has arrived.
        """
        upload = Upload(request, self, most_bytes)
        self._make_room(upload, max(size, LEAST_BYTES))
        self._uploads[upload] = None
        try:
            self.grow(upload, LEAST_BYTES)
            yield upload
        finally:
            del self._uploads[upload]
            self._free += upload.size

    def grow(self, upload: Upload, size: int) -> None:
        """Reserve `size` bytes in all for the upload. Raises HTTPException when they are not free."""
        more = size - upload.size
        if more > 0:
            self._make_room(upload, more)
            self._free -= more
            upload.size = size

    def _make_room(self, upload: Upload, size: int) -> None:
        for other in [other for other in self._uploads if other.may_be_given_up and other is not upload]:
            if self._free >= size:
                return
            self._free += other.give_up()
        while self._free < size:
            greedy = self._of_the_greediest(upload, size)
            if greedy is None:
                log.warning("estimate not possible now", reason="uploads hold all memory that they may have")
                raise HTTPException(503, UNAVAILABLE, {"Retry-After": RETRY_AFTER_S, **CLOSE})
            self._free += greedy.give_up()

    def _of_the_greediest(self, upload: Upload, size: int) -> Upload | None:
        """The smallest upload of the client that holds the most, unless the upload's own would then hold as much."""
        held: Counter[str] = Counter()
        for other in self._uploads:
            held[other.client] += other.size
        coming = [other for other in self._uploads if other.is_coming and other.client != upload.client]
        if not coming:
            return None
        greediest = max((other.client for other in coming), key=held.__getitem__)
        if held[greediest] <= held[upload.client] + size:
            return None
        return min((other for other in coming if other.client == greediest), key=lambda other: other.size)


def _now() -> float:
    return asyncio.get_running_loop().time()


def too_large(most_bytes: int) -> HTTPException:
    """The refusal of a body, or a part of one, that has more bytes."""
    return HTTPException(413, f"Larger than {most_bytes} bytes", CLOSE)
