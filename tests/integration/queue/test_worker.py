"""The worker on a real Redis: jobs are taken once, put back, cancelled and crashed, and none is ever lost.

The fallback poll is switched off throughout: whatever a test waits for must come of a wake-up.
"""

import asyncio
import json
import pickle
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import (
    GUARD_S,
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
    running_jobs,
    running_worker,
    some_session,
    task_fields,
    untyped,
    worker_id,
)
from support.redis import RedisServer
from wearon.platform.base import PlatformUnavailable, SessionRef
from wearon.queue import keys, newer_jobs
from wearon.queue import worker as job_worker
from wearon.queue.arq_command_line import JOB_WORKER, CommandLineWorker, command_line_settings
from wearon.queue.dead_letters import MAX_PAYLOAD_BYTES
from wearon.queue.jobs import Retry
from wearon.queue.worker import JobEnded, JobWorker
from wearon.redis.clients import connect

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("only_wake_ups")]


async def empty(redis: Redis) -> bool:
    """No trace of any job."""
    left = [
        key
        for key in await untyped(redis).keys("*")
        if not key.startswith((b"wearon:workers", b"wearon:capacity", b"wearon:data-id"))
    ]
    return left == []


async def test_a_job_is_done_and_leaves_nothing_behind(redis_client: Redis) -> None:
    job = ScriptedJob()
    ref = some_session()
    await enqueue(redis_client, ref)
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    ((payload, attempt),) = job.starts
    assert payload["session_id"] == ref.session_id
    assert (attempt.number, attempt.retried, attempt.rate_limited, attempt.crashes) == (1, 0, 0, 0)


async def test_a_job_that_comes_later_is_started_by_the_wake_up(redis_client: Redis) -> None:
    job = ScriptedJob()
    async with running_worker(redis_client, job) as worker:
        for count in range(1, 4):
            await enqueue(redis_client, some_session())
            worker.wake_up()
            await job.wait_for_starts(count)
        await eventually(lambda: empty(redis_client))


async def test_a_token_of_another_machine_wakes_it(redis_client: Redis) -> None:
    job = ScriptedJob()
    async with running_worker(redis_client, job) as worker, running(lambda: worker.listen_for_wake_ups(redis_client)):
        await enqueue(redis_client, some_session())
        await untyped(redis_client).lpush(keys.WAKE, "")
        await job.wait_for_starts(1)


async def test_only_what_is_due_is_taken(redis_client: Redis) -> None:
    job = ScriptedJob()
    due, later = some_session(), some_session()
    await enqueue(redis_client, due, later)
    await defer(redis_client, later, (time.time() + 3600) * 1000)
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
        await eventually(lambda: _holds(redis_client, {job_id(later)}))
    assert [payload["session_id"] for payload, _ in job.starts] == [due.session_id]
    assert await running_jobs(redis_client) == {}


async def _holds(redis: Redis, jobs: set[str]) -> bool:
    return await queued_jobs(redis) == jobs


async def test_no_more_run_than_there_are_slots_and_one_that_ends_makes_room(redis_client: Redis) -> None:
    gates = [never() for _ in range(5)]
    job = ScriptedJob(deque(gates))
    await enqueue(redis_client, *(some_session() for _ in range(5)))
    async with running_worker(redis_client, job, slots=2) as worker:
        for done in range(5):
            await job.wait_for_starts(min(done + 2, 5))
            assert len(job.starts) == min(done + 2, 5)
            await eventually(lambda done=done: _running_are(redis_client, min(2, 5 - done)))  # type: ignore[misc]
            # The worker itself hears of an end a moment after Redis does.
            await eventually(lambda done=done: _has_free(worker, 0 if done < 4 else 1))  # type: ignore[misc]
            gates[done].set_result(None)
        await eventually(lambda: empty(redis_client))
        await eventually(lambda: _has_free(worker, 2))


async def _has_free(worker: JobWorker, slots: int) -> bool:
    return worker.free_slots == slots


