"""Functions for a child process to run: in a module that it can import by name."""

import os
import pickle
import resource
import sys
import time
from pathlib import Path

from wearon.child_answers import encode_returned


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


def write_a_pickle() -> int:
    pickled = pickle.dumps(print)
    _speak(len(pickled).to_bytes(8, "big") + pickled)
    return 1


def announce_too_much() -> int:
    _speak((2**40).to_bytes(8, "big"))
    time.sleep(600)
    return 1


def answer_unasked() -> int:
    answer = encode_returned(1)
    _speak((len(answer).to_bytes(8, "big") + answer) * 5)
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
