"""Connections to untrusted servers: to public addresses only, with a bound on what comes before the body."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore

from wearon.net.addresses import IPAddress, Resolver, is_globally_reachable
from wearon.net.errors import FetchError

_RESOLVE_LIMIT_S = 6.0
"""glibc asks a second time after 5 s; a server that needs longer than that second answer is down."""

_CONNECT_ATTEMPTS = 4
_CONNECT_LIMIT_S = 1.2
"""Time for one address before the next is tried: enough for a lost SYN, which is sent again after 1 s."""

_HEAD_LIMIT = 32 * 1024
"""Bytes of a response's head; honest ones have some 2 KB."""

_HEAD_READ = 1024
"""Bytes of a head that are read at once: what was read together is parsed without a pause (40 interim answers: 3
ms)."""

_BODY_READ = 256 * 1024
"""Bytes of a body that are read at once, as many as uvloop takes from a socket. httpcore asks for 64 KB, and each piece
costs 0.1 ms."""


async def public_addresses(host: str, resolver: Resolver) -> Sequence[IPAddress]:
    """The addresses of a host, all of them globally reachable. Raises FetchError."""
    addresses = await _addresses(host, resolver)
    if not all(is_globally_reachable(address) for address in addresses):
        # One private address among others is refused as a whole: such a name is a trick or a mistake.
        raise FetchError("its address is not on the public internet", transient=False)
    return addresses


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that `public_addresses` has found, whatever host it is asked for.

    So a name is looked up once, and what was checked is connected to. TLS and the Host header are made above this
    level from the name, so they do not notice.
    """

    def __init__(self, addresses: Sequence[IPAddress], connector: httpcore.AsyncNetworkBackend) -> None:
        self._addresses = addresses
        self._connector = connector

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - see above
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        options = (local_address, socket_options)
        *others, last = self._addresses[:_CONNECT_ATTEMPTS]
        for address in others:
            try:
                return _HeadLimitingStream(
                    await self._connector.connect_tcp(str(address), port, _CONNECT_LIMIT_S, *options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _HeadLimitingStream(await self._connector.connect_tcp(str(last), port, timeout, *options))

    async def sleep(self, seconds: float) -> None:
        await self._connector.sleep(seconds)


class _HeadLimitingStream(httpcore.AsyncNetworkStream):
    """Reads a head by the kilobyte and ends the connection when it does not end; reads a body in large pieces.

    The HTTP parser limits a single head, but lets through interim answers (status 1xx) without end: a few
    connections full of them would keep the loop busy forever.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head_bytes = 0
        self._in_head = True

    def head_is_complete(self) -> None:
        self._in_head = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._in_head:
            return await self._stream.read(max(max_bytes, _BODY_READ), timeout)
        data = await self._stream.read(min(max_bytes, _HEAD_READ), timeout)
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_LIMIT:
            raise FetchError("its answer does not begin", transient=False)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return type(self)(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            # httpcore closes it after an error, but not when the deadline cancels a handshake that never ends: each
            # such server would keep a descriptor of ours.
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class HeadWatch:
    """httpcore's `trace` extension of one request: tells its stream when the head has been read.

    Only for connections that serve one request, as all to untrusted servers do.
    """

    def __init__(self) -> None:
        self._stream: _HeadLimitingStream | None = None

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        """httpcore calls this at every step of the request."""
        made = info.get("return_value")
        if isinstance(made, _HeadLimitingStream):  # by connecting, or by starting TLS on top
            self._stream = made
        if event == "http11.receive_response_headers.complete" and self._stream is not None:
            self._stream.head_is_complete()


async def _addresses(host: str, resolver: Resolver) -> Sequence[IPAddress]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(_RESOLVE_LIMIT_S):
            addresses = await resolver(host)
    except TimeoutError:
        raise FetchError("its host name could not be looked up in time", transient=True) from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that Python's own IDNA codec refuses
        raise FetchError("its host name is not known", transient=_may_be_known_later(error)) from None
    if not addresses:
        raise FetchError("its host name is not known", transient=False)
    return addresses


def _may_be_known_later(error: OSError | UnicodeError) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
