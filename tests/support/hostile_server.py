"""A loopback HTTP server that does to its clients what a stranger's server may do.

The path says what: `/picture` behaves, all others misbehave in the way their method's docstring says.
"""

import asyncio
import gzip
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

MEGABYTE = 1024 * 1024

BOMB = gzip.compress(bytes(20 * MEGABYTE))
"""20 MB that travel as 20 KB."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
_BLOCK = bytes(64 * 1024)


HOPELESS = (
    "/slow-drip", "/silent", "/endless", "/endless-chunks", "/tiny-chunks", "/gzip-bomb", "/reset", "/too-short",
    "/too-long", "/says-huge", "/absurd-length", "/redirect", "/html", "/no-type", "/endless-head",
    "/endless-informational", "/not-http", "/status/404", "/status/503",
)  # fmt: skip
"""Paths that never give a picture."""


@contextmanager
def running_hostile_server() -> Iterator["HostileServer"]:
    """One in a thread of its own, for tests that have no event loop."""
    started: list[HostileServer] = []
    is_up = threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with HostileServer() as server:
            started.append(server)
            is_up.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="hostile server")
    thread.start()
    assert is_up.wait(20.0)
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


class HostileServer:
    """Use as `async with HostileServer() as server`; every connection is counted, every request head is kept."""

    def __init__(self, picture: bytes = b"\xff\xd8 not really a picture") -> None:
        self.picture = picture
        self.encoding = ""
        self.pause_s = 0.0
        self.connections = 0
        self.open_connections = 0
        self.most_open_connections = 0
        self.heads: list[bytes] = []
        self._heads_changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._behaviours: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
            "/picture": self._picture,
            "/slow-drip": self._slow_drip,
            "/silent": self._silent,
            "/endless": self._endless,
            "/endless-chunks": self._endless_chunks,
            "/tiny-chunks": self._tiny_chunks,
            "/encoded": self._encoded,
            "/two-halves": self._two_halves,
            "/gzip-bomb": self._gzip_bomb,
            "/reset": self._reset,
            "/too-short": self._too_short,
            "/too-long": self._too_long,
            "/says-huge": self._says_huge,
            "/absurd-length": self._absurd_length,
            "/redirect": self._redirect,
            "/html": self._html,
            "/no-type": self._no_type,
            "/endless-head": self._endless_head,
            "/endless-informational": self._endless_informational,
            "/not-http": self._not_http,
            "/visit": self._sets_cookie,
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def saw(self, start: bytes, times: int) -> None:
        """Wait until so many requests have come that start like this."""
        async with self._heads_changed:
            await self._heads_changed.wait_for(lambda: sum(head.startswith(start) for head in self.heads) >= times)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                async with self._heads_changed:
                    self.heads.append(head)
                    self._heads_changed.notify_all()
                await self._answer(head.split()[1].decode(), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has had enough, or the test is over
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, target: str, writer: asyncio.StreamWriter) -> None:
        path = target.partition("?")[0]
        if path.startswith("/status/"):
            status = path.removeprefix("/status/").encode()
            writer.write(b"HTTP/1.1 " + status + b" Whatever\r\nContent-Length: 0\r\n\r\n")
        else:
            await self._behaviours[path](writer)
        await writer.drain()

    async def _picture(self, writer: asyncio.StreamWriter) -> None:
        """What an honest server does."""
        writer.write(_HEAD + b"Content-Length: %d\r\n\r\n" % len(self.picture) + self.picture)

    async def _slow_drip(self, writer: asyncio.StreamWriter) -> None:
        """A byte now and then: no single read ever times out."""
        writer.write(_HEAD + b"Content-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def _silent(self, writer: asyncio.StreamWriter) -> None:
        """Takes the request and says nothing."""
        await asyncio.Event().wait()

    async def _endless(self, writer: asyncio.StreamWriter) -> None:
        """No Content-Length, no end."""
        writer.write(_HEAD + b"\r\n")
        while True:
            writer.write(_BLOCK)
            await writer.drain()

    async def _endless_chunks(self, writer: asyncio.StreamWriter) -> None:
        """The same with chunked encoding."""
        writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"%x\r\n" % len(_BLOCK) + _BLOCK + b"\r\n")
            await writer.drain()

    async def _tiny_chunks(self, writer: asyncio.StreamWriter) -> None:
        """Chunks of one byte: each costs the client's parser a thousand times what it costs us."""
        writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunks = b"1\r\n.\r\n" * 10_000
        while True:
            writer.write(chunks)
            await writer.drain()

    async def _encoded(self, writer: asyncio.StreamWriter) -> None:
        """Says of the picture that it is in `encoding`, which it is not."""
        said = b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (self.encoding.encode(), len(self.picture))
        writer.write(_HEAD + said + self.picture)

    async def _two_halves(self, writer: asyncio.StreamWriter) -> None:
        """The picture, with a pause of `pause_s` in its middle."""
        half = len(self.picture) // 2
        writer.write(_HEAD + b"Content-Length: %d\r\n\r\n" % len(self.picture) + self.picture[:half])
        await writer.drain()
        await asyncio.sleep(self.pause_s)
        writer.write(self.picture[half:])

    async def _gzip_bomb(self, writer: asyncio.StreamWriter) -> None:
        """Unpacks to a thousand times its size, whatever encodings were asked for."""
        writer.write(_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)

    async def _reset(self, writer: asyncio.StreamWriter) -> None:
        """Resets the connection in the middle."""
        writer.write(_HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(1000))
        await writer.drain()
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _too_short(self, writer: asyncio.StreamWriter) -> None:
        """Promises more than it sends."""
        writer.write(_HEAD + b"Content-Length: 100000\r\n\r\n" + self.picture)
        await writer.drain()
        writer.close()

    async def _too_long(self, writer: asyncio.StreamWriter) -> None:
        """Sends more than it promised."""
        writer.write(_HEAD + b"Content-Length: 4\r\n\r\n" + self.picture)

    async def _says_huge(self, writer: asyncio.StreamWriter) -> None:
        """Announces a gigabyte."""
        writer.write(_HEAD + b"Content-Length: 1073741824\r\n\r\n")
        await asyncio.Event().wait()

    async def _absurd_length(self, writer: asyncio.StreamWriter) -> None:
        """A length with more digits than Python makes a number of."""
        writer.write(_HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")
        await asyncio.Event().wait()

    async def _redirect(self, writer: asyncio.StreamWriter) -> None:
        """Sends its clients to a picture on itself."""
        location = f"Location: {self.origin}/picture\r\nContent-Length: 0\r\n\r\n"
        writer.write(b"HTTP/1.1 302 Found\r\n" + location.encode())

    async def _html(self, writer: asyncio.StreamWriter) -> None:
        """A page, not a picture."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>")

    async def _no_type(self, writer: asyncio.StreamWriter) -> None:
        """Does not say what it sends."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xe0")

    async def _endless_head(self, writer: asyncio.StreamWriter) -> None:
        """Headers without end."""
        writer.write(_HEAD)
        while True:
            writer.write(b"X-More: and more\r\n" * 100)
            await writer.drain()

    async def _endless_informational(self, writer: asyncio.StreamWriter) -> None:
        """Interim answers without end."""
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            await writer.drain()

    async def _not_http(self, writer: asyncio.StreamWriter) -> None:
        """Another protocol."""
        writer.write(b"-ERR unknown command 'GET'\r\n")
        await writer.drain()
        writer.close()

    async def _sets_cookie(self, writer: asyncio.StreamWriter) -> None:
        """Hands out a cookie with the picture."""
        cookie = b"Set-Cookie: visitor=1; Path=/\r\n"
        writer.write(_HEAD + cookie + b"Content-Length: %d\r\n\r\n" % len(self.picture) + self.picture)
