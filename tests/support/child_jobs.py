"""Functions for a child process to run: in a module that it can import by name."""

import os
import resource
import time


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


class _Unreadable:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


def unreadable() -> object:
    return _Unreadable()


def page_faults() -> int:
    """Of taking and freeing 15 MB, over and over."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [bytearray(b"x") * 5_000_000 for _ in range(3)]
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
