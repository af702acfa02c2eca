"""A key of ours that holds something else: named, never hammered, and the work on other keys goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from support.job_side import (
    ScriptedJob,
    document,
    enqueue,
    entries,
    eventually,
    give_lease,
    job_id,
    new_consumer,
    new_lease,
    new_worker,
    push,
    queued_jobs,
    running,
    see_fleet,
    some_session,
    untyped,
)
from wearon.queue import keys
from wearon.queue.jobs import Enqueued, JobQueue
from wearon.queue.rate_limiter import RequestLimiter
from wearon.redis.clients import connect
from wearon.redis.errors import BadKey
from wearon.redis.health import RedisHealth

pytestmark = pytest.mark.slow

FEW = 400
"""Commands in a second of trouble: a busy loop makes tens of thousands."""


async def spoil(redis: Redis, key: str) -> None:
    await redis.delete(key)
    await redis.set(key, "something else")


def words(health: RedisHealth) -> list[str]:
    return [refusal.words for refusal in health.dependencies.refusals]


@pytest.fixture
async def watched(redis_url: str) -> AsyncIterator[tuple[Redis, RedisHealth]]:
    health = RedisHealth()
    async with connect(redis_url, name="test", health=health) as client:
        yield client, health


@pytest.mark.parametrize(
    "key", [keys.CAPACITY, keys.REPORTS, keys.REFUNDS, keys.PENDING, keys.RUNNING, keys.JOBS, keys.DATA_ID]
)
async def test_the_lease_is_renewed_and_the_key_named_until_it_is_put_right(
    watched: tuple[Redis, RedisHealth], key: str
) -> None:
    redis, health = watched
    lease = new_lease(redis, "one", 2, health=health, report=lambda: "{}")
    await spoil(redis, key) if key != keys.DATA_ID else await untyped(redis).lpush(key, "a list")
    await lease.renew()
    assert await untyped(redis).zscore(keys.WORKERS, "one") is not None
    kind = "list" if key == keys.DATA_ID else "string"
    assert [said.partition(",")[0] for said in words(health)] == [f"{key} is a {kind}"]
    await redis.delete(key)
    await lease.renew()
    assert words(health) == []


@pytest.mark.parametrize("key", [keys.CAPACITY, keys.REPORTS, keys.REFUNDS, keys.WAKE, keys.REQUEST_SLOTS])
async def test_jobs_are_handed_over_and_run_beside_it(redis_client: Redis, key: str) -> None:
    await spoil(redis_client, key)
    job = ScriptedJob()
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    consumer = new_consumer(redis_client, redis_client)
    see_fleet(consumer, fleet=lease.fleet)
    async with running(worker.run, lease.run, consumer.run):
        await push(redis_client, document(some_session()))
        await job.wait_for_starts(1)
    await worker.drain(0)


async def test_without_leases_there_is_one_named_error(watched: tuple[Redis, RedisHealth]) -> None:
    redis, health = watched
    await spoil(redis, keys.WORKERS)
    with pytest.raises(BadKey, match="wearon:workers is a string, not a zset"):
        await new_lease(redis, "one", 2).renew()
    assert words(health) == ["wearon:workers is a string, not a zset"]


@pytest.mark.parametrize("key", [keys.WORKERS, keys.RUNNING, keys.JOBS, keys.TASKS, keys.PENDING])
async def test_what_cannot_be_done_is_not_tried_again_and_again(redis_client: Redis, key: str) -> None:
    worker = new_worker(redis_client, ScriptedJob())
    lease = await give_lease(redis_client, worker)
    await push(redis_client, document(some_session()))
    await spoil(redis_client, key)
    consumer = new_consumer(redis_client, redis_client, worker)
    see_fleet(consumer, capacity=10)
    before = await _commands(redis_client)
    async with running(worker.run, lease.run, consumer.run):
        await asyncio.sleep(1.0)
    assert await _commands(redis_client) - before < FEW
    await redis_client.delete(key)


async def test_a_jobs_own_keys_are_not_asked_for_again_and_again(redis_client: Redis) -> None:
    refs = [some_session() for _ in range(3)]
    for ref in refs:
        await spoil(redis_client, keys.STARTS + job_id(ref))
        await untyped(redis_client).lpush(keys.JOB + job_id(ref), "a list")
    worker = new_worker(redis_client, ScriptedJob())
    lease = await give_lease(redis_client, worker)
    await redis_client.zadd(keys.JOBS, {job_id(ref): 1 for ref in refs})
    before = await _commands(redis_client)
    async with running(worker.run, lease.run):
        await eventually(lambda: _nothing_is_queued(redis_client))
        await asyncio.sleep(1.0)
    assert await _commands(redis_client) - before < FEW
    await worker.drain(0)


async def _nothing_is_queued(redis: Redis) -> bool:
    return not await queued_jobs(redis)


async def _commands(redis: Redis) -> int:
    return int((await redis.info("stats"))["total_commands_processed"])


async def test_a_hand_over_that_fails_takes_nothing_out_of_the_taken_list(redis_client: Redis) -> None:
    await spoil(redis_client, keys.JOBS)
    data = document(some_session())
    await untyped(redis_client).lpush(keys.PENDING, data)
    with pytest.raises(BadKey, match="wearon:jobs is a string, not a zset"):
        await JobQueue(redis_client).enqueue([Enqueued(data, "b2c:a:b", "generate", {})])
    assert await entries(redis_client, keys.PENDING) == [data]
    assert await redis_client.exists(keys.JOB + "b2c:a:b") == 0


async def test_dead_letters_that_cannot_be_kept_hold_nobody_up(redis_client: Redis) -> None:
    good, bad = some_session(), some_session()
    await spoil(redis_client, keys.DEAD_LETTERS)
    await push(redis_client, document(bad, image_urls=[]), document(good))
    consumer = new_consumer(redis_client, redis_client)
    see_fleet(consumer, capacity=10)
    async with running(consumer.run):
        await eventually(lambda: _is_queued(redis_client, job_id(good)))
        assert await entries(redis_client, keys.PENDING) == [
            document_of(await entries(redis_client, keys.PENDING), bad)
        ]
        await redis_client.delete(keys.DEAD_LETTERS)
        await consumer.recover()
        await eventually(lambda: _is_queued(redis_client, f"reject:{job_id(bad)}"))


def document_of(documents: list[bytes], ref: object) -> bytes:
    return next(data for data in documents if str(getattr(ref, "session_id", "")).encode() in data)


async def _is_queued(redis: Redis, name: str) -> bool:
    return name in await queued_jobs(redis)


@pytest.mark.parametrize("held", ["text", "a list", "nan", "inf", "1e30", "-5"])
async def test_the_rate_limit_writes_over_what_is_no_moment(redis_client: Redis, held: str) -> None:
    await (
        untyped(redis_client).lpush(keys.REQUEST_SLOTS, held)
        if held == "a list"
        else redis_client.set(keys.REQUEST_SLOTS, held)
    )
    limiter = RequestLimiter(redis_client, 60)
    assert (await limiter.reserve_turn(())).wait_s == 0
    assert 0.5 < (await limiter.reserve_turn(())).wait_s <= 1.01


async def test_a_job_that_ends_while_the_list_of_running_ones_is_spoilt_ends_later(redis_client: Redis) -> None:
    gate = asyncio.get_running_loop().create_future()
    job = ScriptedJob()
    job.answers.append(gate)
    ref = some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run, lease.run):
        await job.wait_for_starts(1)
        await spoil(redis_client, keys.RUNNING)
        gate.set_result(None)
        await eventually(lambda: _is_idle(worker.free_slots, worker.slots))
        await redis_client.delete(keys.RUNNING)
        worker.wake_up()
        await eventually(lambda: _nothing_is_queued(redis_client))
    await worker.drain(0)


async def _is_idle(free: int, slots: int) -> bool:
    return free == slots
