"""What processes use, and how quiet the machine is."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_S = 0.1
"""Between two looks at the memory. One costs 0.3 ms a process (RSS) of the other core."""


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that it has started, dead ones left out."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, its ended processes included."""
    total = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if process.pid == pid:
            total += times.children_user + times.children_system
    return total


def loop_seconds(pid: int) -> float:
    """CPU time of a process' first thread so far, which has its event loop. In nanoseconds, unlike `cpu_seconds`."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def rss_bytes(pid: int) -> int:
    """Resident memory of the tree; pages that processes share are counted in each."""
    return sum(_memory(process, full=False) for process in tree(pid))


def pss_bytes(pid: int) -> int:
    """Memory of a process and its children with shared pages counted once: what ending the tree would free."""
    return sum(_memory(process, full=True) for process in tree(pid))


def _memory(process: psutil.Process, *, full: bool) -> int:
    try:
        return int(process.memory_full_info().pss if full else process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@dataclass
class Peak:
    """The most that a tree has used at once."""

    rss: int = 0
    pss: int = 0
    series: list[tuple[float, int]] = field(default_factory=list)
    """(time.monotonic(), RSS)"""


@contextmanager
def watching_memory(pid: int) -> Iterator[Peak]:
    """Sample in a thread for the length of the block. PSS is dearer, so only at every new peak of RSS."""
    peak, stop = Peak(), threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            try:
                now = rss_bytes(pid)
                peak.series.append((time.monotonic(), now))
                if now > peak.rss:
                    peak.rss, peak.pss = now, max(peak.pss, pss_bytes(pid))
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def noise(rounds: int = 30) -> float:
    """How unsteady the machine is now: the spread (90th to 10th percentile, over the median) of equal work of 10 ms."""

    def work() -> None:
        sum(range(400_000))

    times = sorted(timed(work) for _ in range(rounds))
    return (times[int(rounds * 0.9)] - times[int(rounds * 0.1)]) / statistics.median(times)
