"""What runs here, compared with what Redis lists beside our name: each difference is put right, none costs money."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest
import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import (
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
from wearon.queue import keys
from wearon.queue import lease as leases
from wearon.queue.jobs import Retry
from wearon.queue.worker import JobWorker

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("only_wake_ups")]


async def test_a_job_written_beside_a_living_workers_name_is_freed_and_run(redis_client: Redis) -> None:
    """What a failover leaves that forgets the last second; nothing has gone wrong as far as the worker knows."""
    job, ref = ScriptedJob(), some_session()
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    await untyped(redis_client).hset(keys.RUNNING, job_id(ref), worker_id(worker))
    async with running(worker.run, lease.run):
        await enqueue(redis_client, ref)
        await job.wait_for_starts(1)
    await worker.drain(0)


async def test_an_entry_without_a_job_goes(redis_client: Redis) -> None:
    worker = new_worker(redis_client, ScriptedJob())
    lease = await give_lease(redis_client, worker)
    await untyped(redis_client).hset(keys.RUNNING, "no such job", worker_id(worker))
    await lease.renew()
    assert await running_jobs(redis_client) == {}


async def test_strays_do_not_shrink_what_may_be_started(redis_client: Redis) -> None:
    looked: list[str] = []
    worker = new_worker(redis_client, ScriptedJob())
    lease = await give_lease(redis_client, worker)
    await untyped(redis_client).hset(keys.RUNNING, mapping=dict.fromkeys(("a", "b", "c"), "another"))
    await redis_client.zadd(keys.WORKERS, {"another": 1e15})
    await enqueue(redis_client, some_session())
    worker.wake_up = lambda: looked.append("there is a job to take")  # type: ignore[method-assign]
    await lease.renew()
    assert looked


async def test_a_job_that_is_just_being_taken_is_no_stray(redis_client: Redis) -> None:
    job, ref = ScriptedJob(deque([never()])), some_session()
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    await enqueue(redis_client, ref)
    take, answer_comes = worker._take, asyncio.Event()

    async def slow_answer(**arguments: object) -> object:
        answer = await take(**arguments)  # type: ignore[arg-type]
        await answer_comes.wait()
        return answer

    worker._take = slow_answer  # type: ignore[assignment]
    async with running(worker.run):
        await eventually(lambda: _is_written_down(redis_client, job_id(ref)))
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
        answer_comes.set()
        await job.wait_for_starts(1)
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
    await worker.drain(0)
    assert len(job.starts) == 1


async def test_a_job_whose_end_is_on_its_way_is_no_stray(redis_client: Redis) -> None:
    job, ref = ScriptedJob(), some_session()
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    await enqueue(redis_client, ref)
    end, on_its_way, arrives = worker._end, asyncio.Event(), asyncio.Event()

    async def slow_end(**arguments: object) -> object:
        on_its_way.set()
        await arrives.wait()
        return await end(**arguments)  # type: ignore[arg-type]

    worker._end = slow_end  # type: ignore[assignment]
    async with running(worker.run):
        await on_its_way.wait()
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
        arrives.set()
        await eventually(lambda: _nothing_is_queued(redis_client))
    assert len(job.starts) == 1


async def _is_written_down(redis: Redis, name: str) -> bool:
    return name in await running_jobs(redis)


async def test_redis_loses_everything_and_the_calls_that_run_are_finished(redis_client: Redis) -> None:
    gates = [never(), never()]
    job = ScriptedJob(deque(gates))
    refs = [some_session(), some_session()]
    await enqueue(redis_client, *refs)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run, lease.run):
        await job.wait_for_starts(2)
        await redis_client.flushall()
        await eventually(lambda: _runs(redis_client, worker, 2))
        assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
        assert await untyped(redis_client).zscore(keys.WORKERS, worker_id(worker)) is not None
        for gate in gates:
            gate.set_result(None)
        await eventually(lambda: _nothing_is_queued(redis_client))
    assert len(job.starts) == 2, "nothing was cancelled, and nothing ran twice"
    await worker.drain(0)


async def _runs(redis: Redis, worker: JobWorker, count: int) -> bool:
    return list((await running_jobs(redis)).values()) == [worker_id(worker)] * count


async def _nothing_is_queued(redis: Redis) -> bool:
    return not await queued_jobs(redis)


async def test_after_a_loss_another_worker_that_comes_first_takes_nothing_away(redis_client: Redis) -> None:
    gate = never()
    job, ref = ScriptedJob(deque([gate])), some_session()
    await enqueue(redis_client, ref)
    worker, other = new_worker(redis_client, job), new_worker(redis_client, ScriptedJob())
    lease, others = await give_lease(redis_client, worker), await give_lease(redis_client, other)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await redis_client.flushall()
        await others.renew()
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
        gate.set_result(None)
        await eventually(lambda: _nothing_is_queued(redis_client))
    assert len(job.starts) == 1
    await worker.drain(0)


async def _forget_take(redis: Redis, name: str, place: float) -> None:
    """All that the script wrote: a failover forgets a whole script, or nothing of it."""
    await untyped(redis).hdel(keys.RUNNING, name)
    await redis.delete(keys.RUNNING_SUMS)
    await untyped(redis).zrem(keys.HELD, *await untyped(redis).zrange(keys.HELD, 0, -1))
    await redis.zadd(keys.JOBS, {name: place})
    await redis.zadd(f"{keys.LINE}b2c", {name: 1})
    await redis.zadd(keys.WAITING, {"b2c": 1})
    await redis.zadd(keys.TURNS, {"b2c": 0})


async def test_a_take_that_a_failover_forgot_is_written_down_again(redis_client: Redis) -> None:
    job, ref = ScriptedJob(deque([never()])), some_session()
    await enqueue(redis_client, ref)
    place = await untyped(redis_client).zscore(keys.JOBS, job_id(ref))
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await _forget_take(redis_client, job_id(ref), place)
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
    await worker.drain(0)
    assert len(job.starts) == 1


async def test_a_job_whose_take_a_failover_forgot_is_not_run_twice_here(redis_client: Redis) -> None:
    gate = never()
    job, ref, other = ScriptedJob(deque([gate])), some_session(), some_session()
    await enqueue(redis_client, ref)
    place = await untyped(redis_client).zscore(keys.JOBS, job_id(ref))
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await _forget_take(redis_client, job_id(ref), place)
        await enqueue(redis_client, other)
        worker.wake_up()  # it takes before it beats
        await job.wait_for_starts(2)
        await lease.renew()
        gate.set_result(None)
        await eventually(lambda: _nothing_is_queued(redis_client))
        assert await running_jobs(redis_client) == {}
    assert [payload["session_id"] for payload, _ in job.starts] == [ref.session_id, other.session_id]
    await worker.drain(0)


async def _taken_by_another(redis: Redis, name: str) -> None:
    await untyped(redis).hset(keys.RUNNING, name, "another")
    await redis.zadd(keys.WORKERS, {"another": 1e15})


async def _taken_and_ended_by_another(redis: Redis, name: str) -> None:
    await untyped(redis).hdel(keys.RUNNING, name)
    await redis.zrem(keys.JOBS, name)


async def _taken_and_put_back_by_another(redis: Redis, name: str) -> None:
    seconds, _ = await redis.time()
    await untyped(redis).hdel(keys.RUNNING, name)
    await redis.zadd(keys.JOBS, {name: (seconds + 60) * 1000})


@pytest.mark.parametrize("taken", [_taken_by_another, _taken_and_ended_by_another, _taken_and_put_back_by_another])
async def test_a_job_that_another_has_had_since_is_stopped_here_and_left_as_it_is(
    redis_client: Redis, taken: Callable[[Redis, str], object]
) -> None:
    job, ref = ScriptedJob(deque([never()])), some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await redis_client.zrem(keys.WORKERS, worker_id(worker))
        await redis_client.zadd(keys.WORKERS, {"another": 1e15})
        await taken(redis_client, job_id(ref))  # type: ignore[misc]
        before = await running_jobs(redis_client), await redis_client.zrange(keys.JOBS, 0, -1, withscores=True)
        await lease.renew()
        await eventually(lambda: _is_idle(worker))
        after = await running_jobs(redis_client), await redis_client.zrange(keys.JOBS, 0, -1, withscores=True)
        assert after == before
    await worker.drain(0)


async def _is_idle(worker: JobWorker) -> bool:
    return worker.free_slots == worker.slots


async def test_declared_dead_but_untouched_a_job_goes_on(redis_client: Redis) -> None:
    gate = never()
    job, ref = ScriptedJob(deque([gate])), some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, job)
    lease, other = await give_lease(redis_client, worker), new_lease(redis_client, "watcher", 0)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await redis_client.zadd(keys.WORKERS, {worker_id(worker): 1, "watcher": 1e15})
        await other.renew()
        assert await running_jobs(redis_client) == {}
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
        gate.set_result(None)
        await eventually(lambda: _nothing_is_queued(redis_client))
    assert len(job.starts) == 1
    await worker.drain(0)


async def test_an_end_that_arrives_late_does_nothing_to_the_next_start(redis_client: Redis) -> None:
    """It hung on a network that was away, and its worker has long taken the job again."""
    job, ref = ScriptedJob(deque([Retry(0.0), never()])), some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    end, late = worker._end, deque[dict[str, object]]()

    async def lose_the_first(**arguments: object) -> object:
        if not late:
            late.append(arguments)
            raise RedisConnectionError("no answer in time")
        return await end(**arguments)  # type: ignore[arg-type]

    worker._end = lose_the_first  # type: ignore[assignment]
    async with running(worker.run, lease.run):
        await job.wait_for_starts(2)
        assert await end(**late[0]) == 0  # type: ignore[arg-type]
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
    await worker.drain(0)


async def _listings(redis: Redis) -> int:
    """How often a heartbeat has asked who runs the jobs beside its name."""
    statistics = await untyped(redis).info("commandstats")
    return int(statistics.get("cmdstat_hmget", {"calls": 0})["calls"])


async def test_a_heartbeat_reads_no_job_while_their_sum_is_right(redis_client: Redis) -> None:
    gates = [never() for _ in range(4)]
    job = ScriptedJob(deque(gates))
    worker = new_worker(redis_client, job, slots=4)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await enqueue(redis_client, *(some_session() for _ in range(3)))
        worker.wake_up()
        await job.wait_for_starts(3)
        before = await _listings(redis_client)
        await lease.renew()
        gates[0].set_result(None)
        gates[1].set_result(None)
        await eventually(lambda: _runs(redis_client, worker, 1))
        await lease.renew()
        await enqueue(redis_client, some_session())
        worker.wake_up()
        await job.wait_for_starts(4)
        await lease.renew()
        assert await _listings(redis_client) == before
    await worker.drain(0)
    assert await redis_client.exists(keys.RUNNING_SUMS) == 0


async def test_another_job_is_no_match_for_the_one_that_a_failover_forgot(
    redis_server: RedisServer, redis_client: Redis
) -> None:
    """The last second, in which one job ended and another one was taken: as many jobs as run here, but others."""
    gate = never()
    job, ended, taken = ScriptedJob(deque([gate, never()])), some_session(), some_session()
    worker = new_worker(redis_client, job, slots=1)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await enqueue(redis_client, ended, taken)
        worker.wake_up()
        await job.wait_for_starts(1)
        with sync_redis.Redis(port=redis_server.port) as operator:  # who has more rights than a worker
            before = {key: operator.dump(key) for key in operator.scan_iter()}
            gate.set_result(None)
            await job.wait_for_starts(2)
            operator.flushall()
            for key, value in before.items():
                operator.restore(key, 0, value)
        await lease.renew()
        assert await running_jobs(redis_client) == {job_id(taken): worker_id(worker)}
        assert job_id(ended) in await queued_jobs(redis_client)
    await worker.drain(0)


async def test_a_place_in_the_queue_that_is_lost_is_found_within_a_minute(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, ref = ScriptedJob(deque([never()])), some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await redis_client.zrem(keys.JOBS, job_id(ref))
        await lease.renew()
        assert await queued_jobs(redis_client) == set()
        monkeypatch.setattr(leases, "LIST_AGAIN_S", 0.0)  # a minute later
        await lease.renew()
        assert await queued_jobs(redis_client) == {job_id(ref)}
    await worker.drain(0)
