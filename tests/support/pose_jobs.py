"""Functions for the pose pool to run: in a module that its processes can import by name."""

import itertools
import os
import time
from pathlib import Path

from PIL import Image

from wearon.pose import Detector
from wearon.pose.pool import MEMORY_LIMIT_BYTES


def people_in_a_blank_picture(detector: Detector, width: int) -> int:
    return len(detector.detect(Image.new("RGB", (width, 200))))


def own_pid(detector: Detector) -> int:
    return os.getpid()


def die(detector: Detector) -> None:
    os._exit(3)


def die_after(detector: Detector, seconds: float) -> None:
    time.sleep(seconds)
    os._exit(3)


def touch(detector: Detector, path: Path) -> None:
    path.touch()


_turns = itertools.count()


def turn(detector: Detector) -> int:
    """How many such calls this process has done before."""
    return next(_turns)


def want_all_memory(detector: Detector) -> None:
    bytearray(8 * MEMORY_LIMIT_BYTES)


def hang(detector: Detector) -> None:
    time.sleep(600)


def work_for(detector: Detector, seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def fail(detector: Detector) -> None:
    raise KeyError("no such thing")
