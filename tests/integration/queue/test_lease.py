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
    new_lease,
    new_worker,
    queued_jobs,
    running,
    running_jobs,
    some_session,
    untyped,
    worker_id,
)
from support.redis import RedisServer
from wearon.events import Events
from wearon.queue import keys
from wearon.queue import lease as leases
from wearon.queue.lease import HEARTBEAT_S, LATECOMERS_S, LEASE_S, Fleet, HeartbeatWritten, Lease

pytestmark = pytest.mark.slow


async def let_it_expire(redis: Redis, lease: Lease) -> None:
    """What time does with the lease of a process that was killed, while another goes on."""
    seconds, _ = await redis.time()
    await redis.zadd(keys.WORKERS, {lease.worker_id: 1, "another": (seconds + LEASE_S) * 1000})


async def runs(redis: Redis, worker_id: str, *jobs: str) -> None:
    for job in jobs:
        await untyped(redis).hset(keys.RUNNING, job, worker_id)


async def test_a_lease_lasts_for_its_time_on_the_servers_clock(redis_client: Redis) -> None:
    await new_lease(redis_client, "one", 5).renew()
    seconds, microseconds = await redis_client.time()
    ends = await untyped(redis_client).zscore(keys.WORKERS, "one")
    left_s = ends / 1000 - seconds - microseconds / 1e6
    assert 0 < left_s <= LEASE_S


async def test_jobs_of_a_dead_worker_are_freed_by_anothers_beat_and_only_those(redis_client: Redis) -> None:
    dead, alive, watcher = (new_lease(redis_client, name, 2) for name in ("dead", "alive", "watcher"))
    for lease in (dead, alive, watcher):
        await lease.renew()
    await runs(redis_client, "dead", "job 1", "job 2")
    await runs(redis_client, "alive", "job 3")
    await runs(redis_client, "never seen", "job 4")
    await let_it_expire(redis_client, dead)
    await watcher.renew()
    assert await running_jobs(redis_client) == {"job 3": "alive"}
    assert watcher.fleet.capacity == 4
    assert await untyped(redis_client).hkeys(keys.CAPACITY) == [b"alive", b"watcher"]


async def test_after_an_outage_of_redis_the_first_to_find_it_does_not_bury_the_others(redis_client: Redis) -> None:
    quick, slow, gone = (new_lease(redis_client, name, 1) for name in ("quick", "slow", "gone"))
    for lease in (quick, slow, gone):
        await lease.renew()
        await runs(redis_client, lease.worker_id, f"job of {lease.worker_id}")
    for lease in (quick, slow, gone):  # nobody could renew anything
        await redis_client.zadd(keys.WORKERS, {lease.worker_id: 1})
    await quick.renew()
    await slow.renew()
    assert len(await running_jobs(redis_client)) == 3
    await redis_client.zadd(keys.WORKERS, {"gone": 1})  # the time for latecomers is over
    await quick.renew()
    assert await running_jobs(redis_client) == {"job of quick": "quick", "job of slow": "slow"}


async def test_latecomers_have_less_time_than_a_lease(redis_client: Redis) -> None:
    gone = new_lease(redis_client, "gone", 1)
    await gone.renew()
    await redis_client.zadd(keys.WORKERS, {"gone": 1})
    await new_lease(redis_client, "next", 1).renew()
    seconds, microseconds = await redis_client.time()
    left_s = await untyped(redis_client).zscore(keys.WORKERS, "gone") / 1000 - seconds - microseconds / 1e6
    assert 0 < left_s <= LATECOMERS_S < 2 * HEARTBEAT_S < LEASE_S


async def test_whoever_frees_jobs_is_told_to_look_for_them(redis_client: Redis) -> None:
    told: list[str] = []
    events = Events()
    events.subscribe(HeartbeatWritten, lambda heartbeat: told.append("look") if heartbeat.jobs_to_take else None)
    lease = new_lease(redis_client, "one", 2, events=events)
    await lease.renew()
    assert told == ["look"], "the first heartbeat allows to take jobs at all"
    await lease.renew()
    assert told == ["look"]
    await runs(redis_client, "dead", "job")
    await lease.renew()
    assert told == ["look", "look"]


async def test_a_job_of_a_killed_worker_runs_again_elsewhere(redis_client: Redis) -> None:
    killed, next_one = ScriptedJob(), ScriptedJob()
    killed.answers.append(never())
    ref = some_session()
    await enqueue(redis_client, ref)
    first = new_worker(redis_client, killed)
    lease = await give_lease(redis_client, first)
    async with running(first.run):
        await killed.wait_for_starts(1)
        await let_it_expire(redis_client, lease)
        second = new_worker(redis_client, next_one)
        await give_lease(redis_client, second)
        async with running(second.run):
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
    async with running(first.run):
        await here.wait_for_starts(1)
        await let_it_expire(redis_client, lost)
        await give_lease(redis_client, second)
        async with running(second.run):
            await elsewhere.wait_for_starts(1)
            await lost.renew()
            await eventually(lambda: _is_idle(first.free_slots, first.slots))
            assert await running_jobs(redis_client) == {job_id(ref): worker_id(second)}
            assert await queued_jobs(redis_client) == {job_id(ref)}
        await second.drain(0)
    await first.drain(0)
    assert len(here.starts) == 1


