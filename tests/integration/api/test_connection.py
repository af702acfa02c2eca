"""Connections and their bounds over real sockets: what is refused before it costs anything, and how each one ends."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from support.api_services import api_services
from support.http_edge import everything_from, serving
from wearon.api import connection
from wearon.api import crowd as crowds
from wearon.api.app import create_app
from wearon.api.connection import HEAD_BYTES, PIPELINED
from wearon.api.crowd import Hurry, Pace
from wearon.api.estimate import UNAVAILABLE
from wearon.api.middleware import BodyLimit, RequestId, Uploads
from wearon.api.observation import Observation
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT_S = 30.0


class Echo:
    """Answers with path and body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.pieces = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append(request.url.path)
        body = b""
        async for piece in request.stream():
            self.pieces += len(piece)
            body += piece
        self.bodies.append(body)
        await PlainTextResponse(f"{request.url.path} {len(body)}")(scope, receive, send)


class Slow:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.may.wait()
        await PlainTextResponse("at last")(scope, receive, send)


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


async def answer_on(reader: asyncio.StreamReader) -> bytes:
    """One answer that has a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(length)


ENDLESS = {
    "chunks of one byte": CHUNKED + b"1\r\nA\r\n" * 40_000,
    "chunks of one byte with zeros before their size": CHUNKED + b"0000000001\r\nA\r\n" * 20_000,
    "a chunk's extension": CHUNKED + b"1;" + b"x" * 250_000,
    "chunks with extensions": CHUNKED + b"10;a=b;c=d;e=f;g=h;i=j;k=l\r\n0123456789abcdef\r\n" * 10_000,
    "fields": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 50_000,
    "one field": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 250_000,
    "a field's name": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * 250_000,
    "a path": b"GET /" + b"x" * 250_000,
    "fields behind the body": CHUNKED + b"0\r\n" + b"a:\r\n" * 50_000,
    "empty lines": b"\r\n" * 100_000,
}


@pytest.mark.parametrize("sent", ENDLESS.values(), ids=ENDLESS.keys())
async def test_what_costs_more_than_it_brings_is_refused_when_a_little_of_it_was_read(sent: bytes) -> None:
    app = Echo()
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        received = await edge.talk(sent)
        assert edge.hung_up("unreadable") == 1
    assert statuses(received) in ([400], [431])
    assert app.bodies == []
    assert app.pieces <= HEAD_BYTES


@pytest.mark.parametrize(
    ("fitting", "too_long"),
    [
        (b"/" + b"%C3%A9" * 300, b"/" + b"%C3%A9" * 400),
        (b"http://a/" + b"%41" * 600, b"http://a/" + b"%41" * 700),
        (b"/?" + b"&".join([b"a=1"] * 100), b"/?" + b"&".join([b"a=1"] * 101)),
        (b"/?a=" + b"%22" * 4000, b"/?" + b"&" * 4000),
    ],
    ids=["a path", "a path behind a host", "fields of a query", "empty fields of a query"],
)
async def test_an_address_that_costs_more_than_an_honest_one_is_refused(fitting: bytes, too_long: bytes) -> None:
    app = Echo()
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        requests = [GET.replace(b"/%d", address) for address in (fitting, fitting, too_long, fitting)]
        assert statuses(await edge.talk(b"".join(requests))) == [200, 200]
        assert statuses(await edge.talk(b"".join(requests[2:]))) == [431]
    assert len(app.asked) == 2


async def test_honest_chunks_of_any_size_arrive() -> None:
    app = Echo()
    tiny, large = b'7\r\n{"a":1}\r\n' * 100, (b"400\r\n" + b"x" * 1024 + b"\r\n") * 1000
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        reader, writer = await edge.connect()
        for body in (tiny, large):
            writer.write(CHUNKED + body + b"0\r\n\r\n")
            assert statuses(await answer_on(reader)) == [200]
        writer.close()
    assert [len(body) for body in app.bodies] == [700, 1024 * 1000]


async def test_a_body_that_turns_unreadable_reaches_nobody() -> None:
    app = Echo()
    async with asyncio.timeout(LIMIT_S), serving(BodyLimit(app, Uploads({}, 1.0, 1), lambda _: False)) as edge:
        reader, writer = await edge.connect()
        writer.write(CHUNKED + b'7\r\n{"a":1}\r\n')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"nonsense\r\n")
        assert statuses(await everything_from(reader)) == [400]
        writer.close()
    assert app.asked == []


async def test_requests_in_a_row_are_answered_in_order_and_only_so_many_wait() -> None:
    app = Echo()
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        few = await edge.talk(b"".join(GET % number for number in range(5)) + LAST)
        assert statuses(few) == [200] * 6
        assert app.asked == ["/0", "/1", "/2", "/3", "/4", "/last"]
        many = await edge.talk(b"".join(GET % number for number in range(5000)))
    assert len(statuses(many)) == PIPELINED + 1
    assert set(statuses(many)) == {200}


@pytest.mark.parametrize(
    "rest",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", CHUNKED + b"nonsense", b"GET /" + b"x" * 100_000],
    ids=["nonsense", "no host", "a body", "a path"],
)
async def test_what_was_asked_before_nonsense_is_answered_and_nothing_after_it(rest: bytes) -> None:
    app = Echo()
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        received = await edge.talk(GET % 1 + GET % 2 + rest + b"\r\n\r\n" + LAST)
    assert statuses(received)[:2] == [200, 200]
    assert statuses(received)[2:] in ([], [400], [431])
    assert "/last" not in app.asked


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("no", 401)(scope, receive, send)


async def test_a_refusal_arrives_although_the_rest_of_the_body_is_on_its_way() -> None:
    megabytes = 5 * 1024 * 1024
    async with asyncio.timeout(LIMIT_S), serving(refusing) as edge:
        reader, writer = await edge.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % megabytes + b"x" * megabytes)
        received = await everything_from(reader)
        writer.close()
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in received
    assert received.endswith(b"no")


async def test_nothing_behind_a_refusal_is_taken_for_a_request() -> None:
    asked = Echo()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/last":
            await asked(scope, receive, send)
        else:
            await refusing(scope, receive, send)

    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        reader, writer = await edge.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        assert statuses(await answer_on(reader)) == [401]
        writer.write(b"x" * 10 + LAST)
        assert await everything_from(reader) == b""
        writer.close()
    assert asked.asked == []


async def test_who_never_stops_sending_behind_a_refusal_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 3600.0)
    async with asyncio.timeout(LIMIT_S), serving(refusing) as edge:
        for start in (b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"):
            _, writer = await edge.connect()
            writer.write(start)
            with pytest.raises(ConnectionError):
                await send_for_ever(writer)
            writer.close()


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNSENT_SECONDS", 0.05)
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Response(b"x" * 50_000_000)(scope, receive, send)
        finally:
            ended.set()

    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        _, writer = await edge.connect()
        writer.write(GET % 1)
        await ended.wait()
        await until(lambda: edge.hung_up("slow_reader") == 1)
        await until(lambda: edge.crowd.size == 0)
        writer.close()


async def test_those_that_wait_longest_make_room_first_those_that_asked_nothing() -> None:
    async with asyncio.timeout(LIMIT_S), serving(Echo(), most=4) as edge:
        known, asking = await edge.connect()
        asking.write(GET % 1)
        await answer_on(known)
        silent = [await edge.connect() for _ in range(3)]
        silent[0][1].write(b"GET / HTTP/1.1\r\nX-Dri")  # dripping does not make it any younger
        await silent[0][1].drain()
        newcomer, writer = await edge.connect()
        assert await everything_from(silent[0][0]) == b""
        writer.write(GET % 2)
        assert statuses(await answer_on(newcomer)) == [200]
        more = [await edge.connect() for _ in range(2)]
        assert [await everything_from(reader) for reader, _ in silent[1:]] == [b"", b""]
        asking.write(GET % 3)
        assert statuses(await answer_on(known)) == [200], "who keeps a connection and asks is the last to go"
        assert edge.hung_up("crowded") == 3
        for _, each in [*silent, *more]:
            each.close()
        asking.close()
        writer.close()


async def test_when_all_are_at_work_a_new_one_is_told_to_come_back() -> None:
    app = Slow()
    async with asyncio.timeout(LIMIT_S), serving(app, most=2) as edge:
        working = [await edge.connect() for _ in range(2)]
        for _, writer in working:
            writer.write(GET % 1)
        await until(lambda: edge.crowd.waiting == 0)
        for path, detail in ((b"/health/live", "Too many connections"), (b"/estimate-body", UNAVAILABLE)):
            received = await edge.talk(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % path)
            head, _, body = received.partition(b"\r\n\r\n")
            assert statuses(received) == [503]
            assert json.loads(body) == {"detail": detail}
            assert b"retry-after: 2" in head.lower()
            assert b"x-request-id: req_" in head.lower()
        app.may.set()
        assert [statuses(await answer_on(reader)) for reader, _ in working] == [[200], [200]]
        for _, writer in working:
            writer.close()


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(status_code=int(scope["path"][1:]))(scope, receive, send)


class Endless:
    """Works until it is told that nobody wants the answer."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.given_up = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        self.begun.set()
        try:
            await (asyncio.Event() if scope["path"] == "/estimate-body" else self.ended).wait()
        except asyncio.CancelledError:
            self.given_up = True
            self.ended.set()
            raise
        await PlainTextResponse("done")(scope, receive, send)


