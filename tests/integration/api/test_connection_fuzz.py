"""Whatever arrives, however it is cut: no error of ours, one reading, and never another one than h11 has."""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, cast

import h11
import uvicorn
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from support.examples import examples
from wearon.api.connection import PunctualConnection
from wearon.api.crowd import Crowd
from wearon.metrics import Metrics

Asked = tuple[str, str, bytes]
"""Method, target and body of a request."""

LINES = [
    b"GET /a HTTP/1.1", b"POST /b?c=d HTTP/1.1", b"PUT /e HTTP/1.0", b"POST http://a/f HTTP/1.1", b"OPTIONS * HTTP/1.1",
    b"GET / HTTP/2.0", b"FOO / HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"", b"\x16\x03\x01",
]  # fmt: skip
FIELDS = [
    b"Host: a", b"Host: b", b"Content-Length: 5", b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 5, 5",
    b"Content-Length:\t5", b"Content-Length : 5", b"Content-Length: +5", b"content-length: 05", b"Content_Length: 9",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
    b"transfer-encoding:\tChunked ", b"Transfer-Encoding: \x0bchunked", b"Transfer_Encoding: chunked", b"X-A: b",
    b" folded: c", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"X\x00: y",
    b"X: \xff", b": empty", b"no colon", b"Transfer-Encoding: chunked\rX: y",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"0\r\n\r\n", b"5\nhello\n0\n\n", b"-5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n00\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",    b"5\r\nhello0\r\n\r\n", b"5\r\nhel", b"FFFFFFFFFFFFFFFFF\r\n",
]  # fmt: skip
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something near to a request."""
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4))
    if draw(st.integers(0, 4)):
        fields.insert(0, b"Host: a")
    lines = [draw(st.sampled_from(LINES[:4] * 4 + LINES)), *fields]
    strange = draw(st.integers(0, 5)) == 0
    end = draw(st.sampled_from(ENDS)) if strange else b"\r\n"
    raw = b"".join(line + end for line in lines) + end + draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 2)) :]
    return raw


class Wire(asyncio.Transport):
    """A transport into memory."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += data

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def heard(pieces: Sequence[bytes]) -> tuple[list[Asked], bytes]:
    """What the application is asked, and what goes back."""
    asked: list[Asked] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        asked.append((scope["method"], scope["raw_path"].decode(), body))
        await PlainTextResponse("ok")(scope, receive, send)

    config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, lifespan="off")
    config.load()
    make = cast("Any", partial(PunctualConnection, crowd=Crowd(10, Metrics())))
    connection, wire = make(config, ServerState(), {}), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
        await settled()
    connection.connection_lost(None)
    await settled()
    return asked, wire.written


async def settled() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


def read_by_h11(raw: bytes) -> list[Asked]:
    """What h11 makes of it, up to the first thing that it refuses."""
    connection = h11.Connection(h11.SERVER)
    asked: list[Asked] = []
    try:
        connection.receive_data(raw)
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return asked
            if isinstance(event, h11.Request):
                method, target, body = event.method.decode(), event.target.decode(), b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                asked.append((method, target, body))
                if connection.our_state is h11.SEND_RESPONSE:
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                    connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return asked
                connection.start_next_cycle()
    except h11.ProtocolError:
        return asked


def path_of(target: str) -> str:
    return re.sub(r"^http://[^/]*", "", target).partition("?")[0]


@settings(max_examples=examples(3), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.lists(requests(), min_size=1, max_size=3).map(b"".join), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_one_reading_however_it_is_cut_and_none_that_h11_does_not_share(raw: bytes, cuts: list[int]) -> None:
    note(f"{raw!r} cut at {cuts}")
    edges = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    pieces = [raw[start:end] for start, end in pairwise(edges)]
    whole, answer = asyncio.run(heard([raw]))
    cut, answer_to_cut = asyncio.run(heard(pieces))
    assert cut[: len(whole)] == whole[: len(cut)], "cut in another way, another request"
    for written in (answer, answer_to_cut):
        assert written.count(b" 400 Bad Request") + written.count(b" 431 Request") <= 1
        assert b" 500 " not in written
    theirs = [(method, path_of(target), body) for method, target, body in read_by_h11(raw)]
    common = min(len(whole), len(theirs))  # each refuses what the other lets pass, such as an empty line between two
    assert whole[:common] == theirs[:common], "read in two ways"


@settings(max_examples=examples(1), deadline=None)
@given(raw=st.binary(max_size=2000), cuts=st.integers(1, 50))
def test_noise_is_no_request(raw: bytes, cuts: int) -> None:
    pieces = [raw[start : start + cuts] for start in range(0, len(raw), cuts)]
    asked, _ = asyncio.run(heard(pieces))
    assert asked == [] or raw.startswith(b"\r\n") or raw[:1].isupper()
