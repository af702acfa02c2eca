"""What runs in the process of `wearon.queue.lease_keeper`. It imports next to nothing: mostly it waits, 12 MB large.

    python -m wearon.queue.lease_renewal FD

FD is a socket. What is to be kept comes first, as a line of JSON, then a byte for each heartbeat; its end is the end.
"""

import contextlib
import json
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

from wearon.queue import keys

RENEWAL_TIMEOUT_S = 5.0
"""For one renewal, connecting included: the lease has at least that long left when the first one begins."""

LET_GO_S = 180.0
"""How long the keeper renews for a loop that stands still: one image request may take as long, so a loop that has not
moved since has nothing left that is under way."""


class Kept(NamedTuple):
    """A lease that is to be kept."""

    redis_url: str
    worker_id: str
    worker_pid: int
    lease_s: float
    """How long a renewal lasts."""
    heartbeat_s: float
    """How often the loop renews the lease, and the keeper when it must."""

    @property
    def stale_s(self) -> float:
        """Without a heartbeat for so long the keeper renews the lease: half of it is left for connecting to Redis."""
        return self.lease_s / 2


def keep(heartbeats: socket.socket) -> None:
    """Renew the lease whenever the loop does not, until the socket ends."""
    kept = Kept(**json.loads(heartbeats.makefile("rb", buffering=0).readline()))
    last_heartbeat = time.monotonic()
    renew_at = last_heartbeat + kept.stale_s
    while True:
        readable, _, _ = select.select([heartbeats], [], [], max(0.0, renew_at - time.monotonic()))
        now = time.monotonic()
        if readable:
            if not heartbeats.recv(4096):
                return
            last_heartbeat, renew_at = now, now + kept.stale_s
            continue
        renew_at = now + kept.heartbeat_s
        if now - last_heartbeat < LET_GO_S and not _is_stopped(kept.worker_pid):
            # Redis may be away; then the worker's jobs are as safe as they are without a keeper.
            with contextlib.suppress(Exception):
                _renew(kept)


def _is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal or a debugger. Where there is no /proc, that is not known: no."""
    try:
        # The name, in brackets, may hold anything; the state is the letter behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False


def _renew(kept: Kept) -> None:
    # 20 MB and 0.2 s, which a keeper that is never needed does without.
    import asyncio

    from wearon.redis.clients import connect
    from wearon.redis.scripts import load_script

    async def renew() -> None:
        async with (
            asyncio.timeout(RENEWAL_TIMEOUT_S),
            connect(kept.redis_url, name="wearon-lease-keeper") as redis,
        ):
            script = load_script("queue", "renew_lease")
            await redis.eval(script, 1, keys.WORKERS, kept.worker_id, str(int(kept.lease_s * 1000)))

    asyncio.run(renew())


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # They reach the whole group, but jobs are still drained then; the worker's end closes the socket.
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as heartbeats, contextlib.suppress(ConnectionError):
        keep(heartbeats)


if __name__ == "__main__":
    main()
