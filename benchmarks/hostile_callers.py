"""Callers without a token who do what they can against the HTTP port, until they are told to stop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

CHUNKED = b"POST /estimate-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
COOKIE = b"GET /console/api/now HTTP/1.1\r\nHost: a\r\nCookie: wearon_console=" + b'\\"' * 30_000 + b"\r\n\r\n"
TRICKS = {
    "chunks of one byte": CHUNKED + b"1\r\nA\r\n" * 40_000,
    "requests in a row": b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 8000,
    "fields": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 60_000,
    "a large cookie": COOKIE,
    "two lengths": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n",
    "half a body": b"POST /estimate-body HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{",
    "a wrong token": b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer guess\r\n\r\n",
}


async def send_again_and_again(port: int, sent: bytes) -> None:
    """On one connection after the other, as fast as they are taken."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sent)
                async with asyncio.timeout(1.0):
                    await writer.drain()
                    await reader.read()
            except TimeoutError:
                pass
            finally:
                writer.transport.abort()


async def hold_idle(port: int, connections: int) -> None:
    """Keep so many open on which nothing is said; those that are hung up on are opened again."""

    async def hold() -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await reader.read()
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(hold())


@contextmanager
def attacking(*attacks: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """All of them at once, in a thread, for the length of a block."""
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[None]] = []

    async def attack() -> None:
        tasks.extend(asyncio.ensure_future(each()) for each in attacks)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # what they hung up on is closed by the loop

    thread = threading.Thread(target=lambda: loop.run_until_complete(attack()), name="attackers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        thread.join()
        loop.close()
