"""What runs in the process of `wearon.tryon.lease_keeper`. It imports next to nothing: mostly it waits, 12 MB large.

    python -m wearon.tryon.lease_renewal FD

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

from wearon.tryon import keys

RENEWAL_TIMEOUT_S = 5.0
"""For one renewal, connecting included: the lease has at least that long left when the first one begins."""

LET_GO_S = 180.0
"""As long as one image request may take: a loop that has not moved since has nothing left that is under way."""

RENEW = """
-- KEYS: workers   ARGV: worker id, lease (ms)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) <= now then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
"""


class Kept(NamedTuple):
    """A lease that is to be kept."""

    redis_url: str
    worker_id: str
    worker_pid: int
    lease_s: float
    """How long a renewal lasts."""
    beat_s: float
    """How often the loop beats, and the keeper when it must."""

    @property
    def stale_s(self) -> float:
        """Without a heartbeat for this long, the keeper beats: half a lease is left then, for connecting to Redis."""
        return self.lease_s / 2


def keep(beats: socket.socket) -> None:
    """Renew the lease whenever the loop does not, until the socket ends."""
    kept = Kept(**json.loads(beats.makefile("rb", buffering=0).readline()))
    last_beat = time.monotonic()
    renew_at = last_beat + kept.stale_s
    while True:
        readable, _, _ = select.select([beats], [], [], max(0.0, renew_at - time.monotonic()))
        now = time.monotonic()
        if readable:
            if not beats.recv(4096):
                return
            last_beat, renew_at = now, now + kept.stale_s
            continue
        renew_at = now + kept.beat_s
        if now - last_beat < LET_GO_S and not _is_stopped(kept.worker_pid):
            # Redis may be away; then the worker's jobs are as safe as they are without a keeper.
            with contextlib.suppress(Exception):
                _renew(kept)


def _is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal or a debugger. Where /proc is not there, nobody knows: no."""
    try:
        # The name, in brackets, may hold anything; the state is the letter behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False


def _renew(kept: Kept) -> None:
    # 20 MB and 0.2 s, which a keeper that is never needed does without.
    import asyncio

    from wearon.redis import connect

    async def renew() -> None:
        async with (
            asyncio.timeout(RENEWAL_TIMEOUT_S),
            connect(kept.redis_url, name="wearon-lease-keeper") as redis,
        ):
            await redis.eval(RENEW, 1, keys.WORKERS, kept.worker_id, str(int(kept.lease_s * 1000)))

    asyncio.run(renew())


def main() -> None:
    """See the module."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # They reach the whole group, but jobs are still drained then; the worker's end closes the socket.
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as beats, contextlib.suppress(ConnectionError):
        keep(beats)


if __name__ == "__main__":
    main()
