"""Functions for a child process to run: in a module that it can import by name."""

import os
import pickle
import resource
import struct
import sys
import time
from pathlib import Path

from wearon.processes.answers import encode_returned


def echo(data: bytes) -> tuple[int, bytes]:
    return os.getpid(), data


def own_pid() -> int:
    return os.getpid()


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def die(code: int) -> None:
    os._exit(code)


def fail(text: str) -> None:
    raise KeyError(text)


def take_memory(count: int) -> int:
    return len(bytearray(count))


def unsendable() -> object:
    return lambda: None


def not_what_it_says() -> int:
    return "no number"  # type: ignore[return-value]


def _speak(words: bytes) -> None:
    """As something would that has taken the process over: straight into the socket."""
    os.write(int(sys.argv[1]), words)


def head(length: int, cpu_s: float = 0.0) -> bytes:
    """Before an answer."""
    return struct.pack("!Qd", length, cpu_s)


def write_a_pickle() -> int:
    pickled = pickle.dumps(print)
    _speak(head(len(pickled)) + pickled)
    return 1


def announce_too_much() -> int:
    _speak(head(2**40))
    time.sleep(600)
    return 1


def answer_unasked() -> int:
    answer = encode_returned(1)
    _speak((head(len(answer)) + answer) * 5)
    return 1


def lie_about_time(said: float) -> int:
    answer = encode_returned(1)
    _speak(head(len(answer), said) + answer)
    time.sleep(600)
    return 1


def burn(seconds: float) -> int:
    """So many of the processor's, besides some of the clock's."""
    stop = time.process_time() + seconds
    while time.process_time() < stop:
        pass
    time.sleep(0.5)
    return 1


def environment() -> str:
    """What the kernel shows of it."""
    return Path("/proc/self/environ").read_text()


def page_faults() -> int:
    """Of taking and freeing 15 MB, over and over."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [bytearray(b"x") * 5_000_000 for _ in range(3)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