async def _running_are(redis: Redis, count: int) -> bool:
    return len(await running_jobs(redis)) == count


async def test_jobs_behind_a_long_row_of_running_ones_are_found(redis_client: Redis) -> None:
    await enqueue(redis_client, *(some_session() for _ in range(150)))
    await new_lease(redis_client, "somebody", 200).renew()
    for running_elsewhere in sorted(await queued_jobs(redis_client)):
        await untyped(redis_client).hset(keys.RUNNING, running_elsewhere, "somebody")
    fresh = some_session()
    await enqueue(redis_client, fresh)
    await untyped(redis_client).zincrby(keys.JOBS, 1, job_id(fresh))
    await asyncio.sleep(0.01)
    job = ScriptedJob()
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
    assert job.starts[0][0]["session_id"] == fresh.session_id


async def test_two_workers_never_run_the_same_job(redis_client: Redis) -> None:
    one, other = ScriptedJob(), ScriptedJob()
    await enqueue(redis_client, *(some_session() for _ in range(60)))
    async with running_worker(redis_client, one, slots=5), running_worker(redis_client, other, slots=5):
        await eventually(lambda: empty(redis_client))
    started = [payload["session_id"] for payload, _ in one.starts + other.starts]
    assert len(started) == len(set(started)) == 60


async def test_without_a_lease_nothing_is_taken_and_with_it_the_work_begins(redis_client: Redis) -> None:
    job = ScriptedJob()
    await enqueue(redis_client, some_session())
    worker = new_worker(redis_client, job)
    polled = asyncio.Event()
    wait = worker._wait

    async def polled_and_waiting() -> None:
        polled.set()
        await wait()

    worker._wait = polled_and_waiting  # type: ignore[method-assign]
    async with running(worker.run):
        await polled.wait()
        assert job.starts == []
        assert await running_jobs(redis_client) == {}
        await give_lease(redis_client, worker)
        await job.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    await worker.drain(0)


async def test_a_job_that_is_put_back_runs_again_and_knows_what_was(redis_client: Redis) -> None:
    answers = [Retry(0.0), Retry(0.02, rate_limited=True), Retry(0.02, rate_limited=True), None]
    job = ScriptedJob(deque(answers))
    await enqueue(redis_client, some_session())
    async with running_worker(redis_client, job):
        await job.wait_for_starts(4)
        await eventually(lambda: empty(redis_client))
    told = [(attempt.number, attempt.retried, attempt.rate_limited, attempt.crashes) for attempt in job.attempts]
    assert told == [(1, 0, 0, 0), (2, 1, 0, 0), (3, 2, 1, 0), (4, 3, 2, 0)]
    assert len({attempt.first_started_at for attempt in job.attempts}) == 1


async def test_what_may_be_paid_is_known_to_every_later_start(redis_client: Redis) -> None:
    answers = [Retry(0.0, unanswered=1), Retry(0.0), Retry(0.0, rate_limited=True, unanswered=3), None]
    job = ScriptedJob(deque(answers))
    await enqueue(redis_client, some_session())
    async with running_worker(redis_client, job):
        await job.wait_for_starts(4)
        await eventually(lambda: empty(redis_client))
    assert [attempt.unanswered for attempt in job.attempts] == [0, 1, 1, 3]


