"""The one guarded downloader, for pictures whose URLs come from outside.

It sits below the HTTP clients, where one call is one exchange: redirects, cookies, proxies from the environment and
decompression need not be switched off, they do not exist there.

    FetchError   no picture: its reason, and whether trying again later may help (see `wearon.net.errors`)
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpcore
import httpx
from opentelemetry.trace import SpanKind

from wearon.metrics import Metrics
from wearon.net.addresses import Resolver, SystemResolver
from wearon.net.encodings import compressions
from wearon.net.errors import FetchError
from wearon.net.origins import Origin, Target
from wearon.net.tls import trusting
from wearon.net.transports import Answer, PublicTransport, TrustedTransport
from wearon.observability.tracing import Tracing, outgoing_headers
from wearon.resources.work import Purpose

__all__ = ["FetchError", "PictureFetcher"]

MAX_BYTES = 10 * 1024 * 1024
"""The largest object that the bucket takes, so no honest picture is larger."""

MAX_CONNECTIONS = 12
"""Downloads at once, for each of estimates and generations, of trusted and of other origins: four times what 300
generations a minute with two pictures of 0.3 s each keep busy. 540 MB in the worst case, with those for
`Purpose.ANSWER`."""

_OF_ANSWERS = 4
"""The part of them for pictures that OpenAI's answers point to: few do, and each may wait for seconds."""

_SLOW_AFTER_S = 5.0
_LEAST_BYTES_A_S = 20 * 1024
"""A download that is slower than this, from the connection on, is given up after 5 s. A photo of 3 MB would take 2.5
minutes, and a server that sends a byte a second would keep a slot from others until the deadline."""

_SMALL_PIECE = 256
_SMALL_PIECES = 1000
"""More pieces than this must hold so many bytes on average (the smallest TCP segment holds 536). Chunks of a byte are
an attack on our CPU: each costs the HTTP parser as much as one of 64 KB."""

_BREATH_PIECES = 16
"""Pieces that arrived together are handed out without a pause: after so many the loop gets its turn."""

_OF_THE_GATEWAY = {401, 402, 403, 405, 407}
"""Answers that say nothing of the picture."""

_RETRY_STATUSES = {408, 425, 429}
"""Answers that mean "not now", besides 5xx."""


