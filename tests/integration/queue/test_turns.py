"""Whose job is started next, on a real Redis: turns, weights, limits, and lines that are never lost."""

import time
from collections import Counter

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from support.job_side import untyped
from support.redis import RedisServer
from support.turns import (
    EarlierWorker,
    ScriptedWorker,
    WorkerBeforeSums,
    a_store,
    cancel,
    push,
    script_before_sums,
)
from wearon.queue import keys
from wearon.queue import lease as leases
from wearon.queue.limits import Limits
from wearon.queue.pauses import Pauses
from wearon.queue.tenants import B2C

pytestmark = pytest.mark.slow


def tenant(job: str) -> str:
    channel, owner, _ = job.removeprefix("reject:").split(":")
    return B2C if channel == B2C else f"{channel}:{owner}"


async def a_worker(redis: Redis, name: str = "w", slots: int = 10, limits: Limits | None = None) -> ScriptedWorker:
    worker = ScriptedWorker(redis, name, slots, limits or Limits())
    await worker.beat()
    return worker


async def run_all(worker: ScriptedWorker, count: int) -> list[str]:
    """Take and end so many jobs, one after the other; returns their tenants."""
    turns = []
    for _ in range(count):
        (job,) = await worker.take(1)
        await worker.end(job)
        turns.append(tenant(job))
    return turns


async def test_a_flood_does_not_hold_up_the_first_task_of_another_store(redis_client: Redis) -> None:
    flood, other = a_store(), a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, flood, 300)
    assert Counter(await run_all(worker, 50)) == {flood: 50}
    await push(redis_client, other, 3)
    turns = await run_all(worker, 8)
    assert turns.index(other) <= 1
    assert Counter(turns) == {flood: 5, other: 3}


async def test_beside_five_thousand_of_one_store_the_first_of_another_takes_the_next_slot(redis_client: Redis) -> None:
    flood, other = a_store(), a_store()
    here, there = await a_worker(redis_client, "here", slots=20), await a_worker(redis_client, "there", slots=20)
    for _ in range(50):
        await push(redis_client, flood, 100)
    assert len(await here.take()) == len(await there.take()) == 20
    (first,) = await push(redis_client, other)
    for worker, is_first in ((here, True), (there, False)):
        await worker.end(next(iter(worker.held)))
        assert (await worker.take() == [first]) is is_first


async def test_shares_follow_the_weights_and_a_tenant_is_served_in_its_own_order(redis_client: Redis) -> None:
    one, three = a_store(), a_store()
    limits = Limits(store_weights={three.removeprefix("b2b:"): 3.0})
    worker = await a_worker(redis_client, limits=limits)
    await push(redis_client, one, 100)
    await push(redis_client, B2C, 200)
    mine = await push(redis_client, three, 100)
    started = []
    for _ in range(140):
        (job,) = await worker.take(1)
        started.append(job)
        await worker.end(job)
    assert Counter(map(tenant, started)) == {B2C: 100, three: 30, one: 10}
    assert [job for job in started if tenant(job) == three] == mine[:30]


async def test_first_come_is_first_served_within_a_millisecond_too(redis_client: Redis) -> None:
    jobs = [job for _ in range(200) for job in await push(redis_client, B2C)]
    line = await untyped(redis_client).zrange(keys.LINE + B2C, 0, -1)
    assert [job.decode() for job in line] == jobs


async def test_who_comes_back_has_no_credit_for_the_time_in_which_nothing_waited(redis_client: Redis) -> None:
    steady, other = a_store(), a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, other, 1)
    await push(redis_client, steady, 100)
    await run_all(worker, 60)
    await push(redis_client, other, 50)
    assert 9 <= Counter(await run_all(worker, 20))[other] <= 11


async def test_one_task_at_a_time_is_no_way_past_a_line(redis_client: Redis) -> None:
    flood, drip = a_store(), a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, flood, 40)
    turns = []
    for _ in range(20):
        if not await redis_client.exists(keys.LINE + drip):
            await push(redis_client, drip)
        turns += await run_all(worker, 1)
    assert Counter(turns) == {flood: 10, drip: 10}


