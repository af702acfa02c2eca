"""A TCP proxy in front of a test's Redis that can stop the world at an exact command, or cut every connection.

    instant = proxy.hold(b"HSETNX.*wearon:refunds", at="request")   # the command does not reach Redis
    instant = proxy.hold(b"EVALSHA.*taken", at="answer")            # it is done, but nobody hears of it
    instant.reached.wait()                                          # now pull the plug

A pattern is searched in what a client sends with one write, which is one command or pipeline, or (`in_answer`) in
what Redis sends back. redis-py gives up on an answer after 5 s; what is tested must have happened by then.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 256 * 1024


@dataclass
class Instant:
    """One matching command is held here, before or after Redis has done it; later ones pass."""

    pattern: re.Pattern[bytes]
    at: Literal["request", "answer"]
    in_answer: bool
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    _taken: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, data: bytes) -> bool:
        """Whether this is the one."""
        with self._lock:
            if self._taken or not self.pattern.search(data):
                return False
            self._taken = True
            return True

    def give_back(self) -> None:
        """It was not, after all."""
        self._taken = False

    def hold(self) -> None:
        """Stand still until released."""
        self.reached.set()
        self.released.wait()


class RedisProxy:
    """Listens on a loopback port of its own and passes everything on to the server on `port`."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._instants: list[Instant] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, name="redis-proxy", daemon=True).start()

    def hold(self, pattern: bytes, *, at: Literal["request", "answer"], in_answer: bool = False) -> Instant:
        """Hold the first command that matches from now on."""
        instant = Instant(re.compile(pattern, re.DOTALL), at, in_answer)
        self._instants.append(instant)
        return instant

    def behave(self) -> None:
        """Hold nothing any more. What was held is dropped: its client is gone, or has given up on it."""
        instants, self._instants = self._instants, []
        for instant in instants:
            instant.released.set()

    def cut(self) -> None:
        """Hang up on everybody; new connections are welcome."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        self.behave()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        answer_due: list[Instant] = []
        backwards = threading.Thread(target=self._pump_back, args=(server, client, answer_due), daemon=True)
        with client, server:
            for connection in (client, server):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.add(connection)
            backwards.start()
            with suppress(OSError):
                self._pump(client, server, answer_due)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            backwards.join()
            self._open -= {client, server}

    def _pump(self, client: socket.socket, server: socket.socket, answer_due: list[Instant]) -> None:
        while data := client.recv(CHUNK):
            instant = self._match(data, in_answer=False)
            if instant is not None and instant.at == "request":
                instant.hold()
                return
            if instant is not None:
                answer_due.append(instant)
            server.sendall(data)

    def _pump_back(self, server: socket.socket, client: socket.socket, answer_due: list[Instant]) -> None:
        with suppress(OSError):
            while data := server.recv(CHUNK):
                instant = answer_due.pop() if answer_due else self._match(data, in_answer=True)
                if instant is not None and data.startswith(b"-NOSCRIPT"):
                    instant.give_back()  # nothing was done: the client sends the script, then asks again
                elif instant is not None:
                    instant.hold()
                    break
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _match(self, data: bytes, *, in_answer: bool) -> Instant | None:
        matching = (instant for instant in self._instants if instant.in_answer == in_answer)
        return next((instant for instant in matching if instant.take(data)), None)


@contextmanager
def running_redis_proxy(port: int) -> Iterator[RedisProxy]:
    """A proxy for the length of a block."""
    proxy = RedisProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
