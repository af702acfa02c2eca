"""From the producers' list into the job queue, on a real Redis: every document once, whoever else is at it."""

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

from support.job_side import (
    document,
    entries,
    job_id,
    new_consumer,
    new_dead_letters,
    push,
    queued_jobs,
    see_fleet,
    some_session,
    take_all,
    task_fields,
    untyped,
)
from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys, pending
from wearon.queue.consumer import Consumer
from wearon.queue.dead_letters import DeadLetterAdded
from wearon.queue.jobs import GENERATE, Enqueued, EnqueueResult, JobQueue

pytestmark = pytest.mark.slow


def roomy_consumer(redis: Redis) -> Consumer:
    """One that has seen a fleet with room for everything."""
    consumer = new_consumer(redis, redis)
    see_fleet(consumer, capacity=1000)
    return consumer


async def lying_taken(redis: Redis, *documents: bytes) -> None:
    """What a consumer leaves that was killed between BLMOVE and hand-over."""
    for data in documents:
        await untyped(redis).lpush(keys.PENDING, data)


async def stored_job(redis: Redis, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await redis.get(f"arq:job:{name}") or b"")
    return found


async def test_a_document_becomes_a_job_with_the_sessions_name(redis_client: Redis) -> None:
    ref = some_session(Channel.B2B)
    await push(redis_client, document(ref, prompt="in the rain"))
    await roomy_consumer(redis_client)._take_one()
    assert await queued_jobs(redis_client) == {job_id(ref)}
    assert await entries(redis_client, keys.TASKS) == []
    assert await entries(redis_client, keys.PENDING) == []
    job = await stored_job(redis_client, job_id(ref))
    assert job["f"] == "generate"
    payload, progress = job["a"]
    assert (payload["session_id"], payload["prompt"]) == (ref.session_id, "in the rain")
    assert progress == {"first_started_at": 0.0, "rate_limited": 0, "put_back": 0, "unanswered": 0}


async def test_what_was_pushed_first_is_taken_first(redis_client: Redis) -> None:
    refs = [some_session() for _ in range(3)]
    await push(redis_client, *(document(ref) for ref in refs))
    consumer = roomy_consumer(redis_client)
    await consumer._take_one()
    assert await queued_jobs(redis_client) == {job_id(refs[0])}
    await take_all(redis_client, consumer)
    line = await untyped(redis_client).zrange(keys.LINE + "b2c", 0, -1)
    assert [job.decode() for job in line] == [job_id(ref) for ref in refs]


async def test_the_same_task_pushed_twice_is_one_job(redis_client: Redis) -> None:
    ref = some_session()
    await push(redis_client, document(ref), document(ref, prompt="again"), document(ref))
    await take_all(redis_client, roomy_consumer(redis_client))
    assert await queued_jobs(redis_client) == {job_id(ref)}
    assert await entries(redis_client, keys.PENDING) == []


async def test_however_a_session_is_spelt_it_is_one_job(redis_client: Redis) -> None:
    ref = some_session()
    await push(redis_client, document(ref), document(ref, session_id=ref.session_id.upper()))
    await take_all(redis_client, roomy_consumer(redis_client))
    assert await queued_jobs(redis_client) == {job_id(ref)}


async def test_a_document_that_names_another_owner_does_not_shadow_the_right_one(redis_client: Redis) -> None:
    ref = some_session()
    wrong = SessionRef(ref.channel, some_session().owner_id, ref.session_id)
    await push(redis_client, document(wrong), document(ref))
    await take_all(redis_client, roomy_consumer(redis_client))
    assert await queued_jobs(redis_client) == {job_id(wrong), job_id(ref)}


async def test_what_a_crash_left_in_the_taken_list_is_handed_over(redis_client: Redis) -> None:
    refs = [some_session() for _ in range(3)]
    await lying_taken(redis_client, *(document(ref) for ref in refs))
    assert await roomy_consumer(redis_client).recover() == 3
    assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
    assert await entries(redis_client, keys.PENDING) == []


async def test_a_new_consumer_looks_there_first(redis_client: Redis) -> None:
    left, new = some_session(), some_session()
    await lying_taken(redis_client, document(left))
    await push(redis_client, document(new))
    await roomy_consumer(redis_client)._take_one()
    assert await queued_jobs(redis_client) == {job_id(left), job_id(new)}


async def test_two_identical_documents_in_the_taken_list_leave_none_behind(redis_client: Redis) -> None:
    ref = some_session()
    data = document(ref)
    await lying_taken(redis_client, data, data)
    await roomy_consumer(redis_client).recover()
    assert await queued_jobs(redis_client) == {job_id(ref)}
    assert await entries(redis_client, keys.PENDING) == []


