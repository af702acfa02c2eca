"""What a download tells the server that it asks, and how it is counted. Nothing is really connected."""

import ssl

import httpcore
import httpx
import pytest
from opentelemetry.trace import SpanKind

from wearon.metrics import Metrics
from wearon.net.addresses import IPAddress
from wearon.net.fetch import FetchError, PictureFetcher
from wearon.observability.tracing import Tracing

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 7\r\n\r\npicture"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OURS, THEIRS = "https://storage.example/person.png", "https://93.184.215.14/garment.png"
TLS = ssl.create_default_context()


class Wire(httpcore.AsyncNetworkBackend):
    """Answers every connection the same, and keeps what was written."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.written: list[bytes] = []
        self.answer = answer

    async def connect_tcp(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        wire = self

        class Stream(httpcore.AsyncMockStream):
            async def write(self, buffer: bytes, timeout: float | None = None) -> None:
                wire.written.append(buffer)

            async def start_tls(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
                return self

        return Stream([self.answer])


class TrustedWire(httpx.AsyncBaseTransport):
    """The same for our own storage: every exchange ends like `wire`'s."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._wire.written += [b"%s: %s\r\n" % pair for pair in request.headers.raw]
        if not self._wire.answer:
            raise httpx.RemoteProtocolError("gone")
        return httpx.Response(200, headers={"Content-Type": "image/png"}, stream=httpx.ByteStream(b"picture"))


async def no_names(host: str) -> list[IPAddress]:
    raise AssertionError(host)


def fetcher(wire: Wire, metrics: Metrics) -> PictureFetcher:
    return PictureFetcher(
        trusted_origins=["https://storage.example"],
        resolver=no_names,
        connector=wire,
        trusted_transport=TrustedWire(wire),
        tls=TLS,
        metrics=metrics,
        tracing=Tracing(),
    )


@pytest.mark.parametrize(("url", "told"), [(OURS, True), (THEIRS, False)])
async def test_our_own_storage_learns_whose_picture_it_is_and_a_stranger_does_not(url: str, told: bool) -> None:
    wire = Wire()
    pictures = fetcher(wire, Metrics())
    with Tracing().entry("generate", SpanKind.CONSUMER, request_id="req_1", traceparent=TRACEPARENT):
        assert await pictures.fetch(url, deadline_s=5) == b"picture"
    sent = b"".join(wire.written).lower()
    assert (b"traceparent: " + TRACEPARENT.encode() in sent) is told
    assert (b"req_1" in sent) is told
    await pictures.aclose()


@pytest.mark.parametrize(
    ("url", "answer", "origin", "outcome", "size"),
    [
        (OURS, ANSWER, "trusted", "fetched", 7),
        (THEIRS, ANSWER, "public", "fetched", 7),
        (THEIRS, REDIRECT, "public", "refused", 0),
        (OURS, b"", "trusted", "unavailable", 0),
    ],
)
async def test_downloads_are_counted_by_whose_they_are_and_how_they_ended(
    url: str, answer: bytes, origin: str, outcome: str, size: int
) -> None:
    metrics = Metrics()
    pictures = fetcher(Wire(answer), metrics)
    try:
        await pictures.fetch(url, deadline_s=5)
    except FetchError:
        assert outcome != "fetched"
    value = metrics.registry.get_sample_value
    assert value("wearon_downloads_total", {"origin": origin, "outcome": outcome}) == 1
    assert (value("wearon_download_bytes_total", {"origin": origin}) or 0) == size
    await pictures.aclose()