async def test_an_end_that_could_not_be_written_down_is_no_crash(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = some_session()
    await enqueue(redis_client, ref)
    job = ScriptedJob(deque([Retry(0.0, rate_limited=True), Retry(0.0), None]))
    async with running_worker(redis_client, job) as worker:
        write, lost = worker._end, deque([True])

        async def lose_the_first(**arguments: Any) -> Any:
            if lost and lost.pop():
                raise RedisConnectionError("away")
            return await write(**arguments)

        monkeypatch.setattr(worker, "_end", lose_the_first)
        await job.wait_for_starts(3)
    told = [(attempt.number, attempt.retried, attempt.rate_limited, attempt.crashes) for attempt in job.attempts]
    assert told == [(1, 0, 0, 0), (2, 1, 1, 0), (3, 2, 1, 0)]


async def test_a_job_that_is_put_back_for_long_is_free_meanwhile(redis_client: Redis) -> None:
    ref = some_session()
    await enqueue(redis_client, ref)
    async with running_worker(redis_client, ScriptedJob(deque([Retry(3600.0)]))) as worker:
        await eventually(lambda: _deferred(redis_client, job_id(ref)))
        await eventually(lambda: _nobody_runs_anything(redis_client))
        await eventually(lambda: _is_free(worker))
        assert await queued_jobs(redis_client) == {job_id(ref)}


async def _deferred(redis: Redis, name: str) -> bool:
    seconds, _ = await redis.time()
    return bool(await untyped(redis).zscore(keys.JOBS, name) > (seconds + 1000) * 1000)


async def _nobody_runs_anything(redis: Redis) -> bool:
    return not await running_jobs(redis)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), RedisConnectionError("away"), ExceptionGroup("two", [OSError()])]
)
async def test_an_error_of_the_job_function_never_loses_the_job(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(job_worker, "PAUSE_AFTER_ERROR_S", 0.02)
    job = ScriptedJob(deque([error, error, None]))
    await enqueue(redis_client, some_session())
    async with running_worker(redis_client, job):
        await job.wait_for_starts(3)
        await eventually(lambda: empty(redis_client))
    assert [attempt.crashes for attempt in job.attempts] == [0, 0, 0]


async def test_a_drain_lets_running_jobs_finish_and_takes_no_more(redis_client: Redis) -> None:
    gate = never()
    job = ScriptedJob(deque([gate]))
    async with running_worker(redis_client, job, slots=2) as worker:
        await enqueue(redis_client, some_session())
        worker.wake_up()
        await job.wait_for_starts(1)
        draining = asyncio.create_task(worker.drain(3600.0))
        await asyncio.sleep(0)
        assert worker.free_slots == 0
        await enqueue(redis_client, some_session())
        worker.wake_up()
        gate.set_result(None)
        async with asyncio.timeout(GUARD_S):
            assert await draining == 0
        assert len(job.starts) == 1
        assert len(await queued_jobs(redis_client)) == 1
        assert await running_jobs(redis_client) == {}


async def test_a_drain_without_grace_hands_running_jobs_back(redis_client: Redis) -> None:
    refs = [some_session(), some_session()]
    job = ScriptedJob(deque([never(), never()]))
    await enqueue(redis_client, *refs)
    async with running_worker(redis_client, job) as worker:
        await job.wait_for_starts(2)
        assert await worker.drain(0) == 2
        assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
        assert await running_jobs(redis_client) == {}
    next_one = ScriptedJob()
    async with running_worker(redis_client, next_one):
        await next_one.wait_for_starts(2)
        await eventually(lambda: empty(redis_client))
    told = [(attempt.number, attempt.retried, attempt.crashes) for attempt in next_one.attempts]
    assert told == [(2, 1, 0), (2, 1, 0)]
    assert {attempt.first_started_at for attempt in next_one.attempts} == {
        attempt.first_started_at for attempt in job.attempts
    }


async def test_a_job_cancelled_before_its_function_began_is_handed_back_too(redis_client: Redis) -> None:
    ref = some_session()
    await enqueue(redis_client, ref)
    worker = new_worker(redis_client, ScriptedJob(deque([never()])))
    await give_lease(redis_client, worker)
    await worker._poll(burst=False)
    assert await worker.drain(0) == 1
    assert await queued_jobs(redis_client) == {job_id(ref)}
    assert await running_jobs(redis_client) == {}


async def test_jobs_that_are_being_taken_when_a_drain_begins_are_part_of_it(redis_client: Redis) -> None:
    job = ScriptedJob(deque([never()]))
    worker = new_worker(redis_client, job)
    await give_lease(redis_client, worker)
    take = worker._take
    being_taken, answer_comes = asyncio.Event(), asyncio.Event()

    async def slow_answer(**arguments: Any) -> list[bytes]:
        answer: list[bytes] = await take(**arguments)
        being_taken.set()
        await answer_comes.wait()
        return answer

    worker._take = slow_answer  # type: ignore[assignment]
    ref = some_session()
    await enqueue(redis_client, ref)
    async with running(worker.run):
        await being_taken.wait()
        draining = asyncio.create_task(worker.drain(0))
        await asyncio.sleep(0.01)
        assert await running_jobs(redis_client) == {job_id(ref): worker_id(worker)}
        answer_comes.set()
        async with asyncio.timeout(GUARD_S):
            assert await draining == 1
    assert await running_jobs(redis_client) == {}
    assert await queued_jobs(redis_client) == {job_id(ref)}


@pytest.mark.filterwarnings("ignore:Call to deprecated close")  # arq's
async def test_a_job_that_does_not_end_does_not_keep_arqs_command_line_from_shutting_down(
    redis_url: str, redis_client: Redis
) -> None:
    client = connect(redis_url, name="arq")
    job = ScriptedJob(deque([never()]))
    worker = new_worker(client, job)
    await give_lease(redis_client, worker)
    shut_down: list[object] = []

    async def on_startup(ctx: dict[str, object]) -> None:
        ctx[JOB_WORKER] = worker

    async def on_shutdown(ctx: dict[str, object]) -> None:
        shut_down.append(ctx)

    command_line = CommandLineWorker(
        **command_line_settings(client, 2, 600.0),
        ctx={},
        handle_signals=False,
        on_startup=on_startup,
        on_shutdown=on_shutdown,
    )
    ref = some_session()
    await enqueue(redis_client, ref)
    command_line.main_task = asyncio.create_task(command_line.main())
    await job.wait_for_starts(1)
    command_line.handle_sig(signal.SIGTERM)
    async with asyncio.timeout(GUARD_S):
        await command_line.close()
    assert shut_down == [command_line.ctx]
    assert await running_jobs(redis_client) == {}
    assert await queued_jobs(redis_client) == {job_id(ref)}
    await client.aclose()


async def test_arqs_time_limit_is_not_the_end_of_a_job(redis_client: Redis) -> None:
    job = ScriptedJob(deque([never(), None]))
    await enqueue(redis_client, some_session())
    worker = new_worker(redis_client, job)
    worker._job_timeout_s = 0.05
    await give_lease(redis_client, worker)
    async with running(worker.run):
        await job.wait_for_starts(2)
        await eventually(lambda: empty(redis_client))
    await worker.drain(0)


async def test_a_crash_is_counted_when_the_job_is_freed(redis_client: Redis) -> None:
    killed = ScriptedJob(deque([never()]))
    await enqueue(redis_client, some_session())
    worker = new_worker(redis_client, killed)
    lease = await give_lease(redis_client, worker)
    main = asyncio.create_task(worker.run())
    await killed.wait_for_starts(1)
    ((name, owner),) = (await running_jobs(redis_client)).items()
    assert owner == worker_id(worker)
    # What a SIGKILL leaves: the job stands in the queue and beside the name of a worker without a lease.
    await lease.release()
    job = ScriptedJob()
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
    assert (job.attempts[0].number, job.attempts[0].crashes) == (2, 1)
    assert name not in await running_jobs(redis_client)
    main.cancel()
    await asyncio.gather(main, return_exceptions=True)
    await worker.drain(0)


async def test_jobs_taken_while_the_answer_was_lost_are_run_all_the_same(redis_client: Redis) -> None:
    job = ScriptedJob()
    await enqueue(redis_client, some_session(), some_session())
    worker = new_worker(redis_client, job)
    lease = await give_lease(redis_client, worker)
    take = worker._take
    lost: list[list[bytes]] = []

    async def lose_the_first_answer(**arguments: Any) -> list[bytes]:
        answer: list[bytes] = await take(**arguments)
        if not lost:
            lost.append(answer)
            raise RedisConnectionError("connection reset")
        return answer

    worker._take = lose_the_first_answer  # type: ignore[assignment]
    async with running(worker.run, lease.run):
        await job.wait_for_starts(2)
        await eventually(lambda: empty(redis_client))
    await worker.drain(0)
    assert len(lost[0]) == 1 + 2 * 4
    assert [(attempt.number, attempt.crashes) for attempt in job.attempts] == [(1, 0), (1, 0)]


async def test_redis_away_at_the_end_of_a_job_does_not_strand_it(
    redis_server: RedisServer, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_worker, "RECONNECT_S", (0.05, 0.1))
    gate = never()
    job = ScriptedJob(deque([gate, None, None]))
    await enqueue(redis_client, some_session())
    async with running_worker(redis_client, job) as worker:
        await job.wait_for_starts(1)
        await asyncio.to_thread(redis_server.stop)
        gate.set_result(None)
        await eventually(lambda: _is_free(worker))
        await asyncio.to_thread(redis_server.start)
        # Its end could not be written down, so it is run again; the pipeline finds the session final then.
        await job.wait_for_starts(2)
        await eventually(lambda: empty(redis_client))


async def _is_free(worker: JobWorker) -> bool:
    return worker.free_slots == worker.slots


async def test_an_idle_worker_outlives_a_restart_of_redis(
    redis_server: RedisServer, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_worker, "RECONNECT_S", (0.05, 0.1))
    job = ScriptedJob()
    async with running_worker(redis_client, job) as worker:
        await asyncio.to_thread(redis_server.stop)
        worker.wake_up()
        await asyncio.sleep(0)
        await asyncio.to_thread(redis_server.start)
        await enqueue(redis_client, some_session())
        worker.wake_up()
        await job.wait_for_starts(1)


async def test_what_is_stored_is_json(redis_client: Redis) -> None:
    job = ScriptedJob(deque([Retry(3600.0)]))
    ref = some_session()
    await enqueue(redis_client, ref, prompt="Grüße \x80 \u4eba")
    before = json.loads(await redis_client.get(f"arq:job:{job_id(ref)}") or b"")
    async with running_worker(redis_client, job):
        await eventually(lambda: _deferred(redis_client, job_id(ref)))
    after = json.loads(await redis_client.get(f"arq:job:{job_id(ref)}") or b"")
    assert before["a"][0]["prompt"] == after["a"][0]["prompt"] == "Grüße \x80 \u4eba"
    assert (before["a"][1]["put_back"], after["a"][1]["put_back"]) == (0, 1)


Plant = Callable[[Redis, str], Awaitable[None]]


class Bomb:
    """Goes off when somebody unpickles it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("unpickled",))


def stored(arguments: list[object], function: str = "generate") -> bytes:
    return json.dumps({"t": None, "f": function, "a": arguments, "k": {}, "et": 1_700_000_000_000}).encode()


def planted(data: bytes) -> Plant:
    async def plant(redis: Redis, key: str) -> None:
        await redis.set(key, data)

    return plant


async def missing(_: Redis, __: str) -> None:
    """Its place in the queue is all that there is."""


async def another_type(redis: Redis, key: str) -> None:
    await untyped(redis).lpush(key, "a list")


BROKEN: dict[str, Plant] = {
    "garbage": planted(b"\x00\xff{"),
    "empty": planted(b""),
    "endless number": planted(b'{"f": "generate", "a": [{}, {"version": 1}, 1e999], "et": 1}'),
    "pickle": planted(pickle.dumps({"t": 1, "f": Bomb(), "a": (), "k": {}, "et": 1})),
    "other JSON": planted(b"[1, 2]"),
    "no function's name": planted(stored([{}, {}], "os.system")),
    "no arguments": planted(stored([])),
    "more arguments": planted(stored([{}, {}, {}])),
    "payload is text": planted(stored(["task", {}])),
    "progress is text": planted(stored([{}, "first"])),
    "deeply nested": planted(b"[" * 100_000),
    "missing": missing,
    "another type": another_type,
}


@pytest.mark.parametrize("plant", list(BROKEN.values()), ids=list(BROKEN))
async def test_a_job_that_cannot_be_run_is_settled_at_once_through_the_session_that_its_id_names(
    redis_client: Redis, plant: Plant
) -> None:
    generate, reject = ScriptedJob(), ScriptedJob()
    broken, good = some_session(), some_session()
    await plant(redis_client, f"arq:job:{job_id(broken)}")
    await redis_client.zadd(keys.JOBS, {job_id(broken): 1})
    await enqueue(redis_client, good)
    async with running_worker(redis_client, generate, reject=reject, slots=1):
        await generate.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    assert [payload["session_id"] for payload, _ in generate.starts] == [good.session_id]
    ((rejected, _),) = reject.starts
    assert SessionRef(rejected["channel"], rejected["owner_id"], rejected["session_id"]) == broken
    assert rejected["reason"].startswith("unusable job: ")


@pytest.mark.parametrize("name", ["nonsense", "b2c:only", "b2c:owner:no-uuid", "\udcff\udcfe", "long" * 10_000])
@pytest.mark.parametrize("data", [b"", b"\xff\x1b[2J" * 100_000, b"{}"], ids=["missing", "terminal", "empty"])
async def test_a_job_that_cannot_be_run_and_whose_id_names_no_session_is_given_to_the_dead_letters(
    redis_client: Redis, name: str, data: bytes
) -> None:
    reject = ScriptedJob()
    job = name.encode(errors="surrogateescape")
    if data:
        await redis_client.set(keys.JOB.encode() + job, data)
    await redis_client.zadd(keys.JOBS, {job: 1})
    async with running_worker(redis_client, ScriptedJob(), reject=reject):
        await eventually(lambda: empty(redis_client))
    ((rejected, _),) = reject.starts
    assert "session_id" not in rejected
    assert (rejected["job_id"], rejected["data"][:1]) == (name[:500], "\\" if b"\xff" in data else data.decode()[:1])
    assert rejected["reason"].endswith("and its id names no session")
    assert len(json.dumps(rejected)) < MAX_PAYLOAD_BYTES, "it is readable in the dead letters"


async def test_a_job_that_only_this_process_can_go_on_with_is_not_released(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_worker, "PAUSE_AFTER_ERROR_S", 0.02)
    answers: deque[Any] = deque([Retry(0.02, rate_limited=True), RedisConnectionError("away"), never(), None])
    job, elsewhere, ref = ScriptedJob(answers), ScriptedJob(), some_session()
    async with running_worker(redis_client, job) as worker:
        worker._job_timeout_s = 0.1
        worker._must_keep = lambda session_id: session_id == ref.session_id
        await enqueue(redis_client, ref)
        await job.wait_for_starts(1)
        async with running_worker(redis_client, elsewhere):
            await job.wait_for_starts(4)
            await eventually(lambda: empty(redis_client))
    assert elsewhere.starts == []
    assert [attempt.number for attempt in job.attempts] == [1, 1, 1, 1], "it was taken once"


async def test_a_kept_job_is_handed_back_when_its_process_ends(redis_client: Redis) -> None:
    job, ref = ScriptedJob(deque([Retry(600.0)])), some_session()
    await enqueue(redis_client, ref)
    async with running_worker(redis_client, job) as worker:
        worker._must_keep = lambda _session_id: True
        await job.wait_for_starts(1)
        await worker.drain(0)
        assert await running_jobs(redis_client) == {}
    elsewhere = ScriptedJob()
    async with running_worker(redis_client, elsewhere):
        await elsewhere.wait_for_starts(1)
    assert elsewhere.attempts[0].crashes == 0


async def test_settling_a_broken_job_waits_out_an_outage(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_worker, "PAUSE_AFTER_ERROR_S", 0.02)
    reject = ScriptedJob(deque([PlatformUnavailable("away"), Retry(0.02), None]))
    await another_type(redis_client, f"arq:job:{job_id(ref := some_session())}")
    await redis_client.zadd(keys.JOBS, {job_id(ref): 1})
    async with running_worker(redis_client, ScriptedJob(), reject=reject):
        await reject.wait_for_starts(3)
        await eventually(lambda: empty(redis_client))


async def test_a_job_without_progress_is_run(redis_client: Redis) -> None:
    job, ref = ScriptedJob(), some_session()
    await redis_client.set(f"arq:job:{job_id(ref)}", json.dumps({"f": "generate", "a": [task_fields(ref), None]}))
    await redis_client.zadd(keys.JOBS, {job_id(ref): 1})
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    assert (job.attempts[0].rate_limited, job.attempts[0].retried, job.attempts[0].crashes) == (0, 0, 0)


NEWER = {
    "function": stored([{}, {}], "generate_with_video"),
    "progress": stored([{}, {"version": 2}]),
    "task": stored([{"version": 99}, {}]),
}


@pytest.mark.parametrize("newer", list(NEWER.values()), ids=list(NEWER))
async def test_a_job_of_a_newer_version_is_left_to_a_newer_worker(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch, newer: bytes
) -> None:
    monkeypatch.setattr(job_worker, "LEAVE_TO_NEWER_S", 0.05)
    reject, ref = ScriptedJob(), some_session()
    await redis_client.set(f"arq:job:{job_id(ref)}", newer)
    await redis_client.zadd(keys.JOBS, {job_id(ref): 1})
    ends: list[JobEnded] = []
    async with running_worker(redis_client, ScriptedJob(), reject=reject) as worker:
        worker._events.subscribe(JobEnded, ends.append)
        await eventually(lambda: _at_least(len(ends), 3))
        assert await redis_client.get(f"arq:job:{job_id(ref)}") == newer
        assert await redis_client.get(f"arq:retry:{job_id(ref)}") in {b"0", b"1"}, "looking at it is no start"
        assert await queued_jobs(redis_client) == {job_id(ref)}
        (said,) = worker._newer_jobs._dependencies.refusals
        assert said.words == "a job of a newer version waits for a newer worker"
        assert reject.starts == []
        monkeypatch.setattr(newer_jobs, "LEFT_FOR_S", 0.0)
        await reject.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    assert reject.starts[0][0]["session_id"] == ref.session_id


async def _at_least(count: int, wanted: int) -> bool:
    return count >= wanted


@pytest.mark.parametrize("how", ["text", "list"])
async def test_a_count_of_starts_that_is_no_number_begins_anew(redis_client: Redis, how: str) -> None:
    job, ref = ScriptedJob(), some_session()
    await enqueue(redis_client, ref)
    name = f"arq:retry:{job_id(ref)}"
    await (redis_client.set(name, "many") if how == "text" else untyped(redis_client).lpush(name, "many"))
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
        await eventually(lambda: empty(redis_client))
    assert job.attempts[0].number == 1


async def test_progress_of_a_newer_version_is_understood_as_far_as_it_goes(redis_client: Redis) -> None:
    job = ScriptedJob()
    ref = some_session()
    odd = {"put_back": float("inf"), "unanswered": 10**400, "mood": "fine"}
    progress = {"first_started_at": 12.0, "rate_limited": 2, **odd}
    await redis_client.set(f"arq:job:{job_id(ref)}", stored([task_fields(ref), progress]))
    await redis_client.zadd(keys.JOBS, {job_id(ref): 1})
    async with running_worker(redis_client, job):
        await job.wait_for_starts(1)
    assert (job.attempts[0].first_started_at, job.attempts[0].rate_limited) == (12.0, 2)
    assert (job.attempts[0].retried, job.attempts[0].unanswered) == (0, 0)
