"""The downloader's two transports: to origins that the operator trusts, and to all others.

They share neither connections nor slots. So no connection that leads to a private address can serve the URL of an
untrusted origin, and slow servers of untrusted origins cannot use up the slots of our own storage. Each purpose has
slots of its own, of which no host and no owner gets more than a share.
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from wearon.net.addresses import IPAddress, Resolver
from wearon.net.errors import FetchError
from wearon.net.guard import GuardedBackend, HeadWatch, public_addresses
from wearon.net.origins import Target
from wearon.net.service_transport import ServiceTransport
from wearon.resources.fair_slots import FairSlots
from wearon.resources.work import Purpose, current_work

_KEEP_ALIVE_S = 20.0
"""Shorter than any server's in our way (Kong 75 s, Cloudflare 400 s): no request meets a closing connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's head, and its body as it comes: neither unpacked nor bounded yet."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    pieces: AsyncIterator[bytes]


class _Slotted:
    """The slots that keep callers from queueing inside connections: some for each purpose."""

    def __init__(self, slots: Mapping[Purpose, FairSlots]) -> None:
        self._slots = slots

    def slot(self, target: Target) -> AbstractAsyncContextManager[None]:
        """A slot for the purpose of the running task."""
        now = current_work()
        return self._slots[now.purpose].hold(*self._holders(now.owner, target))

    def _holders(self, owner: str, target: Target) -> Sequence[str]:
        """The keys whose shares of the slots the download counts against."""
        return owner, target.origin.host


class TrustedTransport(_Slotted):
    """Any address, over connections that are kept: most pictures lie in our own storage."""

    def __init__(
        self, tls: ssl.SSLContext, slots: Mapping[Purpose, int], transport: httpx.AsyncBaseTransport | None
    ) -> None:
        super().__init__({purpose: FairSlots(number, share=number) for purpose, number in slots.items()})
        self._transport = transport or ServiceTransport(
            max_connections=sum(slots.values()), keep_alive_s=_KEEP_ALIVE_S, tls=tls, unpacks=False
        )

    def _holders(self, owner: str, target: Target) -> Sequence[str]:  # noqa: ARG002
        return (owner,)  # all of it is one host

    async def find(self, target: Target) -> Sequence[IPAddress]:  # noqa: ARG002
        """No addresses: the system looks the name up when it connects."""
        return ()

    @asynccontextmanager
    async def get(
        self,
        target: Target,
        addresses: Sequence[IPAddress],  # noqa: ARG002
        headers: Mapping[str, str],
    ) -> AsyncIterator[Answer]:
        """Send one request. Raises FetchError, also while the body is read."""
        origin = target.origin
        url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=target.path)
        with _as_fetch_errors():
            response = await self._transport.handle_async_request(httpx.Request("GET", url, headers=headers))
            try:
                yield Answer(response.status_code, response.headers.raw, response.aiter_raw())
            finally:
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


class PublicTransport(_Slotted):
    """Public addresses only (see `wearon.net.guard`), over connections that serve one request.

    So every request's address is checked, and what a server sends after its answer reaches no other request. On
    httpcore, which lets the guard stand between it and its connections.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        slots: Mapping[Purpose, int],
        resolver: Resolver,
        connector: httpcore.AsyncNetworkBackend,
    ) -> None:
        super().__init__({purpose: FairSlots(number) for purpose, number in slots.items()})
        self._tls = tls
        self._resolver = resolver
        self._connector = connector

    async def find(self, target: Target) -> Sequence[IPAddress]:
        """The addresses that `get` may connect to. Raises FetchError."""
        return await public_addresses(target.origin.host, self._resolver)

    @asynccontextmanager
    async def get(
        self, target: Target, addresses: Sequence[IPAddress], headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        """Send one request to one of the addresses. Raises FetchError, also while the body is read."""
        origin = target.origin
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path)
        watched = {"trace": HeadWatch()}
        backend = GuardedBackend(addresses, self._connector)
        with _as_fetch_errors():
            connection = httpcore.AsyncHTTPConnection(url.origin, ssl_context=self._tls, network_backend=backend)
            async with (
                connection,
                connection.stream("GET", url, headers=list(headers.items()), extensions=watched) as response,
            ):
                yield Answer(response.status, response.headers, response.aiter_stream())


@contextmanager
def _as_fetch_errors() -> Iterator[None]:
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
