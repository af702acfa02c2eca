"""Connections that are kept for a load balancer's next request, and those that are not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest
from fastapi import FastAPI

from wearon.api import connection
from wearon.api.crowd import Crowd
from wearon.app import serve
from wearon.metrics import Metrics
from wearon.net.listening import listen
from wearon.settings import Settings

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def served(keep_alive_s: int = 75) -> AsyncIterator[Callable[[], Awaitable["Caller"]]]:
    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "here"

    settings = Settings(_env_file=None, wearon_mode="local", http_keep_alive_s=keep_alive_s)
    with closing(listen("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        serving = asyncio.create_task(serve._serve(app, settings, listening, Crowd(10, Metrics())))
        callers: list[Caller] = []

        async def connect() -> Caller:
            callers.append(Caller(*await asyncio.open_connection("127.0.0.1", port)))
            return callers[-1]

        try:
            yield connect
        finally:
            for caller in callers:
                await caller.close()
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


class Caller:
    """One kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes = REQUEST) -> int:
        """The answer's status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(len('"here"') if b" 200 " in head else 0)
        return int(head.split()[1])

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def hung_up(self) -> bool:
        """Wait for the other side to close it."""
        return await self._reader.read() == b""


async def test_an_idle_connection_outlives_the_limit_for_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with served() as connect:
        caller = await connect()
        for _ in range(2):
            assert await caller.ask() == 200
            await asyncio.sleep(0.6)
        assert await caller.ask() == 200


async def test_it_ends_after_the_settings_time() -> None:
    async with served(keep_alive_s=1) as connect:
        caller = await connect()
        assert await caller.ask() == 200
        assert await caller.hung_up()


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost"], ids=["a byte", "half"])
async def test_a_head_that_was_begun_has_its_own_limit(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with served(keep_alive_s=3600) as connect:
        caller = await connect()
        assert await caller.ask() == 200
        await caller.send(begun)
        assert await caller.hung_up()


async def test_a_body_that_nobody_asked_for_has_its_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with served(keep_alive_s=3600) as connect:
        caller = await connect()
        assert await caller.ask(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n") == 200
        assert await caller.hung_up()