async def test_a_store_has_half_of_the_slots_while_others_wait_and_all_when_it_is_alone(redis_client: Redis) -> None:
    flood, other = a_store(), a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, flood, 30)
    assert len(await worker.take()) == 10
    await push(redis_client, other, 8)
    for job in list(worker.held)[:5]:
        await worker.end(job)
    assert Counter(map(tenant, await worker.take())) == {other: 5}
    for job in list(worker.held)[:1]:
        await worker.end(job)  # the flood has 4 now, the other one 5: half
    assert Counter(map(tenant, await worker.take())) == {flood: 1}


async def test_no_more_of_a_store_run_than_the_limit_says_and_the_next_starts_when_one_ends(
    redis_client: Redis,
) -> None:
    store = a_store()
    limits = Limits(store_at_once=2)
    here, there = await a_worker(redis_client, "here", limits=limits), await a_worker(redis_client, "there")
    there.limits = limits
    await push(redis_client, store, 5)
    (first,) = await here.take(1)
    assert len(await there.take()) == 1
    assert await here.take() == []
    assert await redis_client.exists(keys.TURNS) == 0  # so takes do not meet it
    await here.end(first, again_in_ms=3_600_000)
    assert len(await there.take()) == 1


@pytest.mark.parametrize("count", ["1000", "many", "inf"])
async def test_a_count_of_what_runs_that_is_too_high_is_put_right_by_a_heartbeat(
    redis_client: Redis, count: str
) -> None:
    store = a_store()
    worker = await a_worker(redis_client, limits=Limits(store_at_once=2))
    (first,) = await push(redis_client, store)
    assert await worker.take() == [first]
    (second,) = await push(redis_client, store)
    await untyped(redis_client).hset(keys.RUNNING_OF_TENANTS, store, count)
    await worker.take()
    running = len(worker.held)
    await redis_client.delete(keys.CAPACITY_SUM)  # what grows with the fleet is looked at again after 3 s
    await worker.beat()
    counted = await untyped(redis_client).hgetall(keys.RUNNING_OF_TENANTS)
    assert counted == {store.encode(): str(running).encode()}
    await worker.take()
    assert set(worker.held) == {first, second}


async def test_a_paused_store_waits_and_goes_on_after_the_next_heartbeat(redis_client: Redis) -> None:
    store, other = a_store(), a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, store, 2)
    await push(redis_client, other, 2)
    await untyped(redis_client).hset(keys.PAUSES, store, "{}")
    assert {tenant(job) for job in await worker.take()} == {other}
    await untyped(redis_client).hdel(keys.PAUSES, store)
    await redis_client.delete(keys.CAPACITY_SUM)  # as if it were counted some seconds ago
    await worker.beat()
    assert [tenant(job) for job in await worker.take()] == [store, store]


async def test_a_store_that_an_operator_resumes_has_its_turn_at_once(redis_client: Redis) -> None:
    store, worker, pauses = a_store(), await a_worker(redis_client), Pauses(redis_client)
    await push(redis_client, store, 2)
    await pauses.pause(store, "unpaid", "ops")
    assert await worker.take() == []
    assert await pauses.resume(store)
    assert [tenant(job) for job in await worker.take()] == [store, store]


async def test_of_many_that_wait_without_a_turn_all_have_theirs_after_some_heartbeats(redis_client: Redis) -> None:
    """One heartbeat looks at a hundred of them, whichever they are."""
    stores = [a_store() for _ in range(250)]
    worker = await a_worker(redis_client)
    for store in stores:
        await push(redis_client, store)
    await redis_client.delete(keys.TURNS)
    turns = []
    for _ in range(60):
        await redis_client.delete(keys.CAPACITY_SUM)  # as if they were counted some seconds ago
        await worker.beat()
        turns.append(await redis_client.zcard(keys.TURNS))
    assert 0 < turns[0] <= 100
    assert turns[-1] == 250


async def test_what_is_over_the_limit_of_a_day_is_refused_once(redis_client: Redis) -> None:
    limits, store, other = Limits(store_a_day=2), a_store(), a_store()
    await push(redis_client, store, 2, limits)
    await push(redis_client, other, 1, limits)
    await push(redis_client, B2C, 4, limits)
    refused = await push(redis_client, store, 2, limits)
    worker = await a_worker(redis_client, slots=20)
    jobs = await worker.take()
    assert sorted(job for job in jobs if job.startswith("reject:")) == sorted(f"reject:{job}" for job in refused)
    assert len(jobs) == 9


