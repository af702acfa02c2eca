"""The connections to the services that we call all day, Supabase and OpenAI: aiohttp's, under httpx.

httpx's own connections (httpcore, with h11 and anyio) cost 1.1 ms of the loop for a small exchange when twenty of them
are kept alive, these 0.2: with seven exchanges a job that was a quarter of what a job cost. Everything above stays
httpx, which supabase-py is built on, and its errors stay the ones that the callers know.

Here one call is one exchange: sent once, no redirect followed, no cookie kept, no proxy or .netrc of the environment
heeded. A compressed answer is unpacked here and nowhere else, as far as it is read (`wearon.net.encodings`).
"""

import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from wearon.net.encodings import Unreadable, compressions, unpacked
from wearon.net.interim_answers import InterimLimit
from wearon.net.tls import trusting

PIECE_BYTES = 256 * 1024
"""Size of the pieces of a body: httpx makes thirty pieces of a form, and each would cost 0.1 ms on its way to the
socket."""

NOT_OURS_TO_ADD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add: httpx has decided on them."""

UNTRUE_WHEN_UNPACKED = frozenset({b"content-encoding", b"content-length"})

SocketOption = tuple[int, int, int]
"""Level, name and value, as for `socket.setsockopt`."""


class ServiceTransport(httpx.AsyncBaseTransport):
    """Keeps up to `max_connections` open to each service, idle ones for `keep_alive_s`. HTTP/1.1, certificates checked.

    Certificates are judged by the same list as httpx's (certifi's), unless `tls` is given. Without `unpacks`, answers
    are given as they come, with what they say of their encoding.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        keep_alive_s: float,
        socket_options: Iterable[SocketOption] = (),
        tls: ssl.SSLContext | None = None,
        unpacks: bool = True,
    ) -> None:
        self._max_connections = max_connections
        self._keep_alive_s = keep_alive_s
        self._socket_options = tuple(socket_options)
        self._unpacks = unpacks
        self._tls = tls or trusting()
        self._opened: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and return with the answer's head. Raises httpx's errors."""
        limits = request.extensions.get("timeout", {})
        with _as_httpx_errors():
            answer = await self._session().request(
                request.method,
                _url(request.url),
                headers=_headers(request.headers),
                data=_body(request),
                allow_redirects=False,
                skip_auto_headers=NOT_OURS_TO_ADD,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=limits.get("pool"),
                    sock_connect=limits.get("connect"),
                    sock_read=limits.get("read"),
                ),
            )
        packed_in = compressions(answer.raw_headers) if self._unpacks else []
        headers = [pair for pair in answer.raw_headers if not packed_in or pair[0].lower() not in UNTRUE_WHEN_UNPACKED]
        return httpx.Response(
            answer.status,
            headers=headers,
            stream=_Answer(answer, packed_in),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": (answer.reason or "").encode("ascii", "replace")},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    def _session(self) -> aiohttp.ClientSession:
        # Made by the first request: aiohttp wants a running loop for it.
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections,
                    keepalive_timeout=self._keep_alive_s,
                    ssl=self._tls,
                    socket_factory=self._socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                middlewares=[_once],
                request_class=_AnswerTo,
                read_bufsize=PIECE_BYTES,
                trust_env=False,
            )
        return self._opened

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        for option in self._socket_options:
            made.setsockopt(*option)
        return made


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Around each sending. aiohttp repeats a GET, PUT or DELETE whose kept connection broke, but for its own errors."""
    with _as_httpx_errors():
        return await send(request)


class _AnswerTo(aiohttp.ClientRequest):
    """A request that refuses what came before it: bytes that lay unasked on a kept connection are not its answer."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is not None and conn.protocol.should_close:
            raise httpx.RemoteProtocolError("the service spoke before it was asked")
        if conn.transport is not None:
            InterimLimit.watch(conn.transport)
        return await super().send(conn)


class _Answer(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse, packed_in: list[str]) -> None:
        self._answer = answer
        self._packed_in = packed_in

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors():
            pieces: AsyncIterator[bytes] = self._answer.content.iter_any()
            async for piece in unpacked(pieces, self._packed_in) if self._packed_in else pieces:
                yield piece

    async def aclose(self) -> None:
        # A connection whose answer was read to its end is back with the others by itself; any other is of no use.
        self._answer.close()


def _headers(headers: httpx.Headers) -> CIMultiDict[str]:
    return CIMultiDict((name.decode("ascii"), value.decode(headers.encoding)) for name, value in headers.raw)


def _body(request: httpx.Request) -> bytes | AsyncIterator[bytes] | None:
    try:
        return request.content or None
    except httpx.RequestNotRead:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return _in_large_pieces(request.stream)


async def _in_large_pieces(stream: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
    gathered = bytearray()
    async for piece in stream:
        gathered += piece
        if len(gathered) >= PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _url(url: httpx.URL) -> URL:
    # As httpx has written it: yarl would put some of the percent signs another way. Without a user and password, which
    # httpx has made a header of.
    return URL(f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}", encoded=True)


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    """Raise httpx's errors instead of aiohttp's, whose texts quote headers and URLs with keys and tokens.

    Not chained, for tracebacks would quote them, too.
    """
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise httpx.ConnectTimeout("no connection in time") from None
    except (aiohttp.SocketTimeoutError, TimeoutError):
        raise httpx.ReadTimeout("nothing came in time") from None
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from None  # host and port, and the system's reason
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError):
        raise httpx.RemoteProtocolError("the connection ended before the answer did") from None
    except aiohttp.ClientConnectionError:
        raise httpx.ReadError("the connection broke") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise httpx.UnsupportedProtocol("no request can be made of this URL") from None
    except aiohttp.ClientResponseError:
        raise httpx.RemoteProtocolError("the answer is no HTTP") from None
    except Unreadable as error:
        raise httpx.DecodingError(str(error)) from None
    except ValueError:
        raise httpx.LocalProtocolError("a header holds what no header may") from None
