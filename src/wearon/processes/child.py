"""One process beside the event loop that does one thing after the other, and can be ended whatever it is doing.

    ProcessFailed     a call took too long: the process is gone, make another one
      Starved         but it had little of the processors meanwhile: the machine has too much to do
      ProcessDied     the process is gone by itself, of the call or of something else
        NeverBegun    of a call before this one, which another process may do

Calls travel pickled, answers as `wearon.processes.answers` writes them, over a pair of sockets that the loop itself
reads. A call may be sent before the one before it is answered: the process need not wait for the loop then. What runs
in it may be taken over by what it reads, so it has none of our secrets in its environment, and nothing that it answers
is executed. The standard ProcessPoolExecutor cannot end one process (a crash breaks the whole pool, a hang stays for
ever), and Pebble's pool of one needs three threads for it, which all compete with the loop: 2 ms of CPU a call, and
wake-ups without an end when there is none.
"""

import asyncio
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar, TypeVarTuple, cast

from wearon.processes.answers import NotAnAnswer, Raised, Returned, decode, encode_raised, encode_returned
from wearon.processes.heap import keep_freed_memory

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

NICENESS = 5
"""The event loop goes first: it has little to do, and all callers wait for it. While it is idle, these processes
still get every core that there is."""

_HEAD = struct.Struct("!Q")
"""The head of a call: its length in bytes."""

_ANSWER_HEAD = struct.Struct("!Qd")
"""The head of an answer: its length, and the CPU seconds that it took."""

STARVED = 1 / 3
"""Share of its time limit that a call must have had of a processor before it is to blame for its time."""

MAX_ANSWER_BYTES = 128 * 1024 * 1024
"""A JPEG of the largest picture that we decode is half of this. A process that announces more is not ours any more."""

INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD")
INHERITED_KINDS = ("PYTHON", "OPENBLAS_", "OMP_", "MKL_", "MALLOC_", "GLIBC_", "COVERAGE_")
"""All that a process gets of our environment: how Python, the libraries and the allocator run, and no setting."""


class ProcessFailed(Exception):
    """The process took too long or died."""


class Starved(ProcessFailed):
    """The call got little of the processors within its time: nothing is known about it."""


class ProcessDied(ProcessFailed):
    """A crash, or the system wanted its memory: the call may have nothing to do with it."""


class NeverBegun(ProcessDied):
    """The process was gone before the call's turn came."""


