"""The way out of a connection for one answer."""

import asyncio
from collections.abc import Callable


class Exit(asyncio.Transport):
    """What an answer is written to: closing it is left to the connection, which knows what is still to come."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._end = end

    def write(self, data: bytes | bytearray | memoryview) -> None:
        # Of requests in a row uvicorn tells only the newest that they were cut off; uvloop's write would raise.
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._end()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
