"""The list of sessions: written with the history, filtered, paged, and searched in bounded steps."""

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from support.history_side import HistorySide
from support.job_side import Buyer, FaultyPlatform, LocalShop, document, untyped
from support.turns import a_store, push
from wearon.operations import counters, session_search, waiting_sessions
from wearon.operations.models import Report, RunningJob
from wearon.operations.session_index import MAX_CAUSES, STEP, SessionIndex, SessionLine, SessionQuery
from wearon.platform import outages
from wearon.platform.base import Channel, Status
from wearon.queue import keys
from wearon.queue.tenants import B2C
from wearon.tryon.image_model import Moderated, RateLimited, RequestRefused

pytestmark = pytest.mark.slow

EVERYTHING = SessionQuery()


@pytest.fixture
def buyer(shop: LocalShop) -> Buyer:
    """One kind of buyer is enough here."""
    return Buyer(shop, Channel.B2C)


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HistorySide:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    return HistorySide(redis_client, platform, tmp_path)


async def fill(redis: Redis, count: int, **fields: object) -> list[str]:
    """Lines that other processes wrote, one each second, the last one now; their ids, newest first."""
    now = time.time()
    ids = [str(uuid4()) for _ in range(count)]
    line = {"owner_id": "owner", "request_id": "req_other", "channel": "b2c", "status": "completed", **fields}
    await untyped(redis).zadd(keys.SESSIONS, {id_: round((now - age) * 1e6) for age, id_ in enumerate(ids)})
    await untyped(redis).hset(keys.SESSION_LINES, mapping={id_: json.dumps(line, separators=(",", ":")) for id_ in ids})
    return ids


async def listed(side: HistorySide, **query: object) -> list[str]:
    return [line.session_id for line in (await side.search.page(SessionQuery(**query))).sessions]  # type: ignore[arg-type]


async def test_every_attempt_says_how_it_ended_and_each_filter_finds_it(side: HistorySide, shop: LocalShop) -> None:
    b2c, b2b = Buyer(shop, Channel.B2C), Buyer(shop, Channel.B2B)
    completed, moderated, retried = await b2c.buy(), await b2b.buy(), await b2c.buy()
    await side.run(completed)
    side.image_model.answers.append(Moderated("safety"))
    await side.run(moderated)
    side.image_model.answers.append(RateLimited("429", 7.0))
    await side.run(retried)
    page = await side.search.page(EVERYTHING)
    assert [line.session_id for line in page.sessions] == [ref.session_id for ref in (retried, moderated, completed)]
    assert (page.kept, page.cursor) == (3, "")
    waits, failed, done = page.sessions
    assert (waits.status, waits.reason, waits.attempt) == ("retried", "rate_limit", 1)
    assert (failed.status, failed.reason, failed.refund, failed.channel) == (
        "failed",
        "moderation",
        "given_back",
        "b2b",
    )
    assert (done.status, done.refund, done.request_id) == ("completed", None, "req_test")
    assert done.cost_usd is not None

    assert await listed(side, status="failed") == [moderated.session_id]
    assert await listed(side, reason="rate_limit") == [retried.session_id]
    assert await listed(side, channel=Channel.B2C, status="completed") == [completed.session_id]
    assert await listed(side, owner_id=moderated.owner_id) == [moderated.session_id]
    assert await listed(side, refund="given_back") == [moderated.session_id]
    assert await listed(side, until=page.sessions[0].at) == [moderated.session_id, completed.session_id]
    assert await listed(side, since=page.sessions[1].at) == [retried.session_id, moderated.session_id]
    assert await listed(side, worker="worker-1") == [ref.session_id for ref in (retried, moderated, completed)]
    assert await listed(side, worker="worker") == []
    await side.run(retried)
    assert await listed(side, status="completed") == [retried.session_id, completed.session_id]