async def test_consumers_and_recoveries_at_once_make_each_document_one_job(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = [some_session() for _ in range(40)]
    monkeypatch.setattr(pending, "LOOKED_AT", 3)
    await push(redis_client, *(document(ref) for ref in refs[:20]))
    await lying_taken(redis_client, *(document(ref) for ref in refs[20:]))
    consumers = [roomy_consumer(redis_client) for _ in range(3)]

    async def take(consumer: Consumer) -> None:
        while documents := await consumer._move_many():
            await consumer._accept(documents)

    await asyncio.gather(*(take(consumer) for consumer in consumers), *(consumer.recover() for consumer in consumers))
    assert await queued_jobs(redis_client) == {job_id(ref) for ref in refs}
    assert await entries(redis_client, keys.PENDING) == []


async def test_a_document_that_another_process_has_handed_over_is_not_run_again(redis_client: Redis) -> None:
    """The recovery read it, the other process handed it over, and the job is done by now."""
    ref = some_session()
    queue = JobQueue(redis_client)
    lengths = await queue.enqueue([Enqueued(document(ref), job_id(ref), GENERATE, task_fields(ref))])
    assert lengths == EnqueueResult(jobs=0, tasks=0, rejects=0)
    assert await queued_jobs(redis_client) == set()
    assert await redis_client.exists(f"arq:job:{job_id(ref)}") == 0
    assert await entries(redis_client, keys.WAKE) == []


async def test_a_job_that_waits_keeps_its_progress_when_its_task_comes_again(redis_client: Redis) -> None:
    ref = some_session()
    progress = json.dumps({"t": None, "f": GENERATE, "a": [{}, {"put_back": 3}], "k": {}, "et": 1}).encode()
    await redis_client.set(f"arq:job:{job_id(ref)}", progress)
    await redis_client.zadd(keys.JOBS, {job_id(ref): 12345})
    await lying_taken(redis_client, document(ref))
    await roomy_consumer(redis_client).recover()
    assert await redis_client.get(f"arq:job:{job_id(ref)}") == progress
    assert await untyped(redis_client).zscore(keys.JOBS, job_id(ref)) == 12345


async def test_a_job_that_lost_its_place_in_the_queue_gets_it_back(redis_client: Redis) -> None:
    ref = some_session()
    await lying_taken(redis_client, document(ref))
    await roomy_consumer(redis_client).recover()
    await untyped(redis_client).zrem(keys.JOBS, job_id(ref))
    await lying_taken(redis_client, document(ref))
    await roomy_consumer(redis_client).recover()
    assert await queued_jobs(redis_client) == {job_id(ref)}


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x00\xff", "not JSON"), (b"[]", "not a JSON object"), (b"{}", "Field required"), (b"", "not JSON")],
)
async def test_a_document_that_names_no_session_is_a_dead_letter(redis_client: Redis, data: bytes, reason: str) -> None:
    await push(redis_client, data)
    await roomy_consumer(redis_client)._take_one()
    (letter,) = await new_dead_letters(redis_client).list()
    assert reason in letter.reason
    assert letter.session_id is None
    assert letter.payload == data.decode(errors="replace")
    assert await queued_jobs(redis_client) == set()
    assert await entries(redis_client, keys.PENDING) == []


async def test_a_bad_document_that_names_its_session_is_a_dead_letter_and_a_job_that_settles_it(
    redis_client: Redis,
) -> None:
    ref = some_session()
    await push(redis_client, document(ref, version=2))
    await roomy_consumer(redis_client)._take_one()
    (letter,) = await new_dead_letters(redis_client).list()
    assert (letter.session_id, letter.request_id) == (ref.session_id, "req_test")
    assert await queued_jobs(redis_client) == {f"reject:{job_id(ref)}"}
    job = await stored_job(redis_client, f"reject:{job_id(ref)}")
    assert job["f"] == "reject"
    assert job["a"][0] == {
        "traceparent": None,
        "channel": "b2c",
        "owner_id": ref.owner_id,
        "session_id": ref.session_id,
        "request_id": "req_test",
        "reason": f"unusable task: {letter.reason}",
    }


async def test_a_bad_document_is_one_dead_letter_however_many_look_at_it(redis_client: Redis) -> None:
    bad = [document(some_session(), version=2), document(some_session(), version=2), b"[]", b"{"]
    await lying_taken(redis_client, *bad)
    consumers, told = [roomy_consumer(redis_client) for _ in range(3)], list[DeadLetterAdded]()
    for consumer in consumers:
        consumer._dead_letters._events.subscribe(DeadLetterAdded, told.append)
    await asyncio.gather(*(consumer.recover() for consumer in consumers))
    letters = await new_dead_letters(redis_client).list()
    assert sorted(letter.id for letter in letters) == sorted({letter.id for letter in letters})
    assert len(letters) == len(bad)
    assert sorted(added.letter.id for added in told) == sorted(letter.id for letter in letters)
    assert len(await queued_jobs(redis_client)) == 2


async def test_a_bad_document_does_not_shadow_the_good_one_of_the_same_session(redis_client: Redis) -> None:
    ref = some_session()
    await push(redis_client, document(ref, image_urls=[]), document(ref))
    await take_all(redis_client, roomy_consumer(redis_client))
    assert await queued_jobs(redis_client) == {f"reject:{job_id(ref)}", job_id(ref)}


async def test_a_monster_is_cut_in_the_dead_letters(redis_client: Redis) -> None:
    await push(redis_client, b"x" * 3_000_000)
    await roomy_consumer(redis_client)._take_one()
    (letter,) = await new_dead_letters(redis_client).list()
    assert len(letter.payload) == 64 * 1024
    assert await entries(redis_client, keys.PENDING) == []


async def test_dead_letters_are_bounded_and_newest_first(redis_client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.queue.dead_letters.MAX_LETTERS", 3)
    letters = new_dead_letters(redis_client)
    for number in range(5):
        await letters.add(str(number).encode(), "a test")
    assert [letter.payload for letter in await letters.list()] == ["4", "3", "2"]
