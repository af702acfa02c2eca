"""One process beside the event loop that does one thing after the other, and can be ended whatever it is doing.

    ProcessFailed     a call took too long: the process is gone, make another one
      ProcessDied     the process is gone by itself, of the call or of something else
        NeverBegun    of a call before this one, which another process may do

Calls and answers travel pickled over a pair of sockets that the loop itself reads. A call may be sent before the one
before it is answered: the process need not wait for the loop then. The standard ProcessPoolExecutor cannot end one
process (a crash breaks the whole pool, a hang stays for ever), and Pebble's pool of one needs three threads for it,
which all compete with the loop: 2 ms of CPU a call, and wake-ups without an end when there is none.
"""

import asyncio
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Generic, Self, TypeVar, TypeVarTuple

from wearon.heap import keep_freed_memory

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

NICENESS = 5
"""The event loop goes first: it has little to do, and everybody waits for it. Without a loop to serve, these processes
still get every core that there is."""

_SPAWN = multiprocessing.get_context("spawn")

_HEAD = struct.Struct("!Q")
"""Before every call and answer: its length in bytes."""


class ProcessFailed(Exception):
    """The process took too long or died."""


class ProcessDied(ProcessFailed):
    """A crash, or the system wanted its memory: the call may have nothing to do with it."""


class NeverBegun(ProcessDied):
    """The process was gone before the call's turn came."""


class ChildProcess:
    """Made by `start`; whoever starts it ends it."""

    def __init__(self, process: BaseProcess, transport: asyncio.WriteTransport, answers: "_Answers") -> None:
        """See `start`."""
        self._process = process
        self._transport = transport
        self._answers = answers

    @classmethod
    async def start(cls, *, memory_limit_bytes: int | None = None) -> Self:
        """A new one. Its imports are done when it answers its first call.

        Spawned, not forked; what asks for more than `memory_limit_bytes` in it gets a MemoryError.
        """
        ours, theirs = socket.socketpair()
        process = _SPAWN.Process(target=_serve, args=(theirs, memory_limit_bytes), daemon=True)
        with theirs:
            process.start()
        return cls(process, *await asyncio.get_running_loop().create_unix_connection(_Answers, sock=ours))

    @property
    def alive(self) -> bool:
        """Whether it can be given a call."""
        return not self._transport.is_closing() and self._process.is_alive()

    async def run(self, timeout: float, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Run `function` there, for at most `timeout` seconds; one call at a time.

        `function` must be importable by name; arguments, result and errors must pickle. Raises what the function
        raises, or ProcessFailed. Cancelling the call ends the process.
        """
        answer = await self.send(function, *args).answer(timeout)
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def send(self, function: Callable[[*Ts], R], *args: *Ts) -> "Call[R]":
        """As `run`, behind what has been sent before: the answers come in the order of the calls.

        Not for many at once: they wait in the process's memory.
        """
        # Not multiprocessing's own pickler: it gives a memoryview of a BytesIO, and when both are collected together,
        # in the cycle of a failed call's traceback, the interpreter crashes (seen in Python 3.12.1).
        message = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        expected = self._answers.expect()
        self._transport.writelines((_HEAD.pack(len(message)), message))
        return Call(self, expected)

    def kill(self) -> None:
        """End it at once."""
        self._transport.abort()
        self._process.kill()

    def join(self) -> None:
        """Wait until the system has taken back what a killed one had: some ten milliseconds."""
        self._process.join()

    async def end(self) -> int | None:
        """Kill it and wait until it is gone: what it exited with."""
        self.kill()
        await asyncio.to_thread(self.join)
        return self._process.exitcode


class Call(Generic[R]):
    """A call that has been sent, made by `ChildProcess.send`. Its answer is to be waited for, by one."""

    def __init__(self, process: ChildProcess, expected: "_Expected") -> None:
        self._process = process
        self._expected = expected

    async def begins(self) -> bool:
        """Wait for its turn: from then on it is to blame for what happens. False when the process is gone by then."""
        return await asyncio.shield(self._expected.begun)

    async def answer(self, timeout: float) -> "Returned[R] | Raised":
        """What came of it, within `timeout` seconds of its beginning.

        Raises ProcessFailed. Cancelling ends the process.
        """
        try:
            if not await self.begins():
                raise NeverBegun("its process was gone before its turn came")
            async with asyncio.timeout(timeout):
                answer: Returned[R] | Raised = pickle.loads(await self._expected.pickled)  # noqa: S301 (our own process)
        except NeverBegun:
            raise
        except TimeoutError as error:
            await self._process.end()
            raise ProcessFailed(f"took longer than {timeout:g} s") from error
        except OSError as error:
            raise ProcessDied(f"its process died (exit code {await self._process.end()})") from error
        except asyncio.CancelledError:
            self._process.kill()
            raise
        except Exception as error:
            await self._process.end()
            raise ProcessFailed("its answer cannot be read") from error
        return answer


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    """One answer that is to come."""

    begun: asyncio.Future[bool]
    pickled: asyncio.Future[bytes]


class _Answers(asyncio.Protocol):
    """Gives each answer to the call that has waited for the longest."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque()
        self._arrived = bytearray()
        self._lost = False

    def expect(self) -> _Expected:
        """What the next answer after those that are expected already will be put into."""
        loop = asyncio.get_running_loop()
        expected = _Expected(loop.create_future(), loop.create_future())
        if self._lost:
            expected.begun.set_result(False)
            return expected
        self._expected.append(expected)
        if len(self._expected) == 1:
            expected.begun.set_result(True)
        return expected

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        while len(self._arrived) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._arrived)[0]
            if len(self._arrived) < end:
                break
            expected = self._expected.popleft()
            if not expected.pickled.done():  # whoever asked has gone
                expected.pickled.set_result(bytes(self._arrived[_HEAD.size : end]))
            del self._arrived[:end]
            if self._expected:
                self._expected[0].begun.set_result(True)

    def connection_lost(self, _: Exception | None) -> None:
        self._lost = True
        for expected in self._expected:
            if not expected.begun.done():
                expected.begun.set_result(False)
            elif not expected.pickled.done():
                expected.pickled.set_exception(ConnectionResetError())
        self._expected.clear()


