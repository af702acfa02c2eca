"""The process that keeps a worker's lease while its event loop stands still, on a real Redis."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.job_side import (
    eventually,
    new_lease,
    untyped,
)
from wearon.queue import keys
from wearon.queue.lease_keeper import LeaseKeeper
from wearon.queue.lease_renewal import Kept

pytestmark = pytest.mark.slow

LEASE_S = 3.0
HEARTBEAT_S = 0.5


async def ends_ms(redis: Redis, worker_id: str = "me") -> float:
    """When the lease ends; 0 for none."""
    return float(await untyped(redis).zscore(keys.WORKERS, worker_id) or 0)


async def now_ms(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds * 1000 + microseconds / 1000)


async def until_tried(redis: Redis, times: int) -> None:
    """Return when the keeper has tried to renew a lease so many times more."""

    async def tries() -> int:
        stats = await untyped(redis).info("commandstats")
        return int(stats.get("cmdstat_eval", {}).get("calls", 0))

    wanted = await tries() + times

    async def tried() -> bool:
        return await tries() >= wanted

    await eventually(tried)


async def give_short_lease(redis: Redis) -> float:
    """What a heartbeat writes, for LEASE_S; returns when it ends."""
    ends = await now_ms(redis) + LEASE_S * 1000
    await redis.zadd(keys.WORKERS, {"me": ends})
    return ends


def is_there(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Stands for the worker's process; only its state is looked at."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    process.kill()
    process.wait()


@asynccontextmanager
async def keeper_of(redis_url: str, worker_pid: int) -> AsyncIterator[LeaseKeeper]:
    keeper = LeaseKeeper(Kept(redis_url, "me", worker_pid, LEASE_S, HEARTBEAT_S))
    try:
        yield keeper
    finally:
        keeper.close()


async def test_a_silent_loop_keeps_its_lease(redis_client: Redis, redis_url: str, sleeper: int) -> None:
    async with keeper_of(redis_url, sleeper) as keeper:
        keeper.heartbeat()
        await until_tried(redis_client, 1)  # its process has started, which may take longer than a lease
        ends = await give_short_lease(redis_client)
        for _ in range(3):  # longer than one lease

            async def renewed(before: float = ends) -> bool:
                return await ends_ms(redis_client) > before

            await eventually(renewed)
            ends = await ends_ms(redis_client)
        assert await now_ms(redis_client) < ends


async def test_a_loop_that_beats_costs_no_command(redis_client: Redis, redis_url: str, sleeper: int) -> None:
    async with keeper_of(redis_url, sleeper) as keeper:
        for _ in range(8):
            await redis_client.zadd(keys.WORKERS, {"me": 1})
            keeper.heartbeat()
            await asyncio.sleep(HEARTBEAT_S)
        names = {client["name"] for client in await redis_client.client_list()}
    assert "wearon-lease-keeper" not in names
    assert await ends_ms(redis_client) == 1


async def test_a_lease_that_has_ended_or_was_given_back_is_left_alone(
    redis_client: Redis, redis_url: str, sleeper: int
) -> None:
    async with keeper_of(redis_url, sleeper) as keeper:
        keeper.heartbeat()
        await until_tried(redis_client, 2)
        assert await ends_ms(redis_client) == 0
        ended = await now_ms(redis_client) - 1000
        await redis_client.zadd(keys.WORKERS, {"me": ended})
        await until_tried(redis_client, 2)
        assert await ends_ms(redis_client) == pytest.approx(ended)


async def test_a_stopped_process_is_not_kept_alive(redis_client: Redis, redis_url: str, sleeper: int) -> None:
    first = await give_short_lease(redis_client)
    os.kill(sleeper, signal.SIGSTOP)
    async with keeper_of(redis_url, sleeper) as keeper:
        keeper.heartbeat()

        async def over() -> bool:
            return await now_ms(redis_client) > first

        await eventually(over)
        assert await ends_ms(redis_client) == first


async def test_it_ends_with_its_worker_and_is_started_again_when_it_dies(
    redis_client: Redis, redis_url: str, sleeper: int
) -> None:
    async with keeper_of(redis_url, sleeper) as keeper:
        keeper.heartbeat()
        first = keeper.pid
        assert first
        os.kill(first, signal.SIGKILL)

        async def another() -> bool:
            keeper.heartbeat()
            return keeper.pid != first

        await eventually(another)
        second = keeper.pid
        assert second
        os.kill(second, signal.SIGTERM)  # reaches the whole group when an operator stops the worker
        keeper.heartbeat()
        assert keeper.pid == second
    assert not is_there(second)


async def test_a_killed_worker_leaves_no_keeper(redis_url: str) -> None:
    script = (
        "import os, sys, time\n"
        "from wearon.queue.lease_keeper import LeaseKeeper\n"
        "from wearon.queue.lease_renewal import Kept\n"
        f"keeper = LeaseKeeper(Kept({redis_url!r}, 'me', os.getpid(), {LEASE_S}, {HEARTBEAT_S}))\n"
        "keeper.heartbeat()\n"
        "print(keeper.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as worker:  # noqa: ASYNC220
        assert worker.stdout
        pid = int(worker.stdout.readline())
        assert is_there(pid)
        worker.kill()

        async def gone() -> bool:
            return not is_there(pid)

        await eventually(gone)


async def test_a_lease_tells_its_keeper_and_ends_it_when_given_back(
    redis_client: Redis, redis_url: str, sleeper: int
) -> None:
    async with keeper_of(redis_url, sleeper) as keeper:
        lease = new_lease(redis_client, "me", 1, keeper=keeper)
        await lease.renew()
        pid = keeper.pid
        assert pid
        await lease.release()
        assert not is_there(pid)
        assert await ends_ms(redis_client) == 0
