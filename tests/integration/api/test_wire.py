"""The running API against callers who do not keep to HTTP, or to its pace: every connection ends, the API goes on."""

import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from support.api_process import Api
from support.machines import API_TOKEN
from support.processes import LIMIT_S, wait_until
from wearon.api.estimate import UNAVAILABLE
from wearon.serve import API_CONNECTIONS

pytestmark = pytest.mark.slow

TOKEN = f"Bearer {API_TOKEN}"
HEAD = (
    f"POST /estimate-body HTTP/1.1\r\nHost: a\r\nAuthorization: {TOKEN}\r\nContent-Type: application/json\r\n".encode()
)


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
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"detail": "Missing or wrong bearer token"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /openapi.json HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 44\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"X-A: a\x00b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # a TLS greeting
    ],
    ids=[
        "two kinds of length", "two lengths", "signed length", "negative length", "space before the colon",
        "unknown encoding", "two encodings", "negative chunk", "NUL", "two hosts", "TLS",
    ],
)  # fmt: skip
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
        b"*1\r\n$4\r\nPING\r\n",
    ],
    ids=["unknown version", "long path", "endless header", "Redis"],
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
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET //openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health/../openapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health%2f..%2fopenapi.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /health%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\nConnection: close\r\n\r\nSM\r\n\r\n",
        b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    ],
    ids=["absolute form", "CONNECT", "two slashes", "dots", "encoded dots", "NUL", "HTTP/2", "h2c"],
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


def test_more_connections_than_there_is_room_for_are_told_to_come_back(api: Api) -> None:
    crowd = [socket.create_connection(("127.0.0.1", api.port), LIMIT_S) for _ in range(API_CONNECTIONS)]
    try:
        answers = [httpx.get(f"{api.url}/health/live"), httpx.post(f"{api.url}/estimate-body", content=b"{}")]
    finally:
        for connection in crowd:
            connection.close()
    for answer, detail in zip(answers, ("Too many connections", UNAVAILABLE), strict=True):
        assert (answer.status_code, answer.json()) == (503, {"detail": detail})
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-Request-Id"].startswith("req_")
    wait_until(lambda: httpx.get(f"{api.url}/health/live").status_code == 200 or None, lambda: api.process.log)


def test_whoever_says_nothing_or_drips_is_hung_up_on(api: Api) -> None:
    starts = {
        "silent": b"",
        "half a head": b"GET /health HTTP/1.1\r\nHost",
        "half a body": HEAD + b"Content-Length: 100\r\n\r\n{",
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
