"""The two ways out of the downloader: to origins that the operator trusts, and to everybody else.

Separate connections and separate slots: none that leads to a private address is ever within reach of a stranger's URL,
and strangers' slow servers cannot use up the slots of our own storage.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from wearon.net.addresses import Resolver
from wearon.net.errors import FetchError
from wearon.net.guard import GuardedBackend, HeadWatch
from wearon.net.origins import Target
from wearon.net.service_transport import ServiceTransport

_KEEP_ALIVE_S = 20.0
"""Shorter than any server's in our way (Kong 75 s, Cloudflare 400 s): no request meets a closing connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's head, and its body as it comes: neither unpacked nor bounded yet."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    pieces: AsyncIterator[bytes]


class Lane(ABC):
    """Connections, and the slots that keep callers from queueing inside them."""

    def __init__(self, max_connections: int) -> None:
        self.slots = asyncio.Semaphore(max_connections)

    @abstractmethod
    def get(self, target: Target, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Answer]:
        """One exchange. Raises FetchError, also while the body is read."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""


class TrustedLane(Lane):
    """Any address, over connections that are kept: most pictures lie in our own storage."""

    def __init__(self, tls: ssl.SSLContext, max_connections: int, transport: httpx.AsyncBaseTransport | None) -> None:
        super().__init__(max_connections)
        self._transport = transport or ServiceTransport(
            max_connections=max_connections, keep_alive_s=_KEEP_ALIVE_S, tls=tls, unpacks=False
        )

    @asynccontextmanager
    async def get(self, target: Target, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """See Lane."""
        origin = target.origin
        url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=target.path)
        with _told_as_fetch_errors():
            response = await self._transport.handle_async_request(httpx.Request("GET", url, headers=headers))
            try:
                yield Answer(response.status_code, response.headers.raw, response.aiter_raw())
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """See Lane."""
        await self._transport.aclose()


class StrangersLane(Lane):
    """Public addresses only (see `wearon.net.guard`), over connections that serve one request.

    So every request's address is checked, and what a server sends after its answer meets nobody else's. On httpcore,
    which lets the guard stand between it and its connections.
    """

    def __init__(
        self, tls: ssl.SSLContext, max_connections: int, resolver: Resolver, connector: httpcore.AsyncNetworkBackend
    ) -> None:
        super().__init__(max_connections)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=max_connections,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(resolver, connector),
        )

    @asynccontextmanager
    async def get(self, target: Target, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        """See Lane."""
        origin = target.origin
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path)
        watched = {"trace": HeadWatch()}
        with _told_as_fetch_errors():
            async with self._pool.stream("GET", url, headers=list(headers.items()), extensions=watched) as response:
                yield Answer(response.status, response.headers, response.aiter_stream())

    async def aclose(self) -> None:
        """See Lane."""
        await self._pool.aclose()


@contextmanager
def _told_as_fetch_errors() -> Iterator[None]:
    # httpx and httpcore name their errors alike. A time-out of theirs is one of connecting: the whole download has
    # its deadline elsewhere.
    try:
        yield
    except (httpcore.TimeoutException, httpx.TimeoutException, httpcore.ConnectError, httpx.ConnectError) as error:
        raise FetchError("could not connect", transient=True) from error
    except (httpcore.LocalProtocolError, httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:
        raise FetchError("no request can be made of this URL", transient=False) from error
    except (httpcore.NetworkError, httpcore.RemoteProtocolError, httpx.TransportError) as error:
        raise FetchError("the transfer broke off", transient=True) from error