class PictureFetcher:
    """Downloads pictures. Origins in `trusted_origins` (scheme://host[:port]) may lie at private addresses."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        tracing: Tracing,
        trusted_origins: Iterable[Origin | str],
        max_bytes: int = MAX_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        resolver: Resolver | None = None,
        connector: httpcore.AsyncNetworkBackend | None = None,
        trusted_transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        trusted_tls: ssl.SSLContext | None = None,
        own_file: Callable[[str], Path | None] = lambda _url: None,
    ) -> None:
        """`resolver` finds the addresses of untrusted names and `connector` makes connections to them.

        What goes to trusted origins goes through `trusted_transport`, over `trusted_tls` when it is given. `tls` is one
        context for all, because httpcore would read the certificate store for every connection: at least 50 ms of the
        loop's time. `own_file` finds the file of a URL that this machine has signed: it is read, whether or not the
        process that serves it lives.
        """
        self._own_file = own_file
        self._trusted_origins = frozenset(
            origin if isinstance(origin, Origin) else Origin.parse(origin) for origin in trusted_origins
        )
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._tracing = tracing
        tls = tls or trusting()
        slots = {
            Purpose.ESTIMATE: max_connections,
            Purpose.GENERATION: max_connections,
            Purpose.ANSWER: -(-max_connections // _OF_ANSWERS),
        }
        self._trusted = TrustedTransport(trusted_tls or tls, slots, trusted_transport)
        self._public = PublicTransport(tls, slots, resolver or SystemResolver(), connector or httpcore.AnyIOBackend())

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """GET the URL: at most `max_bytes` of content type image/*, all of it within `deadline_s` seconds.

        The time includes the name look-up, waiting for a free slot (see `wearon.resources.work`), and the transfer.
        Raises FetchError.
        """
        if (file := self._own_file(url)) is not None:
            return await asyncio.to_thread(_read_file, file, self._max_bytes)
        try:
            target = Target.parse(url)
        except ValueError as error:
            raise FetchError(str(error), transient=False) from None
        trusted = target.origin in self._trusted_origins
        with self._observed(target.origin, "trusted" if trusted else "public") as bytes_of:
            return bytes_of(await self._fetch(target, deadline_s, trusted=trusted))

    async def _fetch(self, target: Target, deadline_s: float, *, trusted: bool) -> bytes:
        transport: TrustedTransport | PublicTransport = self._trusted if trusted else self._public
        # An untrusted server learns nothing of whose picture it is asked for.
        known = outgoing_headers() if trusted else {}
        headers = {
            "Host": target.origin.netloc,
            "Accept": "image/jpeg, image/png, image/webp",
            "Accept-Encoding": "identity",
            "User-Agent": "WearOn",
            **known,
        }
        try:
            async with asyncio.timeout(deadline_s):
                addresses = await transport.find(target)  # before it has a slot: names may be slow to be found
                async with (
                    transport.slot(target),
                    _pace(transient=trusted) as pace,
                    transport.get(target, addresses, headers) as answer,
                ):
                    _check_head(answer, self._max_bytes)
                    return await _read(answer.pieces, self._max_bytes, pace)
        except TimeoutError:
            raise FetchError(f"took longer than {deadline_s:g} s", transient=True) from None

    def trusts(self, url: str) -> bool:
        """Whether the URL's origin is one of the trusted ones; False for what is no URL."""
        try:
            return self._own_file(url) is not None or Target.parse(url).origin in self._trusted_origins
        except ValueError:
            return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._trusted.aclose()  # of the other transport each request closes its own

    @contextmanager
    def _observed(self, origin: Origin, whose: str) -> Iterator[Callable[[bytes], bytes]]:
        """Count one download, and make it a span. What is downloaded is passed through what the block is given."""
        began = time.monotonic()
        outcome = "cut_off"

        def count(picture: bytes) -> bytes:
            self._metrics.download_bytes.labels(whose).inc(len(picture))
            return picture

        try:
            with self._tracing.span("GET picture", SpanKind.CLIENT, {"server.address": origin.host}):
                yield count
            outcome = "fetched"
        except FetchError as error:
            outcome = "unavailable" if error.transient else "refused"
            raise
        finally:
            self._metrics.downloads.labels(whose, outcome).inc()
            self._metrics.download_seconds.labels(whose).observe(time.monotonic() - began)


def _check_head(answer: Answer, max_bytes: int) -> None:
    status = answer.status
    if 300 <= status < 400:
        raise FetchError("answered with a redirect, which is not followed", transient=False, says_nothing=True)
    if status != 200:
        passing = status >= 500 or status in _RETRY_STATUSES
        raise FetchError(f"answered with status {status}", transient=passing, says_nothing=status in _OF_THE_GATEWAY)
    headers = {name.lower(): value.strip().lower() for name, value in answer.headers}
    content_type = headers.get(b"content-type", b"")
    if not content_type.startswith(b"image/"):
        page = content_type.startswith(b"text/html")
        raise FetchError("its content type is not image/*", transient=False, says_nothing=page)
    if compressions(answer.headers):
        # Pictures are compressed already: unpacking would only let decompression bombs in.
        raise FetchError("came compressed although that was not asked for", transient=False)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)


@asynccontextmanager
async def _pace(*, transient: bool) -> AsyncIterator[Callable[[int], None]]:
    """Give up what is too slow. The block calls what it is given with the number of bytes that are there."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_SLOW_AFTER_S) as patience:
            yield lambda count: patience.reschedule(began + max(_SLOW_AFTER_S, count / _LEAST_BYTES_A_S))
    except TimeoutError:
        if not patience.expired():
            raise
        raise FetchError("came too slowly", transient=transient) from None


async def _read(stream: AsyncIterator[bytes], max_bytes: int, pace: Callable[[int], None]) -> bytes:
    # One growing buffer, not a list of pieces: a piece of two bytes weighs 35 as an object.
    body = bytearray()
    pieces = 0
    async for piece in stream:
        body += piece
        pieces += 1
        pace(len(body))
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if pieces > _SMALL_PIECES and len(body) < pieces * _SMALL_PIECE:
            raise FetchError("came in too many small pieces", transient=False)
        if pieces % _BREATH_PIECES == 0:
            await asyncio.sleep(0)
    return bytes(body)


def _read_file(file: Path, max_bytes: int) -> bytes:
    try:
        if file.stat().st_size > max_bytes:
            raise _too_large(max_bytes)
        return file.read_bytes()
    except OSError as error:
        raise FetchError(f"cannot be read: {error.strerror}", transient=False) from error


def _too_large(max_bytes: int) -> FetchError:
    return FetchError(f"is larger than {max_bytes / 1024 / 1024:g} MB", transient=False)
