"""One process beside the event loop that does one thing at a time, and can be ended whatever it is doing.

    ProcessFailed     a call took too long: the process is gone, make another one
      ProcessDied     the process is gone by itself, of the call or of something else

Calls and answers travel pickled over a pair of sockets that the loop itself reads. The standard ProcessPoolExecutor
cannot end one process (a crash breaks the whole pool, a hang stays for ever), and Pebble's pool of one needs three
threads for it, which all compete with the loop: 2 ms of CPU a call, and wake-ups without an end when there is none.
"""

import asyncio
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
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

_READ_BYTES = 1024 * 1024
"""Of an answer that may wait to be read: a picture with lines drawn on it has 0.3 MB."""


class ProcessFailed(Exception):
    """The process took too long or died."""


class ProcessDied(ProcessFailed):
    """A crash, or the system wanted its memory: the call may have nothing to do with it."""


class ChildProcess:
    """Made by `start`; whoever starts it ends it."""

    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See `start`."""
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, *, memory_limit_bytes: int | None = None) -> Self:
        """A new one. Its imports are done when it answers its first call.

        Spawned, not forked; what asks for more than `memory_limit_bytes` in it gets a MemoryError.
        """
        ours, theirs = socket.socketpair()
        process = _SPAWN.Process(target=_serve, args=(theirs, memory_limit_bytes), daemon=True)
        with theirs:
            process.start()
        return cls(process, *await asyncio.open_unix_connection(sock=ours, limit=_READ_BYTES))

    @property
    def alive(self) -> bool:
        """Whether it can be given a call."""
        lost = self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None
        return not lost and self._process.is_alive()

    async def run(self, timeout: float, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Run `function` there, for at most `timeout` seconds; one call at a time.

        `function` must be importable by name; arguments, result and errors must pickle. Raises what the function
        raises, or ProcessFailed. Cancelling the call ends the process.
        """
        answer = await self.call(timeout, function, *args)
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    async def call(self, timeout: float, function: Callable[[*Ts], R], *args: *Ts) -> "Returned[R] | Raised":
        """As `run`, with what the function raises as a value. Raises ProcessFailed."""
        # Not multiprocessing's own pickler: it gives a memoryview of a BytesIO, and when both are collected together,
        # in the cycle of a failed call's traceback, the interpreter crashes (seen in Python 3.12.1).
        call = pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL)
        try:
            async with asyncio.timeout(timeout):
                answer: Returned[R] | Raised = pickle.loads(await self._ask(call))  # noqa: S301 (our own process)
        except TimeoutError as error:
            await self._end()
            raise ProcessFailed(f"took longer than {timeout:g} s") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            await self._end()
            raise ProcessDied(f"its process died (exit code {self._process.exitcode})") from error
        except asyncio.CancelledError:
            self.kill()
            raise
        except Exception as error:
            await self._end()
            raise ProcessFailed("its answer cannot be read") from error
        return answer

    def kill(self) -> None:
        """End it at once."""
        self._writer.transport.abort()
        self._process.kill()

    def join(self) -> None:
        """Wait until the system has taken back what a killed one had: some ten milliseconds."""
        self._process.join()

    async def _ask(self, call: bytes) -> bytes:
        self._writer.writelines((_HEAD.pack(len(call)), call))
        (length,) = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
        return await self._reader.readexactly(length)

    async def _end(self) -> None:
        self.kill()
        await asyncio.to_thread(self.join)


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
    with suppress(ConnectionError):  # nobody is there any more to be told the answer
        while (call := _receive(calls)) is not None:
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
