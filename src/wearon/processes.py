"""A pool of processes for CPU work on hostile input: one that hangs or dies is replaced, the others go on.

The standard ProcessPoolExecutor cannot end one worker (a crash breaks the whole pool, a hang stays for ever), so
this is Pebble's pool behind an awaitable call. Pebble replaces a process that dies at work; one that dies idle breaks
its whole pool, which is why those who need several processes keep pools of one and replace a broken one. Processes
are spawned, not forked: a fork would copy the event loop's threads and locks.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from wearon.heap import keep_freed_memory

P = ParamSpec("P")
R = TypeVar("R")


NICENESS = 5
"""The event loop goes first: it has little to do, and everybody waits for it. Without a loop to serve, these processes
still get every core that there is."""


class ProcessFailed(Exception):
    """The process took too long or died; it has been replaced."""


class KillablePool:
    """`processes` workers. What asks for more than `memory_limit_bytes` of memory in one gets a MemoryError."""

    def __init__(self, processes: int, *, memory_limit_bytes: int | None = None) -> None:
        self.processes = processes
        self._pool = ProcessPool(
            max_workers=processes,
            initializer=begin_process,
            initargs=[memory_limit_bytes],
            context=multiprocessing.get_context("spawn"),
        )

    async def run(self, timeout: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` in one of the processes, for at most `timeout` seconds of its running time.

        Raises what the function raises, or ProcessFailed when its process was ended or died. Cancelling the
        call ends the process that works on it.
        """
        future = self._pool.schedule(function, args=args, kwargs=kwargs, timeout=timeout)
        try:
            result: R = await asyncio.wrap_future(future)
        except FutureTimeoutError as error:
            raise ProcessFailed(f"took longer than {timeout:g} s") from error
        except ProcessExpired as error:
            raise ProcessFailed(f"its process died (exit code {error.exitcode})") from error
        return result

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def begin_process(memory_limit_bytes: int | None) -> None:
    """What every process for CPU work does first."""
    os.nice(NICENESS)
    keep_freed_memory()
    # Ctrl-C reaches the whole process group, but stopping in order is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if memory_limit_bytes is not None:
        _limit_memory(memory_limit_bytes)


def _limit_memory(limit_bytes: int) -> None:
    # RLIMIT_DATA, not RLIMIT_AS: libraries map files and reserve addresses far beyond what they use.
    with suppress(ValueError, OSError):  # an administrator's hard limit is lower, or the system has no such thing
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
