"""Exchanges with services, over real sockets: what is sent, what is kept, and what each kind of failure is called."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from aiohttp.client_proto import ResponseHandler

from support.certificates import certificate_for
from wearon.net.interim_answers import MOST
from wearon.net.service_transport import PIECE_BYTES, ServiceTransport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PLAIN = ssl.create_default_context()


@dataclass
class Service:
    """Answers each request with the next of `answers` (the last one for ever); what it is sent is in `requests`."""

    answers: list[bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]] = field(default_factory=lambda: [OK])
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    url: str = ""

    def heads(self) -> list[bytes]:
        return [head.split(b"\r\n")[0] for head, _ in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                self.requests.append((head, await reader.readexactly(length)))
                self.asked.set()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (OSError, EOFError):
            pass


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port of this machine where `serve` is called for every connection."""
    serving: set[asyncio.Task[None]] = set()

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def running(service: Service, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    async with listening(service.serve, tls) as port:
        service.url = f"{'https' if tls else 'http'}://localhost:{port}"
        yield service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running(Service()) as service:
        yield service


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_with(max_connections=5) as client:
        yield client


def client_with(
    *,
    max_connections: int = 5,
    keep_alive_s: float = 20,
    tls: ssl.SSLContext = PLAIN,
    timeout: httpx.Timeout | None = None,
) -> httpx.AsyncClient:
    transport = ServiceTransport(max_connections=max_connections, keep_alive_s=keep_alive_s, tls=tls)
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=timeout or httpx.Timeout(5))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def say_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