@dataclass(frozen=True, slots=True)
class Returned(Generic[R]):
    """What a function returned."""

    value: R


@dataclass(frozen=True, slots=True)
class Raised:
    """What a function raised, as a value: of a call that may have nobody any more who waits for it."""

    error: Exception


# What follows runs in the process itself.


def _serve(calls: socket.socket, memory_limit_bytes: int | None) -> None:
    os.nice(NICENESS)
    keep_freed_memory()
    # Ctrl-C reaches the whole process group, but stopping in order is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_limit_bytes is not None:
        _limit_memory(memory_limit_bytes)
    arrived: SimpleQueue[bytearray | None] = SimpleQueue()
    # A thread, so that what is sent ahead is here, and not still half in the loop's hands, when it is its turn.
    threading.Thread(target=_receive_all, args=(calls, arrived), daemon=True).start()
    with suppress(ConnectionError):  # nobody is there any more to be told the answer
        while (call := arrived.get()) is not None:
            answer = _answer(call)
            del call  # 10 MB, until the next one comes
            calls.sendall(_HEAD.pack(len(answer)))
            calls.sendall(answer)


def _answer(call: bytearray) -> bytes:
    try:
        function, args = pickle.loads(call)  # noqa: S301 (from the process that started this one)
        return pickle.dumps(Returned(function(*args)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 (raised again by whoever called)
        return pickle.dumps(Raised(error), pickle.HIGHEST_PROTOCOL)


def _receive_all(calls: socket.socket, arrived: "SimpleQueue[bytearray | None]") -> None:
    call: bytearray | None = None
    with suppress(ConnectionError):
        while (call := _receive(calls)) is not None:
            arrived.put(call)
            del call
    arrived.put(None)


def _receive(calls: socket.socket) -> bytearray | None:
    """The next call; None when there will be none."""
    head = _receive_bytes(calls, _HEAD.size)
    return None if head is None else _receive_bytes(calls, *_HEAD.unpack(head))


def _receive_bytes(calls: socket.socket, count: int) -> bytearray | None:
    received = bytearray(count)
    missing = memoryview(received)
    while missing:
        arrived = calls.recv_into(missing, flags=socket.MSG_WAITALL)
        if arrived == 0:
            return None
        missing = missing[arrived:]
    return received


def _limit_memory(limit_bytes: int) -> None:
    # RLIMIT_DATA, not RLIMIT_AS: libraries map files and reserve addresses far beyond what they use.
    with suppress(ValueError, OSError):  # an administrator's hard limit is lower, or the system has no such thing
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
