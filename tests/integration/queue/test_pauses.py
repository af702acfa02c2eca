"""Pauses on a real Redis: whose jobs wait, who may probe, and who ends which pause."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from support.job_side import (
    ScriptedJob,
    defer,
    enqueue,
    eventually,
    give_lease,
    job_id,
    never,
    new_lease,
    new_worker,
    queued_jobs,
    running,
    some_session,
    task_fields,
    untyped,
)
from wearon.events import Events
from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys
from wearon.queue.held_jobs import TakenJob
from wearon.queue.job_document import session_of_job
from wearon.queue.jobs import GENERATE, REJECTS, Attempt, write_job
from wearon.queue.lease import HeartbeatWritten
from wearon.queue.pauses import FEW_REFUSALS, FLEET, MAX_NAMED, PROBE_S, Pauses
from wearon.queue.tenants import tenant_of

pytestmark = pytest.mark.slow


@pytest.fixture
def pauses(redis_client: Redis) -> Pauses:
    return Pauses(redis_client)


async def takes(redis: Redis) -> list[str]:
    """Sessions of the jobs that a worker takes now, and has from then on."""
    taken: list[TakenJob] = []
    worker = new_worker(redis, ScriptedJob(), slots=10)
    worker._start = taken.append  # type: ignore[method-assign, assignment]
    await give_lease(redis, worker)
    await worker._take_jobs()
    return sorted(session_of_job(job.job_id) for job in taken)


async def refuse(pauses: Pauses, times: int = FEW_REFUSALS) -> list[bool]:
    return [await pauses.count_refusal("key", "OpenAI refuses our key", "a worker") for _ in range(times)]


async def change_pause(redis: Redis, change: Callable[[dict[str, Any]], None]) -> None:
    pause = json.loads(await untyped(redis).hget(keys.PAUSES, FLEET))
    change(pause)
    await untyped(redis).hset(keys.PAUSES, FLEET, json.dumps(pause))


async def let_the_probes_time_come(redis: Redis) -> None:
    await change_pause(redis, lambda pause: pause.update(probed_ms=pause["probed_ms"] - int(PROBE_S * 1000)))


async def make_due(redis: Redis) -> None:
    """What time does with jobs that were put aside."""
    for job in await queued_jobs(redis):
        await untyped(redis).zadd(keys.JOBS, {job: 1})


async def test_nothing_starts_while_the_fleet_is_paused_and_all_after_it(redis_client: Redis, pauses: Pauses) -> None:
    refs = [some_session(channel) for channel in Channel]
    await enqueue(redis_client, *refs)
    await pauses.pause(FLEET, "maintenance", "an operator")
    assert await takes(redis_client) == []
    await make_due(redis_client)
    assert await takes(redis_client) == []
    assert await pauses.resume(FLEET)
    await make_due(redis_client)
    assert await takes(redis_client) == sorted(ref.session_id for ref in refs)


async def test_a_paused_store_does_not_hold_up_the_others_and_counts_no_attempt(
    redis_client: Redis, pauses: Pauses
) -> None:
    paused, other, shopper = some_session(Channel.B2B), some_session(Channel.B2B), some_session()
    await enqueue(redis_client, *(SessionRef(paused.channel, paused.owner_id, some_session().session_id) for _ in "12"))
    await enqueue(redis_client, paused, other, shopper)
    await pauses.pause(tenant_of(paused.channel, paused.owner_id), "leaves us", "an operator")
    assert await takes(redis_client) == sorted([other.session_id, shopper.session_id])
    assert await untyped(redis_client).get(keys.STARTS + job_id(paused)) is None


async def test_a_running_job_goes_on_and_a_resumed_fleet_is_woken(redis_client: Redis, pauses: Pauses) -> None:
    job, finish = ScriptedJob(), never()
    job.answers.append(finish)
    first, second = some_session(), some_session()
    await enqueue(redis_client, first)
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(1)
        await pauses.pause(FLEET, "", "")
        await enqueue(redis_client, second)
        await lease.renew()
        assert lease.fleet.pause
        finish.set_result(None)
        await eventually(lambda: _is_gone(redis_client, first))
        await pauses.resume(FLEET)
        await make_due(redis_client)
        await lease.renew()
        await job.wait_for_starts(2)


async def test_no_worker_is_woken_in_vain_while_paused_but_for_a_probe(redis_client: Redis, pauses: Pauses) -> None:
    events, told = Events(), list[bool]()
    events.subscribe(HeartbeatWritten, lambda heartbeat: told.append(heartbeat.jobs_to_take))
    lease = new_lease(redis_client, "one", 1, events=events)
    await enqueue(redis_client, some_session())
    await lease.renew()
    await lease.renew()
    await refuse(pauses)
    await lease.renew()
    await let_the_probes_time_come(redis_client)
    await lease.renew()
    assert told == [True, True, False, True]


async def _is_gone(redis: Redis, ref: SessionRef) -> bool:
    return job_id(ref) not in await queued_jobs(redis)


async def test_every_process_hears_of_pauses_with_its_heartbeat(redis_client: Redis, pauses: Pauses) -> None:
    lease = new_lease(redis_client, "watcher", 0)
    await pauses.pause("b2c", "", "")
    await lease.renew()
    assert (lease.fleet.pause, lease.fleet.paused) == (None, frozenset({"b2c"}))
    await pauses.pause(FLEET, "maintenance", "an operator")
    await lease.renew()
    assert lease.fleet.pause
    assert (lease.fleet.pause.reason, lease.fleet.pause.by, lease.fleet.pause.is_own) == (
        "maintenance",
        "an operator",
        False,
    )
    for number in range(MAX_NAMED):
        await pauses.pause(f"b2b:{number}", "", "")
    await lease.renew()
    assert lease.fleet.paused == frozenset(), "too many to name with every heartbeat"


@pytest.mark.parametrize("written", [b"no JSON", b'{"since_ms": 1e99}', b"[]", b'{"reason": "%s"}' % (b"x" * 100_000)])
async def test_a_pause_that_cannot_be_read_is_one_that_an_operator_ends(
    redis_client: Redis, pauses: Pauses, written: bytes
) -> None:
    await untyped(redis_client).hset(keys.PAUSES, FLEET, written)
    await enqueue(redis_client, some_session())
    lease = new_lease(redis_client, "watcher", 0)
    await lease.renew()
    assert lease.fleet.pause
    assert not lease.fleet.pause.is_own
    assert len(lease.fleet.pause.reason) < 100, "every heartbeat of every process carries it"
    assert await takes(redis_client) == []
    assert (await pauses.list())[FLEET].reason


async def test_a_hash_of_another_type_pauses_nobody_and_is_named(redis_client: Redis) -> None:
    await untyped(redis_client).set(keys.PAUSES, "x")
    ref = some_session()
    await enqueue(redis_client, ref)
    assert await takes(redis_client) == [ref.session_id]


async def test_a_job_past_its_deadline_is_given_out_for_its_end_though_paused(
    redis_client: Redis, pauses: Pauses
) -> None:
    seconds, _ = await redis_client.time()
    begun, late = some_session(), some_session()
    for ref, age_s in ((begun, 500), (late, 600)):
        await enqueue(redis_client, ref)
        attempt = Attempt(first_started_at=seconds - age_s + 0.5)
        job = write_job(GENERATE, task_fields(ref, prompt='"first_started_at": 1'), attempt, 0)
        await untyped(redis_client).set(keys.JOB + job_id(ref), job)
        await defer(redis_client, ref, 1)
    await enqueue(redis_client, some_session())
    await pauses.pause(FLEET, "", "")
    assert await takes(redis_client) == [late.session_id]


async def test_the_fleet_pauses_itself_after_a_few_refusals_and_not_over_an_operators_pause(pauses: Pauses) -> None:
    assert await refuse(pauses) == [False, False, True]
    assert await refuse(pauses) == [False, False, False], "it is paused already"
    await pauses.resume(FLEET)
    await pauses.pause(FLEET, "maintenance", "an operator")
    assert await refuse(pauses) == [False, False, False]
    assert (await pauses.list())[FLEET].reason == "maintenance"


async def test_refusals_before_a_success_do_not_count(pauses: Pauses) -> None:
    await refuse(pauses, FEW_REFUSALS - 1)
    await pauses.forget_refusals("key")
    assert await refuse(pauses) == [False, False, True]


async def test_one_job_of_the_whole_fleet_probes_and_the_next_not_before_its_time_nor_beside_it(
    redis_client: Redis, pauses: Pauses
) -> None:
    await enqueue(redis_client, *(some_session() for _ in range(5)))
    await refuse(pauses)
    assert await takes(redis_client) == []
    await let_the_probes_time_come(redis_client)
    await make_due(redis_client)
    lease = new_lease(redis_client, "watcher", 0)
    await lease.renew()
    assert len([*(await takes(redis_client)), *(await takes(redis_client))]) == 1
    await make_due(redis_client)
    await let_the_probes_time_come(redis_client)
    assert await takes(redis_client) == [], "the last probe still runs"
    await untyped(redis_client).delete(keys.RUNNING)
    await make_due(redis_client)
    assert len(await takes(redis_client)) == 1


async def test_a_probe_is_no_job_of_a_paused_store(redis_client: Redis, pauses: Pauses) -> None:
    paused, other = some_session(Channel.B2B), some_session(Channel.B2B)
    await enqueue(redis_client, paused, other)
    await pauses.pause(tenant_of(paused.channel, paused.owner_id), "", "")
    await refuse(pauses)
    await let_the_probes_time_come(redis_client)
    await untyped(redis_client).zadd(keys.JOBS, {job_id(paused): 1})
    assert await takes(redis_client) == [other.session_id]


@pytest.mark.parametrize("in_its_stores_line", [False, True], ids=["put aside", "where earlier versions put it"])
async def test_a_probe_is_no_job_that_only_rejects_a_session(
    redis_client: Redis, pauses: Pauses, in_its_stores_line: bool
) -> None:
    redis, store = untyped(redis_client), some_session(Channel.B2B)
    reject = REJECTS + job_id(store)
    if in_its_stores_line:
        await enqueue(redis_client, store)
        await redis.zadd(keys.LINE + tenant_of(store.channel, store.owner_id), {reject: 0})
    await redis.zadd(keys.JOBS, {reject: 9e15 if in_its_stores_line else 1})
    if not in_its_stores_line:
        await enqueue(redis_client, store)
    await refuse(pauses)
    await let_the_probes_time_come(redis_client)
    assert await takes(redis_client) == [store.session_id]
    assert (await pauses.list())[FLEET].probe == job_id(store)
    assert reject in [job.decode() for job in await redis.zrange(keys.JOBS, 0, -1)]


async def test_a_success_ends_the_fleets_own_pause_and_only_the_one_that_it_saw(
    redis_client: Redis, pauses: Pauses
) -> None:
    await refuse(pauses)
    seen = (await pauses.list())[FLEET]
    assert not await pauses.end_own(seen.model_copy(update={"since_ms": seen.since_ms - 1}))
    await pauses.pause(FLEET, "", "an operator")
    assert not await pauses.end_own((await pauses.list())[FLEET]), "an operator's is ended by an operator"
    await pauses.resume(FLEET)
    await refuse(pauses)
    assert await pauses.end_own((await pauses.list())[FLEET])
    assert await pauses.list() == {}
