"""The consumer as it runs: how much it takes, whom it wakes, and what it outlives."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import (
    ScriptedJob,
    document,
    entries,
    eventually,
    job_id,
    never,
    new_consumer,
    new_dead_letters,
    new_worker,
    push,
    queued_jobs,
    running,
    running_worker,
    see_fleet,
    some_session,
    untyped,
)
from support.redis import RedisServer
from wearon.queue import consumer as consumer_module
from wearon.queue import keys, pending
from wearon.queue import worker as job_worker
from wearon.queue.consumer import Consumer
from wearon.queue.jobs import Enqueued, EnqueueResult, JobQueue
from wearon.queue.pending import CUT_BYTES, PendingTasks
from wearon.queue.task import MAX_LENIENT_BYTES
from wearon.queue.worker import JobEnded, JobWorker
from wearon.redis.clients import connect

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_worker, "FALLBACK_POLL_S", 3600.0)
    monkeypatch.setattr(consumer_module, "RECONNECT_S", (0.05, 0.1))
    monkeypatch.setattr(job_worker, "RECONNECT_S", (0.05, 0.1))


@pytest.fixture
async def blocking(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url, name="blocking", blocking=True)
    yield client
    await client.aclose()


@asynccontextmanager
async def consuming(
    redis: Redis, blocking: Redis, *, capacity: int, worker: JobWorker | None = None
) -> AsyncIterator[Consumer]:
    """A running consumer that has heard of a fleet with so many slots (0: of nobody)."""
    consumer = new_consumer(redis, blocking, worker)
    if capacity:
        see_fleet(consumer, capacity=capacity)
    async with running(consumer.run):
        yield consumer


async def are_left(redis: Redis, count: int) -> bool:
    return bool(await untyped(redis).llen(keys.TASKS) == count)


async def test_the_backlog_stays_in_the_list_when_the_queue_is_full(
    redis_client: Redis, blocking: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "MAX_JOBS", 3)
    refs = [some_session() for _ in range(10)]
    async with consuming(redis_client, blocking, capacity=2) as consumer:
        for ref in refs[:3]:
            await push(redis_client, document(ref))
            await eventually(lambda: are_left(redis_client, 0))
        await eventually(lambda: _all_queued(redis_client, {job_id(ref) for ref in refs[:3]}))
        await push(redis_client, *(document(ref) for ref in refs[3:]))
        see_fleet(consumer, capacity=2, jobs=3)
        assert await are_left(redis_client, 7)
        consumer._see_job_ended(JobEnded("one of them"))
        await eventually(lambda: _all_queued(redis_client, {job_id(ref) for ref in refs[:4]}))
        assert await are_left(redis_client, 6)
    assert await entries(redis_client, keys.PENDING) == []


async def test_nothing_is_taken_when_no_worker_lives(redis_client: Redis, blocking: Redis) -> None:
    await push(redis_client, document(some_session()))
    async with consuming(redis_client, blocking, capacity=0) as consumer:
        await eventually(lambda: _connected(consumer, redis_client))
        see_fleet(consumer, capacity=0)
        await eventually(lambda: _connected(consumer, redis_client))
        assert await are_left(redis_client, 1)
        see_fleet(consumer, capacity=1)
        await eventually(lambda: are_left(redis_client, 0))


async def _connected(consumer: Consumer, redis: Redis) -> bool:
    await redis.ping()
    return consumer._recover_at > 0


async def test_a_pushed_task_is_started_at_once_by_the_worker_beside(redis_client: Redis, blocking: Redis) -> None:
    job = ScriptedJob()
    async with (
        running_worker(redis_client, job, slots=5) as worker,
        consuming(redis_client, blocking, capacity=5, worker=worker),
    ):
        for count in range(1, 4):
            await push(redis_client, document(some_session()))
            await job.wait_for_starts(count)
    assert await entries(redis_client, keys.WAKE) == []


async def test_when_the_worker_beside_is_full_another_machine_is_woken(redis_client: Redis, blocking: Redis) -> None:
    here, elsewhere = ScriptedJob(), ScriptedJob()
    here.answers.append(never())
    async with (
        running_worker(redis_client, here, slots=1) as worker,
        consuming(redis_client, blocking, capacity=3, worker=worker),
    ):
        await push(redis_client, document(some_session()))
        await here.wait_for_starts(1)
        async with (
            running_worker(redis_client, elsewhere) as other,
            running(lambda: other.listen_for_wake_ups(blocking)),
        ):
            await push(redis_client, document(some_session()))
            await elsewhere.wait_for_starts(1)


async def test_without_a_worker_beside_there_are_never_too_many_wake_ups(redis_client: Redis, blocking: Redis) -> None:
    await push(redis_client, *(document(some_session()) for _ in range(120)))
    async with consuming(redis_client, blocking, capacity=1000):
        await eventually(lambda: are_left(redis_client, 0))
    assert len(await entries(redis_client, keys.WAKE)) <= 100


async def test_it_outlives_a_restart_of_redis_and_nothing_is_lost(
    redis_server: RedisServer, redis_client: Redis, blocking: Redis
) -> None:
    refs = [some_session() for _ in range(3)]
    async with consuming(redis_client, blocking, capacity=100) as consumer:
        await push(redis_client, document(refs[0]))
        await eventually(lambda: are_left(redis_client, 0))
        await asyncio.to_thread(redis_server.stop)
        await eventually(lambda: _is_away(consumer))
        await asyncio.to_thread(redis_server.start)
        await push(redis_client, *(document(ref) for ref in refs[1:]))
        await eventually(lambda: _all_queued(redis_client, {job_id(ref) for ref in refs}))
        assert consumer.connected


async def _is_away(consumer: Consumer) -> bool:
    return not consumer.connected


async def _all_queued(redis: Redis, jobs: set[str]) -> bool:
    return await queued_jobs(redis) == jobs


@pytest.mark.parametrize("answer_lost", [False, True], ids=["before", "after"])
async def test_a_hand_over_that_failed_is_made_good_at_once(
    redis_client: Redis, blocking: Redis, monkeypatch: pytest.MonkeyPatch, answer_lost: bool
) -> None:
    hand_over = JobQueue.enqueue
    failed: list[Sequence[Enqueued]] = []

    async def fail_once(self: JobQueue, batch: Sequence[Enqueued], *, free_slots: int = 0) -> EnqueueResult:
        if not failed:
            failed.append(batch)
            if answer_lost:
                await hand_over(self, batch, free_slots=free_slots)
            raise RedisConnectionError("connection reset")
        return await hand_over(self, batch, free_slots=free_slots)

    monkeypatch.setattr(JobQueue, "enqueue", fail_once)
    ref = some_session()
    async with consuming(redis_client, blocking, capacity=10):
        await push(redis_client, document(ref))
        await eventually(lambda: _all_queued(redis_client, {job_id(ref)}))
        await eventually(lambda: _none_taken(redis_client))
    assert failed


async def _none_taken(redis: Redis) -> bool:
    return not await entries(redis, keys.PENDING)


async def test_stopped_while_it_waits_for_a_document_it_loses_none(redis_client: Redis, blocking: Redis) -> None:
    for _ in range(10):
        async with consuming(redis_client, blocking, capacity=1000):
            await push(redis_client, document(some_session()))
    async with consuming(redis_client, blocking, capacity=1000):
        await eventually(lambda: are_left(redis_client, 0))
        await eventually(lambda: _none_taken(redis_client))
    assert len(await queued_jobs(redis_client)) == 10


async def test_a_draining_worker_beside_is_not_counted_on(redis_client: Redis, blocking: Redis) -> None:
    worker = new_worker(redis_client, ScriptedJob())
    await worker.drain(0)
    async with consuming(redis_client, blocking, capacity=10, worker=worker):
        await push(redis_client, document(some_session()))
        await eventually(lambda: are_left(redis_client, 0))
        await eventually(lambda: _none_taken(redis_client))
    assert len(await entries(redis_client, keys.WAKE)) == 1


MEGABYTE = 1024 * 1024


async def test_documents_that_are_too_large_hold_nobody_up_and_never_leave_redis(
    redis_client: Redis, blocking: Redis
) -> None:
    refs = [some_session() for _ in range(3)]
    giant = b"\xff\x1b]52;" + b"x" * (16 * MEGABYTE)
    await push(redis_client, document(refs[0]), giant, giant[:-1], document(refs[1]), giant[:-2], document(refs[2]))
    async with consuming(redis_client, blocking, capacity=10):
        await eventually(lambda: _all_queued(redis_client, {job_id(ref) for ref in refs}))
        await eventually(lambda: are_left(redis_client, 0))
    assert await entries(redis_client, keys.PENDING) == []
    letters = await new_dead_letters(redis_client).list()
    assert sorted(letter.reason for letter in letters) == sorted(
        f"{len(giant) - cut} bytes: longer than any task" for cut in range(3)
    )
    assert len({letter.id for letter in letters}) == 3
    for letter in letters:
        assert letter.payload.startswith("??]52;xxx")
        assert len(letter.payload) == CUT_BYTES
        assert not letter.is_whole


async def test_a_giant_that_lies_beside_others_is_found_and_cut_and_theirs_are_handed_over(
    redis_client: Redis, blocking: Redis
) -> None:
    refs, dead_letters = [some_session() for _ in range(2)], new_dead_letters(redis_client)
    giant = b"x" * (MAX_LENIENT_BYTES + 1)
    for left in (document(refs[0]), giant, document(refs[1])):
        await untyped(redis_client).lpush(keys.PENDING, left)
    # It is not cut unseen where others lie, whatever the answer began with.
    assert not await PendingTasks(redis_client, dead_letters).cut(b"$%d\r\n" % len(giant) + giant[:1000])
    await new_consumer(redis_client, blocking).recover()
    assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
    assert await entries(redis_client, keys.PENDING) == []
    assert [letter.reason for letter in await dead_letters.list()] == [f"{len(giant)} bytes: longer than any task"]


async def test_a_giant_is_cut_where_it_lies_and_others_are_served_before_the_next(redis_client: Redis) -> None:
    dead_letters, giant = new_dead_letters(redis_client), b"x" * (MAX_LENIENT_BYTES + 1)
    taken = PendingTasks(redis_client, dead_letters)
    await push(redis_client, b"first", giant, giant, b"second")
    for found, is_cut, left in (([b"first"], True, 2), ([], True, 1), ([b"second"], False, 0)):
        assert await taken.move() == (found, is_cut)
        assert await are_left(redis_client, left)
    assert await entries(redis_client, keys.PENDING) == [b"second", b"first"]
    assert len(await dead_letters.list()) == 2


async def test_pending_giants_are_cut_one_by_one_until_something_is_found(redis_client: Redis) -> None:
    dead_letters, giant = new_dead_letters(redis_client), b"x" * (MAX_LENIENT_BYTES + 1)
    await untyped(redis_client).lpush(keys.PENDING, giant, giant, b"behind", giant, giant)
    taken = PendingTasks(redis_client, dead_letters)
    for cut in (3, 4):
        assert await taken.documents() == [b"behind"], "it lies there until it is a job"
        assert len(await dead_letters.list()) == cut
    assert await entries(redis_client, keys.PENDING) == [b"behind"]


async def test_the_giant_that_came_last_is_cut_unread_beside_others(redis_client: Redis) -> None:
    dead_letters, giant = new_dead_letters(redis_client), b"x" * (32 * MEGABYTE)
    others = [b"one", b"y" * MAX_LENIENT_BYTES, *[b"z" * 900] * 10]
    await untyped(redis_client).lpush(keys.PENDING, *others, giant)
    taken = PendingTasks(redis_client, dead_letters)
    assert await taken.cut(b"$%d\r\n" % len(giant) + giant[:1000])
    assert await entries(redis_client, keys.PENDING) == others[::-1]
    await untyped(redis_client).lpush(keys.PENDING, b"y" * MAX_LENIENT_BYTES)
    assert not await taken.cut(b"$%d\r\n" % len(giant) + giant[:1000]), "that one is no giant"
    assert [letter.reason for letter in await dead_letters.list()] == [f"{len(giant)} bytes: longer than any task"]


@pytest.mark.parametrize("start", [b"", b"*2\r\n$9\r\n", b"$5000\r\nx", b"-ERR\r\n"])
async def test_a_document_that_lies_alone_is_not_cut_for_an_answer_that_was_not_it(
    redis_client: Redis, start: bytes
) -> None:
    await untyped(redis_client).lpush(keys.PENDING, document(some_session()))
    taken = PendingTasks(redis_client, new_dead_letters(redis_client))
    assert not await taken.cut(start)
    assert not await taken.cut(b"$99999999\r\nx")  # somebody else has cut that one
    assert len(await entries(redis_client, keys.PENDING)) == 1


async def test_what_is_as_long_as_a_document_may_be_is_looked_into(redis_client: Redis, blocking: Redis) -> None:
    ref = some_session()
    await push(redis_client, document(ref, prompt="x" * (MAX_LENIENT_BYTES - 2000)))
    async with consuming(redis_client, blocking, capacity=10):
        await eventually(lambda: _all_queued(redis_client, {f"reject:{job_id(ref)}"}))


async def test_a_taken_list_of_many_megabytes_is_handed_over_piece_by_piece(
    redis_client: Redis, blocking: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "READ_BYTES", 3000)
    refs = [some_session() for _ in range(20)]
    for ref in refs:
        await untyped(redis_client).lpush(keys.PENDING, document(ref))
    handed_over = await new_consumer(redis_client, blocking).recover()
    assert handed_over == len(refs)
    assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
