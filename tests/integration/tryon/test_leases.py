"""Leases on a real Redis: who is alive, whose jobs are freed, and who may act."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import (
    GUARD_S,
    ScriptedJob,
    enqueue,
    eventually,
    give_lease,
    job_id,
    never,
    new_worker,
    queued_jobs,
    running,
    running_jobs,
    some_session,
    untyped,
)
from support.redis import RedisServer
from wearon.tryon import keys, leases
from wearon.tryon.leases import BEAT_S, LATECOMERS_S, LEASE_S, Fleet, Lease

pytestmark = pytest.mark.slow


async def let_it_expire(redis: Redis, lease: Lease) -> None:
    """What time does with the lease of a process that was killed, while another goes on."""
    seconds, _ = await redis.time()
    await redis.zadd(keys.WORKERS, {lease.worker_id: 1, "another": (seconds + LEASE_S) * 1000})


async def runs(redis: Redis, worker_id: str, *jobs: str) -> None:
    for job in jobs:
        await untyped(redis).hset(keys.RUNNING, job, worker_id)


async def test_a_lease_lasts_for_its_time_on_the_servers_clock(redis_client: Redis) -> None:
    await Lease(redis_client, "one", 5).beat()
    seconds, microseconds = await redis_client.time()
    ends = await untyped(redis_client).zscore(keys.WORKERS, "one")
    left_s = ends / 1000 - seconds - microseconds / 1e6
    assert 0 < left_s <= LEASE_S


async def test_jobs_of_a_dead_worker_are_freed_by_anothers_beat_and_only_those(redis_client: Redis) -> None:
    dead, alive, watcher = (Lease(redis_client, name, 2) for name in ("dead", "alive", "watcher"))
    for lease in (dead, alive, watcher):
        await lease.beat()
    await runs(redis_client, "dead", "job 1", "job 2")
    await runs(redis_client, "alive", "job 3")
    await runs(redis_client, "never seen", "job 4")
    await let_it_expire(redis_client, dead)
    await watcher.beat()
    assert await running_jobs(redis_client) == {"job 3": "alive"}
    assert watcher.fleet.capacity == 4
    assert await untyped(redis_client).hkeys(keys.CAPACITY) == [b"alive", b"watcher"]


async def test_after_an_outage_of_redis_the_first_to_find_it_does_not_bury_the_others(redis_client: Redis) -> None:
    quick, slow, gone = (Lease(redis_client, name, 1) for name in ("quick", "slow", "gone"))
    for lease in (quick, slow, gone):
        await lease.beat()
        await runs(redis_client, lease.worker_id, f"job of {lease.worker_id}")
    for lease in (quick, slow, gone):  # nobody could renew anything
        await redis_client.zadd(keys.WORKERS, {lease.worker_id: 1})
    await quick.beat()
    await slow.beat()
    assert len(await running_jobs(redis_client)) == 3
    await redis_client.zadd(keys.WORKERS, {"gone": 1})  # the time for latecomers is over
    await quick.beat()
    assert await running_jobs(redis_client) == {"job of quick": "quick", "job of slow": "slow"}


async def test_latecomers_have_less_time_than_a_lease(redis_client: Redis) -> None:
    gone = Lease(redis_client, "gone", 1)
    await gone.beat()
    await redis_client.zadd(keys.WORKERS, {"gone": 1})
    await Lease(redis_client, "next", 1).beat()
    seconds, microseconds = await redis_client.time()
    left_s = await untyped(redis_client).zscore(keys.WORKERS, "gone") / 1000 - seconds - microseconds / 1e6
    assert 0 < left_s <= LATECOMERS_S < 2 * BEAT_S < LEASE_S


async def test_whoever_frees_jobs_is_told_to_look_for_them(redis_client: Redis) -> None:
    told: list[str] = []
    lease = Lease(redis_client, "one", 2)
    lease.on_jobs_freed = lambda: told.append("look")
    await lease.beat()
    assert told == ["look"], "the first beat allows to take jobs at all"
    await lease.beat()
    assert told == ["look"]
    await runs(redis_client, "dead", "job")
    await lease.beat()
    assert told == ["look", "look"]


async def test_a_job_of_a_killed_worker_runs_again_elsewhere(redis_client: Redis) -> None:
    killed, next_one = ScriptedJob(), ScriptedJob()
    killed.answers.append(never())
    ref = some_session()
    await enqueue(redis_client, ref)
    first = new_worker(redis_client, killed)
    lease = await give_lease(redis_client, first)
    async with running(first.main):
        await killed.wait_for_starts(1)
        await let_it_expire(redis_client, lease)
        second = new_worker(redis_client, next_one)
        await give_lease(redis_client, second)
        async with running(second.main):
            await next_one.wait_for_starts(1)
        await second.drain(0)
    await first.drain(0)
    assert next_one.attempts[0].crashes == 1


async def test_a_worker_that_was_declared_dead_stops_its_jobs_and_keeps_its_hands_off_them(
    redis_client: Redis,
) -> None:
    here, elsewhere = ScriptedJob(), ScriptedJob()
    here.answers.append(never())
    elsewhere.answers.append(never())
    ref = some_session()
    await enqueue(redis_client, ref)
    first, second = new_worker(redis_client, here), new_worker(redis_client, elsewhere)
    lost = await give_lease(redis_client, first)
    async with running(first.main):
        await here.wait_for_starts(1)
        await let_it_expire(redis_client, lost)
        await give_lease(redis_client, second)
        async with running(second.main):
            await elsewhere.wait_for_starts(1)
            await lost.beat()
            await eventually(lambda: _is_idle(first.free_slots, first.max_jobs))
            assert await running_jobs(redis_client) == {job_id(ref): second.worker_id}
            assert await queued_jobs(redis_client) == {job_id(ref)}
        await second.drain(0)
    await first.drain(0)
    assert len(here.starts) == 1


async def _is_idle(free: int, slots: int) -> bool:
    return free == slots


async def test_a_worker_that_was_declared_dead_is_alive_again_after_its_beat(redis_client: Redis) -> None:
    lease, other = Lease(redis_client, "one", 2), Lease(redis_client, "other", 2)
    await lease.beat()
    await let_it_expire(redis_client, lease)
    await other.beat()
    assert other.fleet.capacity == 2
    await lease.beat()
    assert lease.fleet.capacity == 4


async def test_a_lease_that_ran_out_unnoticed_is_simply_renewed(redis_client: Redis) -> None:
    lease = Lease(redis_client, "one", 2)
    await lease.beat()
    await runs(redis_client, "one", "job")
    await let_it_expire(redis_client, lease)
    await lease.beat()
    assert await running_jobs(redis_client) == {"job": "one"}


async def test_a_lease_that_ends_too_far_ahead_ends_when_others_do(redis_client: Redis) -> None:
    """The clock of the server was set back, or an entry is nonsense: the dead must not live for ever."""
    await redis_client.zadd(keys.WORKERS, {"ahead": 1e15, "for ever": float("inf")})
    await Lease(redis_client, "one", 2).beat()
    seconds, _ = await redis_client.time()
    for name in ("ahead", "for ever"):
        assert await untyped(redis_client).zscore(keys.WORKERS, name) <= (seconds + 1 + LEASE_S) * 1000


async def test_a_job_that_is_due_too_far_ahead_is_due_now(redis_client: Redis) -> None:
    """A machine whose clock is ahead has put it back, or handed it over."""
    seconds, _ = await redis_client.time()
    soon, far = (seconds + 600) * 1000, (seconds + 7200) * 1000
    await redis_client.zadd(keys.JOBS, {"soon": soon, "far": far})
    await Lease(redis_client, "one", 2).beat()
    assert await untyped(redis_client).zscore(keys.JOBS, "soon") == soon
    assert await untyped(redis_client).zscore(keys.JOBS, "far") <= (seconds + 5) * 1000


async def test_capacity_counts_only_numbers_of_workers_that_live(redis_client: Redis) -> None:
    await untyped(redis_client).hset(keys.CAPACITY, mapping={"nobody": 50, "odd": "many", "minus": -3, "huge": 1e9})
    await redis_client.zadd(keys.WORKERS, dict.fromkeys(("odd", "minus", "huge"), float("inf")))
    lease = Lease(redis_client, "one", 2)
    await lease.beat()
    assert lease.fleet.capacity == 2
    assert b"nobody" not in await untyped(redis_client).hkeys(keys.CAPACITY)


async def test_a_step_waits_while_beats_fail_and_goes_on_after_the_next_one(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(redis_client, "one", 2)
    step = asyncio.create_task(lease.confirm())
    await asyncio.sleep(0.01)
    assert not step.done(), "there was no beat yet"
    await lease.beat()
    async with asyncio.timeout(GUARD_S):
        await step
    async with asyncio.timeout(GUARD_S):
        await lease.confirm()
    monkeypatch.setattr(leases, "FRESH_S", -1.0)  # the beat is too old by now
    steps = [asyncio.create_task(lease.confirm()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(step.done() for step in steps)

    async def away(**_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(lease, "_script", away)
        with pytest.raises(RedisConnectionError):
            await lease.beat()
    await asyncio.sleep(0.01)
    assert not any(step.done() for step in steps)
    monkeypatch.setattr(leases, "FRESH_S", 1000.0)
    await lease.beat()
    async with asyncio.timeout(GUARD_S):
        await asyncio.gather(*steps)


async def test_a_lease_given_back_frees_its_jobs_at_the_next_beat_of_anybody(redis_client: Redis) -> None:
    lease, other = Lease(redis_client, "one", 2), Lease(redis_client, "other", 3)
    await lease.beat()
    await runs(redis_client, "one", "job")
    await lease.release()
    await other.beat()
    assert await running_jobs(redis_client) == {}
    assert other.fleet.capacity == 3


async def test_a_beat_tells_everybody_about_the_fleet(redis_client: Redis) -> None:
    heard: list[Fleet] = []
    lease = Lease(redis_client, "watcher", 0)
    lease.on_beat += [heard.append, heard.append]
    await Lease(redis_client, "one", 7).beat()
    await redis_client.zadd(keys.JOBS, {"a": 1, "b": 2})
    await untyped(redis_client).hset(keys.REFUNDS, "c", "d")
    await lease.beat()
    assert heard == [Fleet(capacity=7, jobs=2, refunds=1)] * 2
    assert lease.fleet == heard[0]


async def test_it_goes_on_beating_after_a_restart_of_redis(
    redis_server: RedisServer, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    beats: list[Fleet] = []
    lease = Lease(redis_client, "one", 2)
    lease.on_beat.append(beats.append)
    async with running(lease.run):
        await eventually(lambda: _at_least(beats, 1))
        await asyncio.to_thread(redis_server.stop)
        await asyncio.to_thread(redis_server.start)
        seen = len(beats)
        await eventually(lambda: _at_least(beats, seen + 2))


async def _at_least(beats: list[Fleet], count: int) -> bool:
    return len(beats) >= count
