"""One loopback HTTP server in front of a test's services, which can be told to misbehave.

It runs in threads of its own, so it goes on serving while a test's event loop is blocked, and serves worker
processes as well as code under test. Every request is recorded.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from enum import StrEnum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

RECORDED_BODY_BYTES = 64 * 1024
JSON = {"Content-Type": "application/json"}
HOP_HEADERS = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


@dataclass(frozen=True)
class Request:
    """A request as it came in. `path` is as the client wrote it, percent signs and all; `query` has no "?"."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes

    @property
    def line(self) -> str:
        """What a fault's pattern is searched in, such as "PATCH /rest/v1/generation_sessions?id=eq.1"."""
        return f"{self.method} {self.path}?{self.query}" if self.query else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]


class Do(StrEnum):
    """What a fault does to a request."""

    FORWARD = "forward"
    """Nothing by itself: for faults that only hold or delay."""
    ANSWER = "answer"
    """Answer with `Fault.response`; the service behind does not see the request."""
    LOSE_REQUEST = "lose request"
    """Hang up; the service behind does not see the request."""
    LOSE_ANSWER = "lose answer"
    """Let the service do it (and commit), then hang up without a word."""


@dataclass
class Fault:
    """A misbehaviour, for requests whose line matches `pattern` and whose body holds `body`.

    `times` limits how often (None: for ever), `chance` how likely it is each time. `hold_request` and
    `hold_answer` stop it before or after the service has done its work, until `release` is called; `reached` is
    set then, so a test knows when to pull the plug. `delay` seconds pass before the service sees the request.
    """

    pattern: str
    do: Do = Do.FORWARD
    response: Response = Response(500, b'{"message": "broken on purpose"}', {"Content-Type": "application/json"})
    times: int | None = 1
    chance: float = 1.0
    delay: float = 0.0
    body: bytes = b""
    hold_request: bool = False
    hold_answer: bool = False
    hits: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the requests go on that this fault holds, now and later."""
        self._released.set()

    def hold(self) -> None:
        """Stand still until released."""
        self.reached.set()
        self._released.wait()


@dataclass(frozen=True)
class Exchange:
    """A request that came, and the status that went back; None when the connection was dropped instead."""

    line: str
    body: bytes
    status: int | None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the library's 5, many new connections at once are reset


class Gateway:
    """The server: path prefixes lead to handlers, faults lie on the way. `chances` is the dice of random faults."""

    def __init__(self, chances: Random | None = None) -> None:
        self.exchanges: list[Exchange] = []
        self._handlers: dict[str, Handler] = {}
        self._faults: list[Fault] = []
        self._held: list[Fault] = []
        self._chances = chances or Random(0)
        self._lock = threading.Lock()
        self._answered = threading.Condition()
        self._under_way = 0
        self.connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def mount(self, prefix: str, handler: Handler) -> None:
        """Lead requests whose path begins with `prefix` to `handler`, which sees the path without it."""
        self._handlers[prefix] = handler

    def add(self, fault: Fault) -> Fault:
        """Misbehave from now on; the fault that was added first comes first."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def forget(self, *faults: Fault) -> None:
        """Misbehave no more in these ways. Whatever they hold stays held, until `behave`."""
        with self._lock:
            self._faults = [fault for fault in self._faults if fault not in faults]
            self._held += faults

    def behave(self) -> None:
        """Forget all faults, let what they hold run to its end, and forget what was recorded."""
        with self._lock:
            faults, self._faults, self._held = self._faults + self._held, [], []
        for fault in faults:
            fault.release()
        with self._answered:
            quiet = self._answered.wait_for(lambda: self._under_way == 0, 20.0)
        assert quiet, "a request does not end"
        self.exchanges.clear()

    def count(self, pattern: str) -> int:
        """How many requests came whose line matches."""
        return sum(1 for exchange in list(self.exchanges) if re.search(pattern, exchange.line))

    def wait_for(self, pattern: str, times: int = 1, seconds: float = 20.0) -> bool:
        """Wait until so many matching requests have been dealt with; False when they were not. Blocks."""
        with self._answered:
            return self._answered.wait_for(lambda: self.count(pattern) >= times, seconds)

    def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        assert self._server is None, "already running"
        self._server = _Server(("127.0.0.1", self._port), self._connection_class())
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gateway")
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody and refuse connections until started again."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, request: Request) -> Response | None:
        """The answer to a request; None is to hang up."""
        with self._answered:
            self._under_way += 1
        response = None
        try:
            response = self._pass_on(request, self._fault_for(request))
        finally:
            body = request.body[:RECORDED_BODY_BYTES]
            with self._answered:
                self.exchanges.append(Exchange(request.line, body, response.status if response else None))
                self._under_way -= 1
                self._answered.notify_all()
        return response

    def _pass_on(self, request: Request, fault: Fault | None) -> Response | None:
        if fault is None:
            return self._serve(request)
        if fault.delay:
            fault._released.wait(fault.delay)
        if fault.hold_request:
            fault.hold()
        if fault.do is Do.LOSE_REQUEST:
            return None
        response = fault.response if fault.do is Do.ANSWER else self._serve(request)
        if fault.hold_answer:
            fault.hold()
        return None if fault.do is Do.LOSE_ANSWER else response

    def _serve(self, request: Request) -> Response:
        for prefix, handler in self._handlers.items():
            if request.path.startswith(prefix):
                inner = Request(
                    request.method, request.path[len(prefix) :], request.query, request.headers, request.body
                )
                return handler(inner)
        return Response(404, b'{"message": "no Route matched with those values"}', JSON)

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                spent = fault.times is not None and fault.hits >= fault.times
                if spent or fault.body not in request.body or not re.search(fault.pattern, request.line):
                    continue
                if fault.chance >= 1 or self._chances.random() < fault.chance:
                    fault.hits += 1
                    return fault
        return None

    def _connection_class(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body in one packet

            def setup(self) -> None:
                super().setup()
                gateway.connections.add(self.connection)

            def finish(self) -> None:
                gateway.connections.discard(self.connection)
                with suppress(OSError):  # the client may be gone, killed on purpose
                    super().finish()

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                target = urlsplit(self.path)
                request = Request(self.command, target.path, target.query, self.headers, self.rfile.read(length))
                response = gateway._answer(request)
                if response is None:
                    self.close_connection = True
                    return
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(response.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Connection


@contextmanager
def running_gateway() -> Iterator[Gateway]:
    """A gateway that listens, and stops at the end."""
    gateway = Gateway()
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.behave()
        gateway.stop()


def forward_to(port: int) -> Handler:
    """A handler that asks an HTTP server on a loopback port."""

    def handle(request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        target = f"{request.path}?{request.query}" if request.query else request.path
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request(request.method, target, request.body or None, headers)
            answer = connection.getresponse()
            passed = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
            return Response(answer.status, answer.read(), passed)
        except OSError:
            return Response(503, b'{"message": "name resolution failed"}', JSON)
        finally:
            connection.close()

    return handle
