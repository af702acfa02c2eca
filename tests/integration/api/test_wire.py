"""The running API against callers who do not keep to HTTP, or to its pace: every connection ends, the API goes on."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from support.api_process import PERSON, Api
from support.machines import API_TOKEN
from support.processes import LIMIT_S, wait_until
from wearon.resources.descriptors import MOST_HTTP

pytestmark = pytest.mark.slow

TOKEN = f"Bearer {API_TOKEN}"
HEAD = (
    f"POST /estimate-body HTTP/1.1\r\nHost: a\r\nAuthorization: {TOKEN}\r\nContent-Type: application/json\r\n".encode()
)
UPLOAD = HEAD.replace(b"application/json", b"multipart/form-data; boundary=b")


def talk(api: Api, sent: bytes) -> bytes:
    """What comes back until the API hangs up; TimeoutError when it never does."""
    with socket.create_connection(("127.0.0.1", api.port), LIMIT_S) as connection:
        connection.sendall(sent)
        return everything_from(connection)


def everything_from(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


@pytest.fixture(autouse=True)
def _still_well(api: Api) -> Iterator[None]:
    yield
    assert httpx.get(f"{api.url}/health/live").json() == {"status": "ok"}
    question = {"image_url": api.picture_urls[0], "height_cm": 170}
    answer = httpx.post(f"{api.url}/estimate-body", json=question, headers={"Authorization": TOKEN}, timeout=LIMIT_S)
    assert answer.status_code == 200
    assert API_TOKEN not in api.process.log


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Bearer ", b"Bearer \xff\xfe", "Bearer ü€".encode(), b"Basic dTpw", b"Bearer " + b"x" * 8000],
    ids=["empty", "no token", "blank", "not UTF-8", "not ASCII", "basic", "long"],
)
def test_whatever_is_not_the_token_is_a_401(api: Api, authorization: bytes) -> None:
    answer = talk(
        api,
        b"POST /estimate-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
        b"Authorization: " + authorization + b"\r\n\r\n{}",
    )
    detail = json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    if answer.startswith(b"HTTP/1.1 429 "):  # other tests have guessed, too: the limit is this client's
        assert detail.startswith("Too many wrong tokens")
    else:
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert detail == "Missing or wrong bearer token"


START = b"POST /estimate-body HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"

AMBIGUOUS = {
    "two kinds of length": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "two kinds of length, no token": START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "two kinds the other way round": START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 44\r\n\r\n{}",
    "two lengths, no token": START + b"Content-Length: 2\r\nContent-Length: 44\r\n\r\n{}",
    "the same length twice": START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": START + b"Content-Length: 2, 2\r\n\r\n{}",
    "no length": START + b"Content-Length: \r\n\r\n{}",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "hexadecimal length": START + b"Content-Length: 0x2\r\n\r\n{}",
    "endless length": START + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "folded field": START + b"X-A: a\r\n b\r\n\r\n",
    "folded encoding": START + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + SMUGGLED,
    "unknown encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n{}",
    "chunked is not the last encoding": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n{}",
    "chunked is not the only encoding": START + b"Transfer-Encoding: identity, chunked\r\n\r\n" + SMUGGLED,
    "two encodings": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "chunked with a parameter": START + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + SMUGGLED,
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "negative chunk": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "chunk with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "chunk that ends with a bare LF": CHUNKED + b"2\r\n{}\n0\r\n\r\n",
    "chunk size that ends with a bare LF": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "endless chunk": CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\n",
    "fields behind the body": CHUNKED + b"2\r\n{}\r\n0\r\nX-Request-Id: late\r\n\r\n",
    "bare LFs": b"GET /health/live HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET /health/live HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n",
    "bare CR": b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-A: a\rb\r\n\r\n",
    "NUL": HEAD + b"X-A: a\x00b\r\n\r\n",
    "two hosts": b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "CONNECT": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\nConnection: close\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(api: Api, request_bytes: bytes) -> None:
    answer = talk(api, request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1, "the rest must not be taken for a request"
    head, _, body = answer.partition(b"\r\n\r\n")
    request_id = re.search(rb"x-request-id: (req_[0-9a-f]{24})", head, re.IGNORECASE)
    assert request_id
    assert json.loads(body)["detail"]
    wait_until(lambda: request_id[1].decode() in api.process.log or None, lambda: api.process.log)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 1000,
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: wearon_console=" + b'\\"' * 30_000 + b"\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ],
    ids=["unknown version", "long path", "endless header", "many headers", "large cookie", "Redis"],
)
def test_what_is_hardly_http_ends_without_an_error_of_ours(api: Api, request_bytes: bytes) -> None:
    try:
        answer = talk(api, request_bytes)
    except ConnectionError:  # hung up on before everything was read
        return
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_a_web_socket_is_not_a_way_past_the_token(api: Api) -> None:
    answer = talk(
        api,
        b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET http://a/openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET //openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health/../openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health%2f..%2fopenapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    ],
    ids=["absolute form", "two slashes", "dots", "encoded dots", "NUL", "h2c"],
)
def test_no_spelling_of_a_path_is_a_way_past_the_token(api: Api, request_bytes: bytes) -> None:
    assert talk(api, request_bytes).startswith(b"HTTP/1.1 401 ")


def test_no_caller_writes_lines_into_the_log(api: Api) -> None:
    forged = '{"event": "forged", "level": "error"}'
    path = quote(f"/a\r\n{forged}\n\x1b[31m\u2028{forged}")
    httpx.get(f"{api.url}{path}", headers={"X-Request-Id": forged})
    wait_until(lambda: "/a\\r\\n" in api.process.log or None, lambda: api.process.log)
    assert not [line for line in api.process.raw if line.startswith('{"event": "forged"') or "\x1b" in line]


def test_no_browser_is_let_in(api: Api) -> None:
    asking = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST", "Authorization": TOKEN}
    answer = httpx.options(f"{api.url}/estimate-body", headers=asking)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_16_kb_is_a_413(api: Api, *, declared: bool) -> None:
    body = b"x" * 16_385
    content = body if declared else iter([body[:10_000], body[10_000:]])
    answer = httpx.post(f"{api.url}/estimate-body", content=content, headers={"Authorization": TOKEN})
    assert (answer.status_code, answer.json()) == (413, {"detail": "Body larger than 16384 bytes"})


def test_a_form_brings_its_photo_along(api: Api) -> None:
    photo, headers = {"image": ("me.jpg", PERSON, "image/jpeg")}, {"Authorization": TOKEN}
    url = f"{api.url}/estimate-body"
    answer = httpx.post(url, files=photo, data={"height_cm": "170"}, headers=headers, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()["measured_from"]) == (200, ["photo", "height"])


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["sends on", "asks first"])
def test_an_upload_that_says_that_it_is_too_large_is_a_413_before_it_is_sent(api: Api, expects: bytes) -> None:
    answer = talk(api, UPLOAD + expects + b"Content-Length: 30000000\r\n\r\n--b")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_upload_is_answered_beside_128_slow_ones(api: Api) -> None:
    form = UPLOAD + b'Content-Length: 10000000\r\n\r\n--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    headers = {"Authorization": TOKEN}
    slow = [socket.create_connection(("127.0.0.1", api.port), LIMIT_S) for _ in range(128)]
    try:
        for connection in slow:
            connection.sendall(form)
        with httpx.Client(base_url=api.url, headers=headers, timeout=LIMIT_S) as honest:
            photo = {"files": {"image": PERSON}, "data": {"height_cm": "170"}}
            assert [honest.post("/estimate-body", **photo).status_code for _ in range(3)] == [200] * 3  # type: ignore[arg-type]
        assert {everything_from(connection)[9:12] for connection in slow} == {b"408"}
    finally:
        for connection in slow:
            connection.close()


def test_what_turns_unreadable_while_it_is_answered_gets_no_second_answer(api: Api) -> None:
    start = b"GET /health/live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), LIMIT_S) as connection:
        connection.sendall(start)
        first = connection.recv(65536)
        connection.sendall(b"nonsense\r\n")
        rest = everything_from(connection)
    assert first.startswith(b"HTTP/1.1 200 ")
    assert (first + rest).count(b"HTTP/1.1 ") == 1
    assert "Traceback" not in api.process.log


def test_idle_connections_make_room_for_those_that_ask(api: Api) -> None:
    with httpx.Client(base_url=api.url) as asking:
        assert asking.get("/health/live").status_code == 200
        crowd = [socket.create_connection(("127.0.0.1", api.port), LIMIT_S) for _ in range(2 * MOST_HTTP)]
        try:
            assert everything_from(crowd[0]) == b"", "the first that said nothing goes first"
            assert len(list(Path(f"/proc/{api.process.pid}/fd").iterdir())) < MOST_HTTP + 100
            assert asking.get("/health/live").status_code == 200
            assert httpx.get(f"{api.url}/health/live").status_code == 200
        finally:
            for connection in crowd:
                connection.close()
    scrape = httpx.get(f"{api.url}/metrics", headers={"Authorization": TOKEN}).text
    assert re.search(r'hung_up_total{reason="crowded"} [1-9]', scrape)


def test_whoever_says_nothing_or_drips_is_hung_up_on(api: Api) -> None:
    starts = {
        "silent": b"",
        "half a head": b"GET /health HTTP/1.1\r\nHost",
        "half a body": HEAD + b"Content-Length: 100\r\n\r\n{",
        "half a form": UPLOAD + b"Content-Length: 100\r\n\r\n--b\r\n",
        "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        "a body that nobody asked for": b"GET /health/live HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n",
    }
    answers = {}
    connections = {name: socket.create_connection(("127.0.0.1", api.port), LIMIT_S) for name in starts}
    for name, connection in connections.items():
        connection.sendall(starts[name])
    for name, connection in connections.items():
        with connection:
            answers[name] = everything_from(connection)[9:12]
    assert answers == {
        "silent": b"",
        "half a head": b"",
        "half a body": b"408",
        "half a form": b"408",
        "half a chunk": b"408",
        "a body that nobody asked for": b"200",
    }


def test_more_bytes_buy_no_more_time_for_a_head(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), LIMIT_S) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        connection.settimeout(0.5)
        for _ in range(int(LIMIT_S / 0.5)):
            try:
                connection.sendall(b"X-A: a\r\n")
                if connection.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    pytest.fail("it is still listening")