def test_the_estimate_of_a_caller_who_has_hung_up_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    endless, metrics = Endless(), Metrics()

    async def talk() -> None:
        app = RequestId(endless, Observation(metrics, Tracing()))
        async with asyncio.timeout(LIMIT_S), serving(app) as edge:
            _, writer = await edge.connect()
            writer.write(b"POST /estimate-body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
            await endless.begun.wait()
            writer.close()
            await endless.ended.wait()
            await until(lambda: edge.crowd.size == 0)

    with capture_logs() as lines:
        uvloop.run(talk())
    assert endless.given_up
    assert [line["status"] for line in lines if line["event"] == "request"] == [499]
    counted = {"route": "unmatched", "method": "POST", "status": "499"}
    assert metrics.registry.get_sample_value("wearon_http_requests_total", counted) == 1
    assert not any(record.exc_info for record in caplog.records), "it is no fault of ours"


async def test_what_changes_something_is_done_to_its_end_although_its_caller_has_hung_up() -> None:
    endless = Endless()
    async with asyncio.timeout(LIMIT_S), serving(endless) as edge:
        _, writer = await edge.connect()
        writer.write(b"PUT /charts/a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        await endless.begun.wait()
        writer.close()
        await until(lambda: edge.crowd.size == 0)
        endless.ended.set()
    assert not endless.given_up


@pytest.mark.parametrize("asked", [b"GET /401 HTTP/1.1\r\nHost: a\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_a_refusal_that_is_delayed_keeps_no_place_and_nobody_else(
    asked: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[Pace] = []

    def pause(pace: Pace) -> float:
        paused.append(pace)
        return 2 * LIMIT_S

    monkeypatch.setattr(Pace, "pause", pause)
    async with asyncio.timeout(LIMIT_S), serving(refuse, most=1) as edge:
        refused, writer = await edge.connect()
        writer.write(asked)
        await until(lambda: bool(paused))
        newcomer, asking = await edge.connect()
        assert await everything_from(refused) == b""
        asking.write(b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert statuses(await answer_on(newcomer)) == [200], "an answer is no refusal"
        writer.close()
        asking.close()


def test_an_answer_on_a_connection_that_has_made_room_is_no_error() -> None:
    failures: list[BaseException] = []

    async def talk() -> None:
        asked, may, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            asked.set()
            await may.wait()
            try:
                await refuse(scope, receive, send)
            except RuntimeError as failure:
                failures.append(failure)
            answered.set()

        async with asyncio.timeout(LIMIT_S), serving(app) as edge:
            _, writer = await edge.connect()
            writer.write(b"GET /401 HTTP/1.1\r\nHost: a\r\n\r\n" * 2)  # uvicorn tells only the newest of them
            await asked.wait()
            for guest in list(edge.crowd._all):
                guest.make_room()
            await until(lambda: edge.crowd.size == 0)
            may.set()
            await answered.wait()
            writer.close()

    uvloop.run(talk())  # whose transports raise when they are closed; asyncio's do not
    assert failures == []


async def test_refusals_delay_no_answer_about_the_health(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Pace] = []

    def pause(pace: Pace) -> float:
        asked.append(pace)
        return 0.0

    monkeypatch.setattr(Pace, "pause", pause)
    async with asyncio.timeout(LIMIT_S), serving(Echo()) as edge, serving(refuse) as refusing:
        for path in (b"/health", b"/health/live", b"/estimate-body"):
            await edge.talk(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)
        assert asked == [edge.crowd.health_answers] * 2
        await refusing.talk(b"GET /429 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert asked[2:] == [refusing.crowd.refusals]


class Roomy:
    """Stands in for a pose pool that has a place for everybody."""

    @contextmanager
    def place(self, _function: Any) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    "asked",
    [
        b"POST /estimate-body HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n%s{}",
        b"POST /estimate-body HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 2\r\n%s{}",
        b"POST /estimate-feedback HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n%s{",
        b"GET /openapi.json HTTP/1.1\r\n%s",
    ],
    ids=["a malformed question", "a malformed upload", "no JSON", "the description"],
)
async def test_what_costs_the_caller_nothing_is_delayed_when_it_is_much(
    asked: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[Pace] = []

    def pause(pace: Pace) -> float:
        paused.append(pace)
        return 0.0

    monkeypatch.setattr(Pace, "pause", pause)
    app = create_app(api_services(pose_pool=Roomy()))
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        answer = await edge.talk(asked % b"Host: a\r\nConnection: close\r\n\r\n")
        assert statuses(answer) == ([200] if b"GET" in asked else [422])
        assert paused == [edge.crowd.refusals]


@pytest.mark.parametrize("asked", [b"GET /401 HTTP/1.1\r\nHost: a\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_a_refusal_that_is_delayed_arrives(asked: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "pause", lambda _: 0.1)
    async with asyncio.timeout(LIMIT_S), serving(refuse) as edge:
        reader, writer = await edge.connect()
        writer.write(asked)
        assert statuses(await answer_on(reader)) == [401 if b"401" in asked else 400]
        writer.close()


async def test_of_very_many_refusals_so_many_are_logged_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(crowds, "LONGEST_PAUSE_S", 0.031)
    metrics, more = Metrics(), 40
    app = RequestId(refuse, Observation(metrics, Tracing()))
    with capture_logs() as lines:
        async with asyncio.timeout(LIMIT_S), serving(app) as edge:
            for _ in range(crowds.PROMPT + 3 + more):
                await edge.talk(b"GET /404 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert len([line for line in lines if line["event"] == "request"]) == crowds.PROMPT + 3
            await edge.talk(b"GET /204 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert lines[-1]["path"] == "/204", "an answer is no refusal"
    counted = {"route": "unmatched", "method": "GET", "status": "404"}
    assert metrics.registry.get_sample_value("wearon_http_requests_total", counted) == crowds.PROMPT + 3 + more


async def test_nothing_is_done_for_who_hangs_up_early_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "monotonic", lambda: 1000.0)
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await refuse(scope, receive, send)

    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        for _ in range(21):
            edge.crowd.hurry.note("127.0.0.1")
        _, writer = await edge.connect()
        writer.write(b"GET /404 HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: edge.crowd.size == 1 and edge.crowd.waiting == 0)
        writer.close()
        await until(lambda: edge.crowd.size == 0)
        answer = await edge.talk(b"GET /200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert statuses(answer) == [200], "who waits is answered, behind the same address, too"
        _, writer = await edge.connect()
        writer.write(b"POST /204 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await until(lambda: len(asked) == 2)
    assert asked == ["/200", "/204"], "what may change something is done"


async def test_who_hangs_up_before_the_answer_is_noted_and_who_waits_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, noted = Slow(), list[str]()
    monkeypatch.setattr(Hurry, "note", lambda _, client: noted.append(client))
    async with asyncio.timeout(LIMIT_S), serving(slow) as edge:
        _, writer = await edge.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: edge.crowd.size == 1 and edge.crowd.waiting == 0)
        writer.close()
        await until(lambda: edge.crowd.size == 0)
        assert noted == ["127.0.0.1"]
        slow.may.set()
        await edge.talk(LAST)
        await until(lambda: edge.crowd.size == 0)
    assert noted == ["127.0.0.1"]


def test_only_clients_that_hang_up_often_wait_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(crowds, "monotonic", lambda: now)
    monkeypatch.setattr(crowds, "CLIENTS", 2)
    hurry = Hurry()
    for _ in range(20):
        hurry.note("often")
    assert hurry.pause("often") == 0.0
    for _ in range(1000):
        hurry.note("often")
    hurry.note("once")
    assert (hurry.pause("often"), hurry.pause("once"), hurry.pause("never")) == (crowds.HURRIED_WAIT_S, 0.0, 0.0)
    now += 1.1
    assert hurry.pause("often") == 0.0
    hurry.note("third")
    assert list(hurry._due) == ["once", "third"], "memory is bounded"


def test_refusals_are_delayed_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(crowds, "monotonic", lambda: now)
    pace = Pace()
    assert {pace.pause() for _ in range(crowds.PROMPT)} == {0.0}
    pauses = [pace.pause() for _ in range(200)]
    assert pauses[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert max(pauses) == pytest.approx(crowds.LONGEST_PAUSE_S)
    now += 0.5
    assert pace.pause() == pytest.approx(crowds.LONGEST_PAUSE_S - 0.5 + 0.01)
    now += 100.0
    assert {pace.pause() for _ in range(crowds.PROMPT)} == {0.0}
    assert pace.pause() > 0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 # nobody else tells
        await asyncio.sleep(0.01)


async def test_a_kept_connection_may_rest_for_longer_than_a_head_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    async with asyncio.timeout(LIMIT_S), serving(Echo()) as edge:
        reader, writer = await edge.connect()
        writer.write(GET % 1)
        await answer_on(reader)
        await asyncio.sleep(0.3)
        writer.write(GET % 2)
        assert statuses(await answer_on(reader)) == [200]
        writer.write(b"GET / HTT")
        assert await everything_from(reader) == b"", "but a head that has begun may not"
        assert edge.hung_up("no_head") == 1
        writer.close()


@pytest.mark.parametrize("app", [Echo(), refusing])
async def test_an_upgrade_is_answered_like_any_other_request_and_is_the_last(app: ASGIApp) -> None:
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with asyncio.timeout(LIMIT_S), serving(app) as edge:
        received: Any = await edge.talk(upgrade + LAST)
    assert len(statuses(received)) == 1
