"""Open files and connections as a budget: paid work first, then downloads, and what is left is the HTTP API's."""

import resource
from dataclasses import dataclass
from pathlib import Path

ENOUGH = 65_536
"""The limit is raised to this at most: some machines allow a thousand million, and programs exist that walk through all
of them."""

ALWAYS_OPEN = 64
"""Listening sockets, pipes to the child processes, log, libraries, local mode's database, room for a moment's files."""

REDIS = 60
"""Three clients with at most 20 connections each."""

PLATFORM = 50
"""Connections to Supabase."""

EACH_JOB = 2
"""The connection to the image model, and the file in the spool."""

DOWNLOADS = 2 * 16
"""Connections of the downloader, to trusted and to other origins."""

BACKLOG = 128
"""Connections that the system takes before the loop does. All of them may be accepted in one turn of the loop, before
any can be hung up on, so descriptors are set aside for them; what comes on top asks again after a second."""

MOST_HTTP = 512
"""Each holds 100 KB at most: head, body, uvicorn's read buffer. Uploads have memory of their own."""

LEAST_HTTP = 16
"""The API cannot work with fewer connections."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many descriptors each use may have. `limit` is what the process may have open in all."""

    limit: int
    paid_work: int
    downloads: int
    http: int

    @property
    def enough(self) -> bool:
        """Whether all can have theirs at once."""
        return self.needed <= self.limit

    @property
    def needed(self) -> int:
        """What all together need at once."""
        return self.paid_work + self.downloads + BACKLOG + self.http


def raise_limit() -> int:
    """Raise the soft limit of this process, usually 1024, as far as allowed; returns the new one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft


def limit_after_raising() -> int:
    """What `raise_limit` will answer in a process that starts as this one did."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers = [ENOUGH if number == resource.RLIM_INFINITY else number for number in (soft, hard)]
    return max(numbers[0], min(numbers[1], ENOUGH))


def divide(limit: int, concurrency: int) -> Budget:
    """Divide `limit` descriptors for a worker that runs `concurrency` jobs at once."""
    paid_work = ALWAYS_OPEN + REDIS + PLATFORM + EACH_JOB * concurrency
    left = limit - paid_work - DOWNLOADS - BACKLOG
    return Budget(limit, paid_work, DOWNLOADS, max(LEAST_HTTP, min(MOST_HTTP, left)))


def open_now() -> int | None:
    """How many descriptors this process has open; None where that cannot be told."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return None
