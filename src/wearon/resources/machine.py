"""What this process may use of its machine: processors and memory, as the system and its container limit them.

A container sees all processors and all memory of its node; what it may use of them stands in its control group
(version 2, or 1 on older systems).
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_BY_DEFAULT = 2
"""Processes of one kind. Two pose processes keep up with what one event loop can serve, and what more of them are worth
depends on what else the machine does: that is for the operator to say."""

MB = 1024 * 1024

BESIDES_BYTES = 512 * MB
"""Memory for everything that is not counted: this process (150 MB, more under load) and the processes of the other
kind."""

MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Resources:
    """What this process may use. `memory_bytes` is None when the system does not tell."""

    cores: float
    memory_bytes: int | None = None

    def processes(self, bytes_each: int) -> int:
        """How many processes of a kind to start by default, from 1 to MOST_BY_DEFAULT."""
        fitting = [MOST_BY_DEFAULT, math.floor(self.cores)]
        if self.memory_bytes is not None:
            fitting.append((self.memory_bytes - BESIDES_BYTES) // bytes_each)
        return max(1, min(fitting))


def resources(proc: Path = Path("/proc"), mount: Path = MOUNT) -> Resources:
    """Read what this process may use. What cannot be read limits nothing."""
    groups = dict(_control_groups(proc / "self/cgroup"))
    quotas = [*_quotas(groups, mount)]
    memory = [*_memory_limits(groups, mount), *_physical_memory()]
    return Resources(min([_processors(), *quotas]), min(memory, default=None))


def _processors() -> float:
    """The processors that the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            return float(len(os.sched_getaffinity(0)) or 1)
    return float(os.cpu_count() or 1)


def _control_groups(listed: Path) -> Iterator[tuple[str, str]]:
    """Each controller and the path of our group below it; version 2 has one path for all, under an empty name."""
    for line in _text(listed).splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _quotas(groups: dict[str, str], mount: Path) -> Iterator[float]:
    for text in _settings(groups.get(""), mount, "cpu.max"):
        quota, _, period = text.partition(" ")
        yield from _share(quota, period)
    for folder in ("cpu", "cpu,cpuacct"):
        quotas = _settings(groups.get("cpu"), mount / folder, "cpu.cfs_quota_us")
        periods = _settings(groups.get("cpu"), mount / folder, "cpu.cfs_period_us")
        for quota, period in zip(quotas, periods, strict=False):
            yield from _share(quota, period)


def _share(quota: str, period: str) -> Iterator[float]:
    """Cores' worth of time; nothing when there is no limit ("max", or -1 in version 1)."""
    if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
        yield int(quota) / int(period)


def _memory_limits(groups: dict[str, str], mount: Path) -> Iterator[int]:
    found = [
        *_settings(groups.get(""), mount, "memory.max"),
        *_settings(groups.get("memory"), mount / "memory", "memory.limit_in_bytes"),
    ]
    yield from (int(text) for text in found if text.isdecimal())


def _physical_memory() -> Iterator[int]:
    with suppress(ValueError, OSError, AttributeError):  # not everywhere
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _settings(group: str | None, mount: Path, name: str) -> Iterator[str]:
    """The settings of the group and of those above it; the tightest holds.

    Inside a container the mount may begin at our own group although the path is the node's: its root is always asked.
    """
    if group is None:
        return
    path = PurePosixPath(group.strip().lstrip("/"))
    for part in (path, *path.parents):
        if ".." not in part.parts and (text := _text(mount / part / name).strip()):
            yield text


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