class TestWhatIsSent:
    async def test_the_headers_are_those_that_httpx_chose(self, client: httpx.AsyncClient, service: Service) -> None:
        request = client.build_request("PATCH", f"{service.url}/x", json={"a": 1}, headers={"apikey": "key"})
        await client.send(request)
        ((head, body),) = service.requests
        lines = head.decode().split("\r\n")[1:-2]
        assert sorted(line.partition(":")[0].lower() for line in lines) == sorted(request.headers)
        assert all(request.headers[name] == value for name, _, value in (line.partition(": ") for line in lines))
        assert body == b'{"a":1}'

    async def test_a_url_is_sent_as_it_is(self, client: httpx.AsyncClient, service: Service) -> None:
        url = "/storage/v1/object/a%2Fb%20c?id=eq.1%2B2&select=id%2Cstatus&t=2026-11-28T12%3A00"
        await client.get(f"{service.url}{url}")
        assert service.heads() == [f"GET {url} HTTP/1.1".encode()]

    async def test_a_form_is_sent_whole_and_with_its_length(self, client: httpx.AsyncClient, service: Service) -> None:
        picture = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
        request = client.build_request("POST", service.url, data={"n": "1"}, files={"image[]": ("p.jpg", picture)})
        await client.send(request)
        ((head, body),) = service.requests
        assert b"chunked" not in head.lower()
        assert len(body) == int(request.headers["content-length"])
        assert picture in body

    async def test_a_password_in_the_address_is_a_header_only(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        await client.get(service.url.replace("//", "//user:word@"))
        ((head, _),) = service.requests
        assert b"user:" not in head
        assert b"Authorization: Basic dXNlcjp3b3Jk\r\n" in head

    async def test_a_header_with_a_line_break_is_not_sent(self, client: httpx.AsyncClient, service: Service) -> None:
        with pytest.raises(httpx.LocalProtocolError) as refused:
            await client.get(service.url, headers={"Authorization": "Bearer key\r\nX-Injected: yes"})
        assert service.requests == []
        assert "key" not in str(refused.value)


class TestConnections:
    async def test_one_serves_many_requests(self, client: httpx.AsyncClient, service: Service) -> None:
        for _ in range(3):
            assert (await client.post(service.url, content=b"x")).text == "ok"
        assert service.connections == 1

    async def test_no_more_than_allowed_are_open(self, service: Service) -> None:
        async with client_with(max_connections=2) as client:
            await asyncio.gather(*(client.get(service.url) for _ in range(8)))
        assert service.connections <= 2
        assert len(service.requests) == 8

    async def test_waiting_for_one_ends(self, service: Service) -> None:
        service.answers = [say_nothing]
        async with client_with(max_connections=1, timeout=httpx.Timeout(5, pool=0.1)) as client:
            first = asyncio.create_task(client.get(service.url))
            await service.asked.wait()
            with pytest.raises(httpx.TimeoutException):
                await client.get(service.url)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    async def test_one_that_the_service_closed_while_idle_is_not_used(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        async def answer_and_hang_up(writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            writer.close()

        service.answers = [answer_and_hang_up, OK]
        await client.post(service.url)
        await asyncio.sleep(0.05)  # the end of the connection is on its way
        assert (await client.post(service.url)).text == "ok"
        assert service.connections == 2

    async def test_what_was_said_unasked_is_nobodys_answer(self, client: httpx.AsyncClient, service: Service) -> None:
        heard, said = asyncio.Event(), asyncio.Event()

        async def answer_twice(writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            await heard.wait()
            writer.write(OK.replace(b"ok", b"no"))
            said.set()

        service.answers = [answer_twice, OK]
        await client.post(service.url)
        heard.set()
        await said.wait()
        await asyncio.sleep(0.05)  # it is on its way
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(service.url)
        assert len(service.requests) == 1
        assert (await client.post(service.url)).text == "ok"

    async def test_an_answer_that_is_not_read_to_its_end_costs_its_connection_only(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        service.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning", OK]
        async with client.stream("GET", service.url) as response:
            assert response.status_code == 200
        assert (await client.get(service.url)).text == "ok"
        assert service.connections == 2

    async def test_a_cancelled_request_leaves_nothing_behind_for_the_next(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        async def answer_late(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.2)
            writer.write(OK.replace(b"ok", b"no"))

        service.answers = [answer_late, OK]
        first = asyncio.create_task(client.get(service.url))
        await service.asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(0.3)
        assert (await client.get(service.url)).text == "ok"

    async def test_cookies_are_not_kept_below_httpx(self, service: Service) -> None:
        service.answers = [OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")]
        transport = ServiceTransport(max_connections=1, keep_alive_s=20, tls=PLAIN)
        for _ in range(2):
            answer = await transport.handle_async_request(httpx.Request("GET", service.url))
            await answer.aread()
        await transport.aclose()
        assert all(b"cookie" not in head.lower() for head, _ in service.requests)


class TestAnswers:
    async def test_a_redirect_is_an_answer(self, client: httpx.AsyncClient, service: Service) -> None:
        service.answers = [b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"]
        assert (await client.get(service.url)).status_code == 302
        assert len(service.requests) == 1

    async def test_a_compressed_one_is_unpacked_once(self, client: httpx.AsyncClient, service: Service) -> None:
        packed = gzip.compress(b"unpacked")
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        service.answers = [head + packed]
        assert (await client.get(service.url)).content == b"unpacked"

    async def test_what_goes_on_behind_a_compressed_one_is_not_read(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        hung_up = asyncio.Event()

        async def go_on(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece, rest = gzip.compress(b"{}"), gzip.compress(b"") * 1000
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            try:
                while True:
                    writer.write(b"%x\r\n%s\r\n" % (len(rest), rest))
                    await writer.drain()
            finally:
                hung_up.set()

        service.answers[:] = [go_on, OK]
        assert (await client.get(service.url)).text == "{}"
        await hung_up.wait()
        assert (await client.get(service.url)).text == "ok"

    async def test_one_that_unpacks_to_gigabytes_is_unpacked_as_far_as_it_is_read(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        packed = gzip.compress(bytes(50_000_000))
        service.answers = [
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
        ]
        async with client.stream("GET", service.url) as answer:
            sizes = [len(piece) async for piece in answer.aiter_bytes()]
        assert sum(sizes) == 50_000_000
        assert max(sizes) <= PIECE_BYTES

    @pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate", "identity, br", "GZIP , x-gzip"])
    async def test_one_in_an_encoding_that_was_not_asked_for_is_refused(
        self, client: httpx.AsyncClient, service: Service, encoding: str
    ) -> None:
        packed = gzip.compress(gzip.compress(b"packed twice"))
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
        service.answers = [head % (encoding.encode(), len(packed)) + packed]
        with pytest.raises(httpx.DecodingError, match="not asked for"):
            await client.get(service.url)

    @pytest.mark.parametrize("encoding", ["identity", "", "utf-8", "none", "aws-chunked", "base64"])
    async def test_an_encoding_that_is_none_changes_nothing(
        self, client: httpx.AsyncClient, service: Service, encoding: str
    ) -> None:
        service.answers = [
            b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: 2\r\n\r\nok" % encoding.encode()
        ]
        assert (await client.get(service.url)).content == b"ok"

    @pytest.mark.parametrize(
        "packed", [gzip.compress(b"cut off", mtime=0)[:-9], b"no gzip", gzip.compress(b"", mtime=0)[:10]]
    )
    async def test_one_that_cannot_be_unpacked_is_an_error_of_the_answer(
        self, client: httpx.AsyncClient, service: Service, packed: bytes
    ) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        service.answers = [head + packed]
        with pytest.raises(httpx.DecodingError):
            await client.get(service.url)

    async def test_one_that_comes_in_chunks_is_whole(self, client: httpx.AsyncClient, service: Service) -> None:
        service.answers = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"]
        assert (await client.get(service.url)).content == b"abcdefg"

    async def test_one_that_is_given_before_the_request_was_read_counts(self, client: httpx.AsyncClient) -> None:
        """A gateway that says 413 or 401 to a form of megabytes does not read it first."""

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            await writer.drain()
            await asyncio.sleep(0.5)

        async with listening(refuse) as port:
            answer = await client.post(f"http://localhost:{port}", files={"image[]": ("p.jpg", bytes(20_000_000))})
        assert (answer.status_code, answer.text) == (413, "no")


class TestFailures:
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_a_lost_answer_is_no_reason_to_ask_again(
        self, client: httpx.AsyncClient, service: Service, method: str
    ) -> None:
        service.answers = [OK, hang_up, OK]
        await client.request(method, service.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.request(method, service.url)
        assert len(service.requests) == 2

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", httpx.RemoteProtocolError),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", httpx.RemoteProtocolError),
            (b"HTTP/1.1 200 OK\r\nContent-Le", httpx.RemoteProtocolError),
            (b"220 mail.example ESMTP\r\n\r\n", httpx.RemoteProtocolError),
            (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", httpx.RemoteProtocolError),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", httpx.RemoteProtocolError),
        ],
        ids=["half a body", "half a chunk", "half a head", "another protocol", "endless head", "two lengths"],
    )
    async def test_half_and_broken_answers(
        self, client: httpx.AsyncClient, service: Service, answer: bytes, error: type[httpx.HTTPError]
    ) -> None:
        async def give(writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            writer.close()

        service.answers = [give]
        with pytest.raises(error):
            await client.get(service.url)

    async def test_nobody_there(self, client: httpx.AsyncClient, service: Service) -> None:
        async with listening(service.serve) as port:
            pass
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}")

    async def test_a_name_that_nobody_has(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://nobody.invalid")

    async def test_silence(self, service: Service) -> None:
        service.answers = [say_nothing]
        async with client_with(timeout=httpx.Timeout(5, read=0.1)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(service.url)

    async def test_answers_that_announce_one_another_without_an_end(
        self, client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard, parsed, parse = asyncio.Event(), 0, ResponseHandler.data_received

        def count(handler: ResponseHandler, data: bytes) -> None:
            nonlocal parsed
            parsed += len(data)
            parse(handler, data)

        async def announce(writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
                    await writer.drain()
            finally:
                heard.set()

        monkeypatch.setattr(ResponseHandler, "data_received", count)
        service.answers[:] = [announce, OK]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.get(service.url)
        assert parsed < 1000, "the parser takes a second for one read of them, and nothing else runs meanwhile"
        await heard.wait()  # the connection was hung up on
        assert (await client.get(service.url)).status_code == 200

    @pytest.mark.parametrize(
        "line", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
    )
    @pytest.mark.parametrize("cut", [1, 7, 1000])
    async def test_a_few_that_announce_one_are_passed_over(
        self, client: httpx.AsyncClient, service: Service, line: bytes, cut: int
    ) -> None:
        whole = line * MOST + b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"HTTP/1.1 100 x\r\n\r\n" * 2 + b"1234"

        async def announce(writer: asyncio.StreamWriter) -> None:
            for start in range(0, len(whole), cut):
                writer.write(whole[start : start + cut])
                await writer.drain()

        service.answers[:] = [announce]
        for _ in range(3):
            assert (await client.get(service.url)).content == whole[-40:]
        assert service.connections == 1

    async def test_silence_within_an_answer(self, service: Service) -> None:
        async def begin(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning")
            await say_nothing(writer)

        service.answers = [begin]
        async with client_with(timeout=httpx.Timeout(5, read=0.1)) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(service.url)

    async def test_no_url_of_ours_is_told_when_the_service_hangs_up_on_a_form(self, client: httpx.AsyncClient) -> None:
        async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with listening(reset) as port:
            with pytest.raises(httpx.TransportError) as lost:
                await client.post(f"http://localhost:{port}/?token=secret", files={"i": ("p.jpg", bytes(20_000_000))})
        assert "secret" not in str(lost.value)
        assert lost.value.__suppress_context__, "a traceback would show aiohttp's error, which quotes the URL"

    async def test_what_is_no_http_address(self, client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://localhost/x")


class TestCertificates:
    async def test_one_that_nobody_vouches_for_is_refused(self) -> None:
        ours, _ = certificate_for("localhost")
        async with running(Service(), ours) as service, client_with(tls=httpx.create_ssl_context()) as client:
            with pytest.raises(httpx.ConnectError):
                await client.post(service.url, headers={"apikey": "key"})
        assert service.requests == []

    async def test_one_for_another_name_is_refused(self) -> None:
        ours, theirs = certificate_for("elsewhere.example")
        async with running(Service(), ours) as service, client_with(tls=theirs) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(service.url)
        assert service.requests == []

    async def test_a_good_one_is_used_and_kept_alive(self) -> None:
        ours, theirs = certificate_for("localhost")
        async with running(Service(), ours) as service, client_with(tls=theirs) as client:
            for _ in range(3):
                answer = await client.post(service.url, files={"i": ("p.jpg", bytes(3_000_000))})
                assert answer.text == "ok"
        assert service.connections == 1
