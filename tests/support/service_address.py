"""An address in front of one or two servers, as a load balancer or a DNS name is, and what goes wrong on the way."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Protocol

CHUNK = 256 * 1024
LATENCY_S = 1.0


class Way(Enum):
    """What becomes of what is sent."""

    OPEN = "open"
    HOLE = "hole"
    """Connections stay open and new ones are taken, but nothing ever arrives: a half-open network."""
    RESET_GREETINGS = "reset greetings"
    """New connections are reset when they say their first word; open ones were when it began."""
    SLOW = "slow"
    """Everything arrives a second later."""


class ServiceAddress:
    """A TCP forwarder whose target can be changed: new connections go there, open ones stay where they are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.way = Way.OPEN
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._thread = threading.Thread(target=self._loop.run_forever, name="service-address", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def be(self, way: Way) -> None:
        """From now on."""
        self.way = way
        if way is Way.RESET_GREETINGS:
            self.cut()

    def cut(self) -> None:
        """Reset every open connection; returns when it is done."""

        async def cut() -> None:
            for writer in list(self._writers):
                _reset(writer)

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result()

    def close(self) -> None:
        """End it."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def _end(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            _reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.way is Way.RESET_GREETINGS:
            await reader.read(1)
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                if self.way is Way.SLOW:
                    await asyncio.sleep(LATENCY_S / 2)
                while self.way is Way.HOLE:  # noqa: ASYNC110 (another thread says when it is over)
                    await asyncio.sleep(0.05)  # and arrives when it is over, however late that is
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close it so that the other side sees a reset, no orderly end."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Addressed(Protocol):
    """Servers behind such an address."""

    @property
    def address(self) -> ServiceAddress:
        """Where they are reached."""


def on_the_way(way: Way) -> Callable[[Addressed], Iterator[None]]:
    """An outage in which this becomes of what is sent."""

    def last(servers: Addressed) -> Iterator[None]:
        servers.address.be(way)
        yield
        servers.address.be(Way.OPEN)

    return last


@contextmanager
def service_address(target: int) -> Iterator[ServiceAddress]:
    """One for the length of a block."""
    address = ServiceAddress(target)
    try:
        yield address
    finally:
        address.close()
