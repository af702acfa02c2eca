"""A stranger's megabytes come in few reads, but what it sends before its picture is read by the kilobyte."""

import httpcore
import pytest

from support.observers import observers
from wearon.net.fetch import PictureFetcher

PICTURE = b"x" * 1_000_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 1000000\r\n\r\n" + PICTURE


class Stream(httpcore.AsyncMockStream):
    """A server whose whole answer has arrived already."""

    def __init__(self) -> None:
        super().__init__([])
        self._left = ANSWER
        self.asked: list[int] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.asked.append(max_bytes)
        data, self._left = self._left[:max_bytes], self._left[max_bytes:]
        return data

    async def start_tls(self, *_arguments: object, **_options: object) -> httpcore.AsyncNetworkStream:
        return self


class Connector(httpcore.AsyncMockBackend):
    def __init__(self, stream: Stream) -> None:
        super().__init__([])
        self._stream = stream

    async def connect_tcp(self, *_arguments: object, **_options: object) -> httpcore.AsyncNetworkStream:
        return self._stream


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_picture_comes_in_few_reads(scheme: str) -> None:
    origin = f"{scheme}://93.184.216.34"
    stream = Stream()
    fetcher = PictureFetcher(**observers(), trusted_origins=[], connector=Connector(stream))

    assert await fetcher.fetch(f"{origin}/person.jpg", deadline_s=5) == PICTURE

    await fetcher.aclose()
    assert len(stream.asked) <= 5
    assert stream.asked[0] == 1024
