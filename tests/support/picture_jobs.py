"""Functions for the picture pool to run: in a module that its processes can import by name."""

import os
import time
from pathlib import Path

from wearon.pictures.pool import MEMORY_LIMIT_BYTES


def hang(data: bytes) -> bytes:
    """As a decoder would that loops for ever, or any on a machine that has too much to do (`STARVED` says which)."""
    time.sleep(600)
    return data


def burn(data: bytes) -> bytes:
    """As a picture does that is all work."""
    stop = time.process_time() + 0.3
    while time.process_time() < stop:
        pass
    return data


def want_all_memory(data: bytes) -> bytes:
    """As a decoder would that believes a picture's header."""
    return data + bytes(MEMORY_LIMIT_BYTES)


def die(data: bytes) -> bytes:
    """As a decoder does that writes where it must not."""
    os._exit(len(data) + 1)


def die_the_first_time(path: bytes) -> bytes:
    """As when the system wants its memory back, and then has enough."""
    first_time = Path(os.fsdecode(path))
    if first_time.exists():
        first_time.unlink()
        os._exit(1)
    return b"decoded"