async def test_why_each_attempt_did_not_complete_stays_and_is_what_was_counted(
    side: HistorySide, platform: FaultyPlatform, shop: LocalShop
) -> None:
    b2c = Buyer(shop, Channel.B2C)
    twice, failed, expected, at_once = [await b2c.buy() for _ in range(4)]
    for error in (RateLimited("429", 7.0), RateLimited("429", 7.0), None):
        side.image_model.answers += [error] if error else []
        await side.run(twice)
    side.image_model.answers += [RateLimited("429", 7.0), RequestRefused("400")]
    platform.break_next("ledger_entries")
    await side.run(failed)
    await side.run(failed)
    side.image_model.answers.append(Moderated("safety"))
    await side.run(expected)
    await side.run(at_once)
    lines = {line.session_id: line.causes for line in (await side.search.page(EVERYTHING)).sessions}
    assert lines == {
        twice.session_id: ["retried:openai.rate_limited.generate"],
        failed.session_id: ["failed:openai.refused.generate", "retried:openai.rate_limited.generate"],
        expected.session_id: ["expected:openai.moderated.generate"],
        at_once.session_id: [],
    }
    assert await listed(side, cause="retried:") == [failed.session_id, twice.session_id]
    assert await listed(side, cause="failed:") == [failed.session_id]
    assert await listed(side, cause="failed:openai.refused.") == [failed.session_id]
    assert await listed(side, cause="failed:supabase.") == []

    key = counters.minute_key(datetime.now(UTC))
    assert await untyped(side.redis).hget(key, "refunded:openai.refused.generate") is None
    for intent in await side.outbox.pending():
        await side.outbox.settle(intent)
        await side.outbox.settle(intent)
    assert await listed(side, cause="failed:", refund="given_back") == [failed.session_id]
    counted = {
        name: int(number)
        for minute in await side.redis.keys(f"{keys.MINUTE}*")
        for name, number in (await untyped(side.redis).hgetall(minute)).items()
        if b"openai.refused" in name
    }
    assert counted == {b"failed:openai.refused.generate": 1, b"refunded:openai.refused.generate": 1}