async def _is_idle(free: int, slots: int) -> bool:
    return free == slots


async def test_a_worker_that_was_declared_dead_is_alive_again_after_its_beat(redis_client: Redis) -> None:
    lease, other = new_lease(redis_client, "one", 2), new_lease(redis_client, "other", 2)
    await lease.renew()
    await let_it_expire(redis_client, lease)
    await other.renew()
    assert other.fleet.capacity == 2
    await lease.renew()
    assert lease.fleet.capacity == 4


async def test_a_lease_that_ran_out_unnoticed_is_simply_renewed(redis_client: Redis) -> None:
    lease = new_lease(redis_client, "one", 2)
    await lease.renew()
    await runs(redis_client, "one", "job")
    await let_it_expire(redis_client, lease)
    await lease.renew()
    assert await running_jobs(redis_client) == {"job": "one"}


async def test_a_lease_that_ends_too_far_ahead_ends_when_others_do(redis_client: Redis) -> None:
    """The clock of the server was set back, or an entry is nonsense: the dead must not live for ever."""
    await redis_client.zadd(keys.WORKERS, {"ahead": 1e15, "for ever": float("inf")})
    await new_lease(redis_client, "one", 2).renew()
    seconds, _ = await redis_client.time()
    for name in ("ahead", "for ever"):
        assert await untyped(redis_client).zscore(keys.WORKERS, name) <= (seconds + 1 + LEASE_S) * 1000


async def test_a_job_that_is_due_too_far_ahead_is_due_now(redis_client: Redis) -> None:
    """A machine whose clock is ahead has put it back, or handed it over."""
    seconds, _ = await redis_client.time()
    soon, far = (seconds + 600) * 1000, (seconds + 7200) * 1000
    await redis_client.zadd(keys.JOBS, {"soon": soon, "far": far})
    await new_lease(redis_client, "one", 2).renew()
    assert await untyped(redis_client).zscore(keys.JOBS, "soon") == soon
    assert await untyped(redis_client).zscore(keys.JOBS, "far") <= (seconds + 5) * 1000


async def test_capacity_counts_only_numbers_of_workers_that_live(redis_client: Redis) -> None:
    await untyped(redis_client).hset(keys.CAPACITY, mapping={"nobody": 50, "odd": "many", "minus": -3, "huge": 1e9})
    await redis_client.zadd(keys.WORKERS, dict.fromkeys(("odd", "minus", "huge"), float("inf")))
    lease = new_lease(redis_client, "one", 2)
    await lease.renew()
    assert lease.fleet.capacity == 2
    assert b"nobody" not in await untyped(redis_client).hkeys(keys.CAPACITY)


async def test_a_step_waits_while_beats_fail_and_goes_on_after_the_next_one(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = new_lease(redis_client, "one", 2)
    step = asyncio.create_task(lease.confirm())
    await asyncio.sleep(0.01)
    assert not step.done(), "there was no beat yet"
    await lease.renew()
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
            await lease.renew()
    await asyncio.sleep(0.01)
    assert not any(step.done() for step in steps)
    monkeypatch.setattr(leases, "FRESH_S", 1000.0)
    await lease.renew()
    async with asyncio.timeout(GUARD_S):
        await asyncio.gather(*steps)


async def test_a_lease_given_back_frees_its_jobs_at_the_next_beat_of_anybody(redis_client: Redis) -> None:
    lease, other = new_lease(redis_client, "one", 2), new_lease(redis_client, "other", 3)
    await lease.renew()
    await runs(redis_client, "one", "job")
    await lease.release()
    await other.renew()
    assert await running_jobs(redis_client) == {}
    assert other.fleet.capacity == 3


async def test_a_beat_tells_everybody_about_the_fleet(redis_client: Redis) -> None:
    heard: list[Fleet] = []
    events = Events()
    for _ in range(2):
        events.subscribe(HeartbeatWritten, lambda heartbeat: heard.append(heartbeat.fleet))
    lease = new_lease(redis_client, "watcher", 0, events=events)
    await new_lease(redis_client, "one", 7).renew()
    await redis_client.zadd(keys.JOBS, {"a": 1, "b": 2})
    await untyped(redis_client).hset(keys.REFUNDS, "c", "d")
    await lease.renew()
    assert heard == [Fleet(capacity=7, jobs=2, refunds=1)] * 2
    assert lease.fleet == heard[0]


async def test_it_goes_on_beating_after_a_restart_of_redis(
    redis_server: RedisServer, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    heartbeats: list[HeartbeatWritten] = []
    lease = new_lease(redis_client, "one", 2)
    lease._events.subscribe(HeartbeatWritten, heartbeats.append)
    async with running(lease.run):
        await eventually(lambda: _at_least(heartbeats, 1))
        await asyncio.to_thread(redis_server.stop)
        await asyncio.to_thread(redis_server.start)
        seen = len(heartbeats)
        await eventually(lambda: _at_least(heartbeats, seen + 2))


async def _at_least(heartbeats: list[HeartbeatWritten], count: int) -> bool:
    return len(heartbeats) >= count