async def test_what_is_over_the_limit_of_a_day_waits_for_no_turn_and_no_slot(redis_client: Redis) -> None:
    limits, store = Limits(store_a_day=2), a_store()
    worker = await a_worker(redis_client, slots=1)
    accepted = await push(redis_client, store, 2, limits)
    (refused,) = await push(redis_client, store, 1, limits)
    assert sorted(await worker.take()) == sorted([accepted[0], f"reject:{refused}"])
    (later,) = await push(redis_client, store, 1, limits)
    assert await worker.take(0) == [f"reject:{later}"]
    await worker.end(f"reject:{later}", again_in_ms=0)  # the platform was away
    assert await worker.take(0) == [f"reject:{later}"]
    for job in list(worker.held):
        assert await worker.end(job)
    assert await worker.take() == [accepted[1]]


async def test_of_many_that_are_over_the_limit_few_are_taken_at_once(redis_client: Redis) -> None:
    limits, store, other = Limits(store_a_day=1), a_store(), a_store()
    await push(redis_client, store, 100, limits)
    worker = await a_worker(redis_client, slots=2)
    (waits,) = await push(redis_client, other)
    taken = await worker.take()
    assert waits in taken
    assert Counter(job.startswith("reject:") for job in taken) == {True: 4, False: 2}


@pytest.mark.parametrize("paused", ["*", "the store"])
async def test_what_is_over_the_limit_of_a_paused_store_waits_for_the_pause_to_end(
    redis_client: Redis, paused: str
) -> None:
    limits, store = Limits(store_a_day=1), a_store()
    worker, pauses = await a_worker(redis_client), Pauses(redis_client)
    await pauses.pause(paused if paused == "*" else store, "unpaid", "ops")
    accepted, refused = await push(redis_client, store, 2, limits)
    assert await worker.take() == []
    await pauses.resume(paused if paused == "*" else store)
    if paused != "*":
        await untyped(redis_client).zadd(keys.JOBS, {f"reject:{refused}": 1}, xx=True)  # some seconds later
    assert sorted(await worker.take()) == sorted([accepted, f"reject:{refused}"])


async def test_a_retried_job_comes_before_those_of_its_tenant_that_have_not_begun(redis_client: Redis) -> None:
    store = a_store()
    worker = await a_worker(redis_client)
    await push(redis_client, store, 3)
    (job,) = await worker.take(1)
    await worker.end(job, again_in_ms=0)
    assert await worker.take(1) == [job]


@pytest.mark.parametrize(
    "key",
    [
        keys.TURNS,
        keys.TURNS_PAST,
        keys.WAITING,
        keys.HELD,
        keys.RUNNING_OF_TENANTS,
        keys.RUNNING_SUMS,
        keys.LINE + B2C,
    ],
)
@pytest.mark.parametrize("spoilt", [True, False], ids=["of another type", "lost"])
async def test_a_key_of_the_turns_that_is_lost_loses_no_job(redis_client: Redis, key: str, spoilt: bool) -> None:
    worker = await a_worker(redis_client)
    jobs = await push(redis_client, B2C, 4)
    begun = await worker.take(1)
    await redis_client.delete(key)
    if spoilt:
        await redis_client.set(key, "nonsense")
    await worker.beat()
    for job in jobs:  # as many minutes later
        await untyped(redis_client).zadd(keys.JOBS, {job: 1}, xx=True) if job not in begun else None
    assert sorted(begun + await worker.take()) == sorted(jobs)
    for job in jobs:
        assert await worker.end(job)
    assert not await redis_client.exists(keys.JOBS, keys.RUNNING, keys.HELD, keys.RUNNING_OF_TENANTS, keys.WAITING)


# Beside a worker of the version before


