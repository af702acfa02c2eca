"""Interim answers (status 1xx), of which there may be any number before the answer: here, only a few.

aiohttp reads on through them without letting anything else run: a connection full of them, at full speed, held the
loop for two seconds at a time.
"""

import asyncio
import re
from typing import cast

MOST = 8
"""Honest ones are one or two: 100, 103."""

HEAD_BYTES = 64 * 1024
"""Looked through for the end of one head: aiohttp takes less."""

_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1")


class InterimLimit(asyncio.Protocol):
    """Between a transport and the protocol that reads answers from it."""

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._head = b""
        self._left = 0

    @classmethod
    def watch(cls, transport: asyncio.Transport) -> None:
        """Let no more than `MOST` come before the answer to the request that is sent next."""
        limit = transport.get_protocol()
        if not isinstance(limit, cls):
            limit = cls(transport, cast("asyncio.Protocol", limit))
            transport.set_protocol(limit)
        limit._head, limit._left = b"", MOST + 1

    def data_received(self, data: bytes) -> None:
        """Hand the bytes on, but for those of one interim answer too many.

        Nothing more is read then, so that the exchange ends by its time limit as one with a silent service does.
        """
        if self._left and self._are_too_many(data):
            self._transport.pause_reading()
        else:
            self._protocol.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol that the connection is lost."""
        self._protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Tell the protocol that nothing more will come."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Tell the protocol that the buffer is full."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell the protocol that the buffer has room again."""
        self._protocol.resume_writing()

    def _are_too_many(self, data: bytes) -> bool:
        self._head += data[:HEAD_BYTES]
        while end := _END.search(self._head):
            if not _INTERIM.match(self._head):
                self._left = 0  # the answer itself: what follows is its body
                break
            self._left -= 1
            if not self._left:
                return True
            self._head = self._head[end.end() :]
        if not self._left or len(self._head) > HEAD_BYTES:
            self._head, self._left = b"", 0
        return False