async def test_of_what_is_retried_without_end_the_newest_causes_stay(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    causes = [f"retried:openai.away.{step}" for step in "abcdefgh"]
    await fill(side.redis, 1, status="retried", causes=causes)
    (id_,) = await listed(side)
    line = await untyped(side.redis).hget(keys.SESSION_LINES, id_)
    await untyped(side.redis).hset(keys.SESSION_LINES, ref.session_id, line)
    side.image_model.answers.append(RateLimited("429", 7.0))
    await side.run(ref)
    ours = (await side.search.page(SessionQuery(cause="retried:openai.rate"))).sessions[0]
    assert ours.causes == ["retried:openai.rate_limited.generate", *causes[:7]]


async def test_a_retried_session_that_is_failed_as_an_orphan_has_failed(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(RateLimited("429", 7.0))
    await side.run(ref)
    await side.outbox.fail(ref, request_id="", error_message="Internal error during generation", reason="orphan")
    (line,) = (await side.search.page(EVERYTHING)).sessions
    assert (line.status, line.refund, line.causes) == (
        "failed",
        "given_back",
        ["retried:openai.rate_limited.generate"],
    )


async def test_what_waits_is_listed_from_the_queue_and_paged(
    side: HistorySide, redis_client: Redis, shop: LocalShop
) -> None:
    b2c, store = Buyer(shop, Channel.B2C), a_store()
    early = [job.rsplit(":", 1)[-1] for job in await push(redis_client, B2C, 3)]
    await asyncio.sleep(0.002)  # lines of one millisecond have no order
    late = [job.rsplit(":", 1)[-1] for job in await push(redis_client, store, 2)]
    await asyncio.sleep(0.002)
    pushed = await b2c.buy()
    await untyped(redis_client).lpush(
        keys.TASKS, document(pushed, created_at=datetime.now(UTC).isoformat()), b"no task"
    )
    everything = [pushed.session_id, *reversed(late), *reversed(early)]
    assert await listed(side, status="waiting") == everything
    assert await listed(side, status="waiting", channel=Channel.B2B) == everything[1:3]
    assert await listed(side, status="waiting", owner_id=store.partition(":")[2]) == everything[1:3]
    assert await listed(side, status="waiting", channel=Channel.B2C) == [pushed.session_id, *reversed(early)]
    assert await listed(side, status="waiting", text=f"what about {early[1]}?") == [early[1]]
    assert await listed(side, status="waiting", until=datetime.now(UTC) - timedelta(hours=1)) == []
    query, found, cursor = SessionQuery(status="waiting"), list[str](), ""
    for size in (2, 2, 2):
        page = await side.search.page(query, cursor, limit=2)
        assert (len(page.sessions), page.kept) == (size, 7)  # what is no task waits, too
        found += [line.session_id for line in page.sessions]
        cursor = page.cursor
    assert (found, cursor) == (everything, "")
    far = await side.search.page(query, "1790000000000000", limit=2)
    assert (far.sessions, far.cursor) == ([], "")


async def test_what_waits_for_another_attempt_waits_since_it_was_due(side: HistorySide, redis_client: Redis) -> None:
    began_before, new = a_store(), a_store()
    (again,), (first,) = await push(redis_client, began_before), await push(redis_client, new)
    due_ms = round((time.time() - 30) * 1000)
    # As `take.lua` puts it there: before all jobs that have not begun.
    await untyped(redis_client).zadd(f"{keys.LINE}{began_before}", {again: due_ms - 1e13})
    page = await side.search.page(SessionQuery(status="waiting"))
    assert [line.session_id for line in page.sessions] == [first.rsplit(":", 1)[-1], again.rsplit(":", 1)[-1]]
    assert page.sessions[1].at.timestamp() == pytest.approx(due_ms / 1000)
    assert len(await listed(side, status="waiting", since=datetime.now(UTC) - timedelta(minutes=1))) == 2


async def test_the_event_loop_turns_while_many_that_wait_are_read(
    side: HistorySide, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {f"b2c:u:{uuid4()}": time.time() * 1000 + number for number in range(500)}
    await untyped(redis_client).zadd(f"{keys.LINE}{B2C}", jobs)
    await untyped(redis_client).zadd(keys.WAITING, {B2C: len(jobs)})
    turns, read = [0], Counter[int]()

    async def turn() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    def note(place: tuple[bytes, float], of_job: Any = waiting_sessions._of_job) -> SessionLine | None:
        read[turns[0]] += 1
        return of_job(place)  # type: ignore[no-any-return]

    monkeypatch.setattr(waiting_sessions, "_of_job", note)
    turning = asyncio.create_task(turn())
    page = await side.search.page(SessionQuery(status="waiting", since=datetime(2026, 1, 1, tzinfo=UTC)))
    turning.cancel()
    assert (len(page.sessions), page.cursor) == (50, "50")
    assert read.total() == 500
    assert max(read.values()) <= waiting_sessions.AT_ONCE


async def test_what_is_due_again_later_waits_and_what_runs_does_not(side: HistorySide, redis_client: Redis) -> None:
    in_line = (await push(redis_client, B2C, 1))[0].rsplit(":", 1)[-1]
    later, of_store, runs = (str(uuid4()) for _ in range(3))
    due_ms = round((time.time() + 50) * 1000)
    jobs = {f"b2c:u:{later}": due_ms, f"b2b:s:{of_store}": due_ms - 1, f"b2c:u:{runs}": due_ms}
    await untyped(redis_client).zadd(keys.JOBS, {**jobs, "no job": due_ms})
    await untyped(redis_client).hset(keys.RUNNING, f"b2c:u:{runs}", "worker-1")
    page = await side.search.page(SessionQuery(status="waiting"))
    assert [line.session_id for line in page.sessions] == [later, of_store, in_line]
    assert page.kept == 4  # what names no session waits, too
    assert page.sessions[0].at.timestamp() == pytest.approx(due_ms / 1000)
    queues = (await side.status.read()).queues
    assert queues is not None
    assert queues.waiting == page.kept
    assert await listed(side, status="waiting", owner_id="s") == [of_store]
    await untyped(redis_client).zadd(keys.JOBS, {f"b2c:u:{n}": 1 for n in range(1500)})
    many = await side.search.page(SessionQuery(status="waiting"))
    assert (len(many.sessions), many.kept) == (50, 1504)


async def test_a_second_task_of_an_ended_session_does_not_change_its_line(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    await side.run(ref)
    (line,) = (await side.search.page(EVERYTHING)).sessions
    assert (line.status, line.attempt) == ("completed", 1)


async def test_a_refund_that_is_settled_later_changes_the_refund_alone(
    side: HistorySide, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(Moderated("safety"))
    platform.break_next("ledger_entries")
    await side.run(ref)
    (before,) = (await side.search.page(EVERYTHING)).sessions
    (intent,) = await side.outbox.pending()
    await side.outbox.settle(intent)
    (after,) = (await side.search.page(EVERYTHING)).sessions
    assert (before.refund, after.refund) == ("postponed", "given_back")
    assert after.model_copy(update={"refund": "postponed"}) == before


async def test_what_no_attempt_ended_is_listed_by_its_refund(side: HistorySide, buyer: Buyer) -> None:
    orphan = await buyer.buy()
    await side.outbox.fail(orphan, request_id="", error_message="Internal error during generation", reason="orphan")
    (line,) = (await side.search.page(EVERYTHING)).sessions
    assert (line.session_id, line.status, line.refund) == (orphan.session_id, "failed", "given_back")


async def test_it_goes_on_page_by_page_and_misses_none(redis_client: Redis) -> None:
    ids = await fill(redis_client, 2 * STEP + 7)
    index, found, cursor = SessionIndex(redis_client), list[str](), ""
    while True:
        page = await index.page(EVERYTHING, [], cursor, 200)
        found += [line.session_id for line in page.sessions]
        assert page.kept == len(ids)
        if not (cursor := page.cursor):
            break
        await fill(redis_client, 1)  # the list grows meanwhile, in front of what is read
        ids_now = await untyped(redis_client).zcard(keys.SESSIONS)
        await untyped(redis_client).zpopmax(keys.SESSIONS, ids_now - len(ids))
    assert found == ids


async def test_any_part_of_an_id_is_found_wherever_it_stands(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    await side.run(ref, request_id="req_8f3aQx91")
    await fill(side.redis, 3 * STEP)
    line = f'{{"event": "step done", "session_id": "{ref.session_id}", "request_id": "req_8f3aQx91"}}'
    for text in (
        ref.session_id[:6],
        ref.session_id[10:20].upper(),
        ref.owner_id[-8:],
        "req_8f3aQx91",
        "8f3aQx",
        f"hello, what about {ref.session_id[-12:]}? It failed!",
        f"see https://shop.example/generated/{ref.session_id}.jpg",
        line,
    ):
        assert ref.session_id in await listed(side, text=text), text
    assert await listed(side, text="req_8f3aQx91", status="failed") == []
    for text in ("zzzzzz", "compl", "completed", '"status"', "no id in here"):
        assert await listed(side, text=text) == [], text


async def test_a_call_looks_at_so_many_lines_at_most(redis_client: Redis) -> None:
    await fill(redis_client, 24 * STEP)
    index = SessionIndex(redis_client)
    await index.page(EVERYTHING, [], "", 1)  # loads the script, if no other test has
    await redis_client.config_resetstat()
    page = await index.page(SessionQuery(status="failed"), [], "", 50)
    assert (page.sessions, bool(page.cursor)) == ([], True)
    asked = (await redis_client.info("commandstats"))["cmdstat_evalsha"]
    assert asked["calls"] == 20
    assert page.searched_to is not None
    assert (await index.page(SessionQuery(status="failed"), [], page.cursor, 50)).cursor == ""
    await redis_client.config_resetstat()
    await index.page(SessionQuery(since=datetime.now(UTC) - timedelta(minutes=1), status="failed"), [], "", 50)
    assert (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"] == 1


async def test_a_users_sessions_do_not_end_at_fifty(side: HistorySide, shop: LocalShop) -> None:
    buyer = Buyer(shop, Channel.B2C)
    refs = [await buyer.buy() for _ in range(60)]
    owner = refs[0].owner_id
    first = await side.search.page(SessionQuery(text=owner))
    second = await side.search.page(SessionQuery(text=owner), first.cursor)
    assert len(first.sessions) == 50
    found = [line.session_id for line in first.sessions + second.sessions]
    assert sorted(found) == sorted({ref.session_id for ref in refs})
    assert second.cursor == ""
    assert {line.status for line in first.sessions} == {Status.QUEUED.value}


async def test_of_several_users_in_one_text_no_session_is_passed_over(side: HistorySide, shop: LocalShop) -> None:
    refs = []
    for buyer in (Buyer(shop, Channel.B2C), Buyer(shop, Channel.B2B)):
        refs += [await buyer.buy() for _ in range(5)]
    query, found, cursor = SessionQuery(text=f"{refs[-1].owner_id} or {refs[0].owner_id}?"), list[str](), ""
    for _ in range(10):
        page = await side.search.page(query, cursor, limit=3)
        assert len(page.sessions) <= 3
        found += [line.session_id for line in page.sessions]
        if not (cursor := page.cursor):
            break
    assert (sorted(found), cursor) == (sorted(ref.session_id for ref in refs), "")


async def test_a_request_of_b2c_is_on_one_page(side: HistorySide, buyer: Buyer) -> None:
    await side.run(await buyer.buy())
    page = await side.search.page(SessionQuery(text="req_test"), limit=1)
    assert len(page.sessions) == 1
    assert (await side.search.page(SessionQuery(text="req_test"), page.cursor, limit=1)).sessions == []


async def test_the_cursor_of_another_list_is_no_outage(side: HistorySide) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        await side.search.page(EVERYTHING, "2026-11-24T18:00:00+00:00")


async def test_more_than_the_platform_gives_at_once_has_another_page(
    side: HistorySide, shop: LocalShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "ASKED_AT_ONCE", 2)
    buyer = Buyer(shop, Channel.B2C)
    refs = [await buyer.buy() for _ in range(3)]
    page = await side.search.page(SessionQuery(text=refs[0].owner_id), limit=5000)
    assert (len(page.sessions), bool(page.cursor)) == (2, True)


async def test_it_is_found_while_the_platform_is_away(
    side: HistorySide, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    platform.break_next("search_sessions")
    (line,) = (await side.search.page(SessionQuery(text=ref.session_id))).sessions
    assert (line.session_id, line.status) == (ref.session_id, "completed")


async def test_what_runs_stands_on_top(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(RateLimited("429", 7.0))
    await side.run(ref)
    job = RunningJob(
        session_id=ref.session_id, request_id="req_now", channel=ref.channel, owner_id=ref.owner_id, step="photos",
        step_s=1.0, age_s=2.0, attempt=2, began_at=datetime.now(UTC),
    )  # fmt: skip
    report = Report(host="h", pid=1, version="1", capacity=1, busy=1, jobs=[job])
    await untyped(side.redis).hset(keys.REPORTS, "worker-1", report.model_dump_json())
    await untyped(side.redis).zadd(keys.WORKERS, {"worker-1": (time.time() + 10) * 1000})
    for query in (EVERYTHING, SessionQuery(status="running"), SessionQuery(text=ref.session_id)):
        (line,) = (await side.search.page(query)).sessions
        assert (line.session_id, line.status, line.worker) == (ref.session_id, "running", "worker-1")
    assert await listed(side, status="running", worker="worker-1") == [ref.session_id]
    assert await listed(side, status="running", worker="worker-2") == []
    (again,) = (await side.search.page(SessionQuery(cause="retried:"))).sessions
    assert (again.session_id, again.status) == (ref.session_id, "running")
    assert await listed(side, status="running", text="req_other") == []
    assert await listed(side, status="retried") == []


async def test_it_is_kept_as_long_as_the_history_and_no_longer(side: HistorySide, buyer: Buyer) -> None:
    (old, _) = await fill(side.redis, 2)
    await untyped(side.redis).zadd(keys.SESSIONS, {old: round((time.time() - 24 * 3600 - 1) * 1e6)})
    await side.run(await buyer.buy())
    assert await untyped(side.redis).hget(keys.SESSION_LINES, old) is None
    assert await untyped(side.redis).zcard(keys.SESSIONS) == await untyped(side.redis).hlen(keys.SESSION_LINES) == 2
    for key in (keys.SESSIONS, keys.SESSION_LINES):
        assert 0 < await side.redis.ttl(key) <= 24 * 3600


async def test_the_oldest_lines_make_room(side: HistorySide, buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.operations.history.MOST_SESSIONS", 3)
    ids = await fill(side.redis, 5)
    ref = await buyer.buy()
    await side.run(ref)
    assert await listed(side) == [ref.session_id, *ids[:2]]
    assert await untyped(side.redis).hlen(keys.SESSION_LINES) == 3


async def test_without_a_history_there_is_no_list(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = HistorySide(redis_client, platform, tmp_path, journal_hours=0)
    await side.run(await buyer.buy())
    assert await redis_client.keys("wearon:sessions*") == []


async def test_a_line_weighs_less_than_a_kilobyte(redis_client: Redis) -> None:
    line = SessionLine(
        session_id=str(uuid4()), at=datetime.now(UTC), owner_id=str(uuid4()), request_id="req_" + "x" * 96,
        channel="b2b", status="failed", reason="rate_limit", refund="already_given_back", attempt=12, took_s=123.456,
        worker="w" * 100, causes=[f"retried:supabase.storage_away.step_{n}" for n in range(MAX_CAUSES)],
    )  # fmt: skip
    before = (await redis_client.info("memory"))["used_memory"]
    await fill(redis_client, 5000, **json.loads(line.kept()))
    assert (await redis_client.info("memory"))["used_memory"] - before < 5000 * 1024


async def test_what_others_wrote_there_is_passed_over(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref, request_id='","status":"failed","x":"')
    hostile = {"\xff": "\xff", "a" * 5000: "[" * 5000, "b": "null", "c": "{}", "d": '{"at":1}', "e": "", "f": "[1]"}
    await untyped(side.redis).hset(keys.SESSION_LINES, mapping=hostile)
    await untyped(side.redis).zadd(keys.SESSIONS, {**dict.fromkeys(hostile, 1.7e15), "gone": "inf", "older": "-inf"})
    assert await listed(side) == [ref.session_id]
    assert await listed(side, status="failed") == []
    await side.redis.delete(keys.SESSIONS)
    await untyped(side.redis).set(keys.SESSIONS, "what others wrote")
    other = await buyer.buy()
    await side.run(other)
    assert (await side.history(other)).where == "Completed."
    assert [event.kind for event in (await side.history(other)).events][-1] == "completed"