async def test_jobs_of_both_versions_consumers_and_workers_run_once(redis_client: Redis) -> None:
    new, old = await a_worker(redis_client, "new", slots=3), EarlierWorker(redis_client, "old", 3)
    await old.beat()
    store = a_store()
    pushed = [*await push(redis_client, store, 3), *[await old.push(store) for _ in range(3)]]
    taken = [*await old.take(), *await new.take(), *await old.take()]
    assert sorted(taken) == sorted(pushed)
    await new.beat()
    assert await redis_client.zcard(keys.HELD) == 6
    assert await untyped(redis_client).hget(keys.RUNNING_OF_TENANTS, store) == b"6"
    for worker in (old, new):
        for job in list(worker.held):
            assert await worker.end(job)
    await new.beat()
    assert not await redis_client.exists(keys.JOBS, keys.RUNNING, keys.HELD, keys.RUNNING_OF_TENANTS, keys.WAITING)


@pytest.mark.parametrize("dead", ["new", "before sums", "old"])
@pytest.mark.parametrize("frees", ["new", "before sums", "old"])
async def test_jobs_of_a_dead_worker_run_again_whichever_version_frees_them(
    redis_client: Redis, dead: str, frees: str
) -> None:
    kinds = {"new": ScriptedWorker, "before sums": WorkerBeforeSums, "old": EarlierWorker}
    gone, living = kinds[dead](redis_client, "gone", 2), kinds[frees](redis_client, "living", 2)
    other = ScriptedWorker(redis_client, "other", 2)
    for worker in (gone, living, other):
        await worker.beat()
    jobs = await push(redis_client, B2C, 2)
    if dead == "old":
        await untyped(redis_client).zadd(keys.JOBS, dict.fromkeys(jobs, 1))
    assert sorted(await gone.take()) == sorted(jobs)
    await other.beat()
    await redis_client.zadd(keys.WORKERS, {"gone": 1})
    await living.beat()
    await other.beat()  # the new version's next heartbeat finds what the old one has freed
    assert sorted([*await living.take(), *await other.take()]) == sorted(jobs)
    assert not await gone.end(jobs[0])


async def test_a_job_that_another_version_cancels_is_stopped_within_a_minute(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the sum of the worker's jobs as it was, so that only their list tells."""
    worker = await a_worker(redis_client)
    (job,) = await push(redis_client, B2C)
    await worker.take()
    assert await cancel(redis_client, job, now=True, script=script_before_sums("cancel"))
    monkeypatch.setattr(leases, "LIST_AGAIN_S", 0.0)  # a minute later
    await worker.beat()
    assert worker.stopped == [job]
    worker.held.clear()
    await worker.beat()
    assert await redis_client.exists(keys.RUNNING, keys.HELD, keys.RUNNING_SUMS) == 0


async def test_a_task_is_rejected_once_whichever_version_made_the_job_and_whichever_takes_it(
    redis_client: Redis,
) -> None:
    limits, store = Limits(store_a_day=1), a_store()
    new, old = await a_worker(redis_client, "new", slots=3), WorkerBeforeSums(redis_client, "old", 3)
    await old.beat()
    accepted, refused = await push(redis_client, store, 2, limits)
    await untyped(redis_client).zadd(keys.JOBS, {f"reject:{refused}": 1}, xx=True)  # five minutes later
    assert sorted(await old.take()) == sorted([accepted, f"reject:{refused}"])
    of_old = await old.push_refused(store)
    assert await new.take() == [of_old]
    for worker in (old, new):
        for job in list(worker.held):
            assert await worker.end(job)
    assert await new.take() == await old.take() == []
    await new.beat()
    assert not await redis_client.exists(keys.JOBS, keys.RUNNING, keys.HELD, keys.WAITING, f"{keys.LINE}reject")


async def test_without_a_new_worker_what_waits_and_what_ran_starts_minutes_later(
    redis_server: RedisServer, redis_client: Redis
) -> None:
    new, old = await a_worker(redis_client, "new", slots=1), EarlierWorker(redis_client, "old", 5)
    await old.beat()
    jobs = await push(redis_client, a_store(), 3)
    await new.take()
    assert await old.take() == []
    places = await untyped(redis_client).zrange(keys.JOBS, 0, -1, withscores=True)
    latest_s = max(place for _, place in places) / 1000 - time.time()
    assert latest_s < 700
    await redis_client.zadd(keys.WORKERS, {"new": 1})
    await old.beat()
    with sync_redis.Redis(port=redis_server.port) as operator:  # who has more rights than a worker
        operator.zunionstore(keys.JOBS, {keys.JOBS: 0})  # what operations.md says: all of them are due
    assert sorted(await old.take()) == sorted(jobs)
