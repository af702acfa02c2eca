"""An earlier version works on the same Redis: what it wrote is run, freed and settled by the present one.

`tests/data/earlier_version/redis.json` is what the version of 28 November 2026 (d76d8eb) really left in a Redis: a job
of a worker that died, one of a worker that lives, one that waits out a 429, one that nobody has taken, and a refund.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from support.job_side import (
    FaultyPlatform,
    ScriptedJob,
    eventually,
    new_outbox,
    queued_jobs,
    running_jobs,
    running_worker,
    untyped,
)
from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys
from wearon.queue.lease import LEASE_S

pytestmark = pytest.mark.slow

LEFT: Mapping[str, Mapping[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data/earlier_version/redis.json").read_text()
)
DEAD, ALIVE = "old-machine:1:dead00", "old-machine:2:alive0"


def ref(number: int) -> SessionRef:
    return SessionRef(
        Channel.B2C, f"aaaaaaaa-0000-4000-8000-00000000000{number}", f"bbbbbbbb-0000-4000-8000-00000000000{number}"
    )


OF_THE_DEAD, OF_THE_LIVING, RATE_LIMITED, WAITING, REFUND = map(ref, range(1, 6))


@pytest.fixture
async def redis(redis_client: Redis) -> Redis:
    """As it was left, with leases and due times as far from now as they were then."""
    client = untyped(redis_client)
    now_ms = time.time() * 1000
    passed_ms = now_ms - max(map(float, LEFT[keys.WORKERS]["value"].values())) + LEASE_S * 1000
    for key, entry in LEFT.items():
        match entry["type"]:
            case "string":
                await client.set(key, entry["value"])
            case "hash":
                await client.hset(key, mapping=entry["value"])
            case "zset":
                await client.zadd(key, {name: float(score) + passed_ms for name, score in entry["value"].items()})
    await client.zadd(keys.WORKERS, {DEAD: now_ms - 1})
    return redis_client


async def test_its_jobs_are_run_and_those_of_its_living_workers_left_alone(redis: Redis) -> None:
    job = ScriptedJob()
    async with running_worker(redis, job, slots=4):
        await job.wait_for_starts(2)
        started = {payload["session_id"]: attempt for payload, attempt in job.starts}
        assert set(started) == {OF_THE_DEAD.session_id, WAITING.session_id}
        assert (started[OF_THE_DEAD.session_id].number, started[OF_THE_DEAD.session_id].crashes) == (2, 1)
        assert (started[WAITING.session_id].number, started[WAITING.session_id].crashes) == (1, 0)
        await eventually(lambda: only_the_living_ones_run(redis))

        await redis.zrem(keys.WORKERS, ALIVE)  # it ends, and its jobs are anybody's
        await job.wait_for_starts(3)
        assert job.starts[2][0]["session_id"] == OF_THE_LIVING.session_id


async def only_the_living_ones_run(redis: Redis) -> bool:
    return list((await running_jobs(redis)).values()) == [ALIVE] and len(await queued_jobs(redis)) == 2


async def test_a_job_that_waits_out_a_429_is_remembered_as_it_was(redis: Redis) -> None:
    job = ScriptedJob()
    (name,) = [name for name in await queued_jobs(redis) if name.endswith(RATE_LIMITED.session_id)]
    await redis.zadd(keys.JOBS, {name: 1})
    async with running_worker(redis, job, slots=1):
        await job.wait_for_starts(1)
    ((payload, attempt), *_) = job.starts
    assert payload["session_id"] == RATE_LIMITED.session_id
    assert (attempt.number, attempt.retried, attempt.rate_limited, attempt.crashes) == (2, 1, 1, 0)
    assert attempt.first_started_at == json.loads(LEFT[keys.JOB + name]["value"])["a"][1]["first_started_at"]


async def test_its_refunds_are_known(redis: Redis, platform: FaultyPlatform) -> None:
    (owed,) = await new_outbox(redis, platform).outstanding()
    assert (owed.intent.ref, owed.intent.reason, owed.error) == (REFUND, "moderation", "away")
    assert owed.intent.stamp.isoformat() == json.loads(LEFT[keys.REFUNDS]["value"][owed.intent.key])["completed_at"]