class ChildProcess:
    """Made by `start`; its starter must end it."""

    def __init__(
        self, process: subprocess.Popen[bytes], transport: asyncio.WriteTransport, answers: "_Answers"
    ) -> None:
        self._process = process
        self._transport = transport
        self._answers = answers

    @classmethod
    async def start(cls, *, memory_limit_bytes: int | None = None) -> Self:
        """A new one. Its imports are done when it answers its first call.

        A new interpreter, not a fork; what asks for more than `memory_limit_bytes` in it gets a MemoryError. It ends
        when this process ends, however that happens. Raises OSError when the system has none to give.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = _start(theirs.fileno())
            child = cls(process, *await asyncio.get_running_loop().create_unix_connection(_Answers, sock=ours))
        except BaseException:
            ours.close()  # which ends the process, if there is one
            raise
        # Functions are found there by the names that they have here.
        child._send((sys.path, memory_limit_bytes))
        return child

    @property
    def cpu_s(self) -> float:
        """CPU seconds that it has had; where the system does not tell, the seconds that have passed."""
        with suppress(OSError):
            return time.clock_gettime((~self._process.pid << 3) | 2)  # as Linux writes a process's clock
        return time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether it can be given a call."""
        return not self._transport.is_closing() and self._process.poll() is None

    async def run(self, timeout: float, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Run `function` in the process for at most `timeout` seconds; one call at a time.

        `function` must be importable by name, its arguments must pickle, and what it returns and raises must be what
        `wearon.processes.answers` can tell. Raises what the function raises, or ProcessFailed. Cancelling the call
        ends the process.
        """
        answer = await self.send(function, *args).answer(timeout)
        if isinstance(answer, Raised):
            raise answer.error
        return answer.value

    def send(self, function: Callable[[*Ts], R], *args: *Ts, speaks_for: Callable[..., R] | None = None) -> "Call[R]":
        """Send a call behind those that were sent before; the answers come in the order of the calls.

        Not for many at once: they wait in the process's memory. `speaks_for` is the function whose annotations say
        what is returned and raised, when `function` only hands on what another one does.
        """
        self._send((function, args))
        call = Call(self, speaks_for or function)
        self._answers.expect(call)
        return call

    def _send(self, content: tuple[Any, ...]) -> None:
        # Not multiprocessing's own pickler: it gives a memoryview of a BytesIO, and when both are collected together,
        # in the cycle of a failed call's traceback, the interpreter crashes (seen in Python 3.12.1).
        message = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        self._transport.writelines((_HEAD.pack(len(message)), message))

    def kill(self) -> None:
        """End it at once."""
        self._transport.abort()
        self._process.kill()

    def join(self) -> None:
        """Wait until the system has taken back what a killed one had: some ten milliseconds."""
        self._process.wait()

    async def end(self) -> int | None:
        """Kill it and wait until it is gone: what it exited with."""
        self.kill()
        try:
            await asyncio.to_thread(self.join)
        except RuntimeError:  # no thread could be started
            self.join()
        return self._process.returncode


class Call(Generic[R]):
    """A call that has been sent, made by `ChildProcess.send`. Its answer is to be waited for, by one."""

    def __init__(self, process: ChildProcess, function: Callable[..., R]) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._function = function
        self.begun: asyncio.Future[bool] = loop.create_future()
        """False when its process is gone before its turn comes."""
        self.answered: asyncio.Future[tuple[bytes, float]] = loop.create_future()
        """The answer, and the CPU seconds that it took."""
        self.cpu_s = 0.0
        """CPU seconds that it took, once it is answered: what its process says, up to the time limit."""

    async def begins(self) -> bool:
        """Wait for its turn: from then on it is to blame for what happens. False when the process is gone by then."""
        return await asyncio.shield(self.begun)

    async def answer(self, timeout: float) -> Returned[R] | Raised:
        """Wait for the answer, for `timeout` seconds from the call's beginning.

        Raises ProcessFailed. Cancelling ends the process.
        """
        cpu_s_before = 0.0
        try:
            if not await self.begins():
                raise NeverBegun("its process was gone before its turn came")
            cpu_s_before = self._process.cpu_s
            async with asyncio.timeout(timeout):
                answer, cpu_s = await self.answered
            self.cpu_s = cpu_s if 0 <= cpu_s <= timeout else timeout
            return decode(answer, self._function)
        except NeverBegun:
            raise
        except TimeoutError as error:
            self.cpu_s = min(self._process.cpu_s - cpu_s_before, timeout)
            await self._process.end()
            if self.cpu_s < STARVED * timeout:
                raise Starved(f"had {self.cpu_s:.1f} s of a processor in {timeout:g} s") from error
            raise ProcessFailed(f"took longer than {timeout:g} s") from error
        except OSError as error:
            raise ProcessDied(f"its process died (exit code {await self._process.end()})") from error
        except asyncio.CancelledError:
            self._process.kill()
            raise
        except NotAnAnswer as error:
            await self._process.end()
            raise ProcessFailed(f"its answer cannot be read: {error}") from error


class _Answers(asyncio.Protocol):
    """Gives each answer to the call that has waited for the longest."""

    def __init__(self) -> None:
        self._expected: deque[Call[Any]] = deque()
        self._arrived = bytearray()
        self._lost = False

    def expect(self, call: Call[Any]) -> None:
        """Expect the call's answer, after those that are expected already."""
        if self._lost:
            call.begun.set_result(False)
            return
        self._expected.append(call)
        if len(self._expected) == 1:
            call.begun.set_result(True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no asyncio.Transport by name.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        while len(self._arrived) >= _ANSWER_HEAD.size:
            length, cpu_s = _ANSWER_HEAD.unpack_from(self._arrived)
            end = _ANSWER_HEAD.size + length
            if not self._expected or end > MAX_ANSWER_BYTES:
                self._transport.abort()
                return
            if len(self._arrived) < end:
                break
            call = self._expected.popleft()
            if not call.answered.done():  # its caller has gone
                call.answered.set_result((bytes(self._arrived[_ANSWER_HEAD.size : end]), cpu_s))
            del self._arrived[:end]
            if self._expected:
                self._expected[0].begun.set_result(True)

    def connection_lost(self, _: Exception | None) -> None:
        self._lost = True
        for call in self._expected:
            if not call.begun.done():
                call.begun.set_result(False)
            elif not call.answered.done():
                call.answered.set_exception(ConnectionResetError())
        self._expected.clear()


def _start(answers_to: int) -> subprocess.Popen[bytes]:
    environment = {
        name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(INHERITED_KINDS)
    }
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-c", "from wearon.processes.child import serve; serve()", str(answers_to)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[answers_to],
        env=environment,
    )


# What follows runs in the process itself.


def serve() -> None:
    """Answer calls until the other end of the socket, whose number is the argument, is closed."""
    calls = socket.socket(fileno=int(sys.argv[1]))
    first = _receive(calls)
    if first is None:
        return
    # From the process that started this one, like every call.
    sys.path, memory_limit_bytes = pickle.loads(first)  # noqa: S301
    os.nice(NICENESS)
    keep_freed_memory()
    # Ctrl-C reaches the whole process group, but stopping in order is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_limit_bytes is not None:
        _limit_memory(memory_limit_bytes)
    arrived: SimpleQueue[bytearray | None] = SimpleQueue()
    # A thread, so that what is sent ahead is here, and not still half in the loop's hands, when it is its turn.
    threading.Thread(target=_receive_all, args=(calls, arrived), daemon=True).start()
    with suppress(ConnectionError):  # the parent has gone
        while (call := arrived.get()) is not None:
            began = time.process_time()
            answer = _answer(call)
            del call  # 10 MB, until the next one comes
            calls.sendall(_ANSWER_HEAD.pack(len(answer), time.process_time() - began))
            calls.sendall(answer)


def _answer(call: bytearray) -> bytes:
    try:
        function, args = pickle.loads(call)  # noqa: S301 (from the process that started this one)
        return encode_returned(function(*args))
    except Exception as error:  # noqa: BLE001 (raised again in the parent)
        return encode_raised(error)


def _receive_all(calls: socket.socket, arrived: "SimpleQueue[bytearray | None]") -> None:
    call: bytearray | None = None
    try:
        while (call := _receive(calls)) is not None:
            arrived.put(call)
            del call
    except (ConnectionError, MemoryError):
        pass  # the parent has gone, or there is no room for the call: the process ends
    finally:
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
