"""A small application behind our own connections, on loopback and in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from wearon.api.connection import PunctualConnection
from wearon.api.crowd import Crowd
from wearon.metrics import Metrics


@dataclass
class Edge:
    """The listening server."""

    port: int
    metrics: Metrics
    crowd: Crowd

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, sent: bytes) -> bytes:
        """What comes back until the server hangs up."""
        reader, writer = await self.connect()
        writer.write(sent)
        received = await everything_from(reader)
        writer.close()
        return received

    def hung_up(self, reason: str) -> float:
        """How many connections were ended for that reason."""
        value = self.metrics.registry.get_sample_value("wearon_http_hung_up_total", {"reason": reason})
        assert value is not None
        return value


async def everything_from(reader: asyncio.StreamReader) -> bytes:
    """Until the other side closes, in whatever way."""
    received = b""
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            received += piece
    return received


@asynccontextmanager
async def serving(app: ASGIApp, most: int = 100) -> AsyncIterator[Edge]:
    """The app on a free port, with `most` connections."""
    metrics = Metrics()
    crowd = Crowd(most, metrics)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=cast("Any", partial(PunctualConnection, crowd=crowd)),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=0,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    (listening,) = server.servers
    try:
        yield Edge(listening.sockets[0].getsockname()[1], metrics, crowd)
    finally:
        await server.shutdown()
