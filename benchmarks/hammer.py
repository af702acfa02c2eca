"""Callers that ask the same again and again, from one cheap process: what they cost is the worker's, not theirs."""

import asyncio
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from benchmarks import machine

CALLERS = 64
AGAIN_S = 0.02
"""Until one that was hung up on, or could not connect, connects again."""

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Hammered:
    """What the hammering process counted, complete when its block has ended."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        """By status; 0 for a request that its caller did not wait for."""
        self.seconds = self.cpu_s = 0.0

    @property
    def good_rate(self) -> float:
        """Answers with 200, a second."""
        return self.answers[200] / self.seconds

    @property
    def refusal_rate(self) -> float:
        """All others, a second."""
        return (self.answers.total() - self.answers[200]) / self.seconds

    @property
    def cpu_share(self) -> float:
        """Of a core, that the callers took from the worker."""
        return self.cpu_s / self.seconds


class Hammer:
    """The process. It is started once, so that no phase pays for its start."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(theirs, port), daemon=True)
        self._process.start()
        assert self._orders.recv() == "ready"

    @contextmanager
    def hammering(self, request: bytes, patience_s: float | None = None) -> Iterator[Hammered]:
        """Ask for the length of the block; with `patience_s`, callers hang up that long after each request."""
        hammered = Hammered()
        self._orders.send((request, patience_s))
        began, cpu_s = time.perf_counter(), machine.loop_seconds(int(self._process.pid or 0))
        try:
            yield hammered
        finally:
            hammered.seconds = time.perf_counter() - began
            hammered.cpu_s = machine.loop_seconds(int(self._process.pid or 0)) - cpu_s
            self._orders.send(None)
            hammered.answers = self._orders.recv()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


class _Caller(asyncio.Protocol):
    def __init__(self, request: bytes, counted: Counter[int]) -> None:
        self._request, self._counted, self._received = request, counted, b""
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # as in uvloop, whose own are no subclass of it
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and length and len(body) >= int(length[1]):
            self._counted[int(head[9:12])] += 1
            self._received = b""
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's name
        if not self.ended.done():
            self.ended.set_result(None)


def _obey(orders: Connection, port: int) -> None:
    orders.send("ready")
    while True:
        request, patience_s = orders.recv()
        orders.send(uvloop.run(_hammer(orders, port, request, patience_s)))


async def _hammer(orders: Connection, port: int, request: bytes, patience_s: float | None) -> Counter[int]:
    counted: Counter[int] = Counter()
    callers = [asyncio.ensure_future(_call(port, request, patience_s, counted)) for _ in range(CALLERS)]
    await asyncio.to_thread(orders.recv)  # told to stop
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return counted


async def _call(port: int, request: bytes, patience_s: float | None, counted: Counter[int]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            transport, caller = await loop.create_connection(lambda: _Caller(request, counted), "127.0.0.1", port)
        except OSError:
            await asyncio.sleep(AGAIN_S)
            continue
        try:
            async with asyncio.timeout(patience_s):
                await caller.ended
            await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            counted[0] += 1
        finally:
            transport.abort()
