"""Audits of real ledgers: books in order, each kind of damage, and repairs that pay once whoever else is at it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import pytest
from redis.asyncio import Redis

from support.books import AN_HOUR_AGO, Books
from support.job_side import FaultyPlatform, new_outbox, untyped
from support.platform_side import BALANCE, PlatformSide
from wearon.operations import session_index
from wearon.operations.audit import auditor, paid, store
from wearon.operations.audit.auditor import Auditor
from wearon.operations.audit.books import Kind
from wearon.operations.audit.store import BookStore
from wearon.operations.snapshot import SnapshotReader
from wearon.platform import outages
from wearon.platform.base import Channel, PlatformUnavailable, SessionRef, Status
from wearon.queue import keys
from wearon.tryon.retry_policy import INTERNAL_MESSAGE
from wearon.tryon.run import Outcome

DAYS = timedelta(days=2)


@pytest.fixture
async def books(side: PlatformSide, redis_client: Redis) -> Books:
    found = Books(side, redis_client)
    await found.keep_history_from(AN_HOUR_AGO - timedelta(hours=1))
    return found


async def test_books_in_order_have_no_findings(books: Books, channel: Channel) -> None:
    for _ in range(2):
        books.failed(channel)
        await books.completed(channel)
    books.failed(channel, refunded=3, credits_used=3)
    books.failed(channel, refunded=None, credits_used=0)
    # The platform's own code failed it, and owns its refund, whether or not we see it.
    books.failed(channel, refunded=None, error_message="Timed out")
    books.failed(channel, refunded=None, error_message="Timed out", completed_at=None)
    books.session(channel, Status.PROCESSING)
    # A refund under way: the intent is in the outbox, and the worker has not come to the ledger yet.
    under_way = books.failed(channel, refunded=None)
    await untyped(books.redis).hset(keys.REFUNDS, f"{channel}:{under_way.session_id}", "{}")
    # It has just ended, and what follows is not written yet.
    books.failed(channel, refunded=None, completed_at=datetime.now(UTC))
    books.session(channel, Status.COMPLETED, completed_at=datetime.now(UTC))
    # Its picture may be deleted by now, and its history is not kept as long.
    books.session(channel, Status.COMPLETED, completed_at=datetime.now(UTC) - timedelta(hours=25))
    if channel is Channel.B2B:
        overage = books.failed(channel, refunded=None)
        books.side.sql("update store_credit_transactions set type = 'overage' where store_id = %s", [overage.owner_id])
        books.failed(channel, refunded=None, request_id=None)
    assert await books.found() == set()


Damage = Callable[[Books, Channel], Awaitable[SessionRef]]


async def refund_missing(books: Books, channel: Channel) -> SessionRef:
    return books.failed(channel, refunded=None)


async def refunded_twice(books: Books, channel: Channel) -> SessionRef:
    ref = books.failed(channel)
    books.refund(ref)
    return ref


async def refund_amount(books: Books, channel: Channel) -> SessionRef:
    return books.failed(channel, refunded=1, credits_used=2)


async def refund_of_completed(books: Books, channel: Channel) -> SessionRef:
    ref = await books.completed(channel)
    books.refund(ref)
    return ref


async def picture_missing(books: Books, channel: Channel) -> SessionRef:
    ref = books.session(channel, Status.COMPLETED, completed_at=AN_HOUR_AGO, estimated_cost_usd="0.065")
    await books.write_history(ref)
    return ref


async def paid_twice(books: Books, channel: Channel) -> SessionRef:
    ref = await books.completed(channel)
    await books.write_history(ref, outcome=Outcome.STOPPED)
    return ref


async def history_missing(books: Books, channel: Channel) -> SessionRef:
    ref = await books.completed(channel)
    await books.redis.delete(keys.JOURNAL + ref.session_id)
    await books.write_history(ref, outcome=Outcome.ENDED_ELSEWHERE)
    return ref


async def history_cost(books: Books, channel: Channel) -> SessionRef:
    return await books.completed(channel, estimated_cost_usd="0.0649")


async def session_missing(books: Books, channel: Channel) -> SessionRef:
    ref = await books.completed(channel)
    books.delete(ref)
    return ref


DAMAGES = [
    refund_missing,
    session_missing,
    refund_amount,
    refund_of_completed,
    picture_missing,
    paid_twice,
    history_missing,
    history_cost,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_each_kind_of_damage_is_found(books: Books, channel: Channel, damage: Damage) -> None:
    books.failed(channel)
    await books.completed(channel)
    ref = await damage(books, channel)
    assert await books.found() == {(damage.__name__, ref.session_id)}
    kept, findings = await BookStore(books.redis).read()
    assert kept is not None
    assert (kept.counts, [finding.session_id for finding in findings]) == ({damage.__name__: 1}, [ref.session_id])
    assert kept.examples == list(findings)
    assert (await SnapshotReader(books.redis).read()).books == kept


async def test_only_what_was_paid_is_looked_for_and_all_of_it(
    books: Books, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (paid, session_index):
        monkeypatch.setattr(module, "STEP", 2)  # lines at once
    monkeypatch.setattr(paid, "ASKED_AT_ONCE", 1)
    gone = [await books.completed(channel) for _ in range(5)]
    not_priced, failed, not_paid, left = (books.failed(channel) for _ in range(4))
    await books.write_line(not_priced, cost=None)
    await books.write_line(failed, status="failed")
    await books.write_line(not_paid, status="failed", cost=None)
    await books.write_line(left)
    for ref in (*gone, not_priced, failed, not_paid):
        books.delete(ref)
    # What is not ours stands in nobody's way.
    await books.write_line(SessionRef(channel, "x", "no uuid"))
    await books.redis.zadd(keys.SESSIONS, {"no line": AN_HOUR_AGO.timestamp() * 1e6})
    # What has just ended, or did before the audit begins, is looked at by another audit.
    for at in (datetime.now(UTC), datetime.now(UTC) - DAYS - timedelta(minutes=1)):
        other = books.failed(channel)
        await books.write_line(other, at=at)
        books.delete(other)
    assert await books.found() == {(Kind.SESSION_MISSING, ref.session_id) for ref in (*gone, not_priced, failed)}


async def test_a_paid_session_without_a_row_is_shown_for_two_days_and_changed_by_no_repair(
    books: Books, channel: Channel
) -> None:
    ref = await session_missing(books, channel)
    expected = {(Kind.SESSION_MISSING, ref.session_id)}
    assert await books.found(await books.auditor().audit(repair=True)) == expected
    for later in (timedelta(0), DAYS - timedelta(hours=2)):
        audited = await books.auditor(later=later).audit()
        assert audited.created_from > AN_HOUR_AGO, "the next audit would not look so far back"
        assert await books.found(audited) == expected
    assert await books.found(await books.auditor(later=DAYS).audit()) == set()


async def test_keys_of_the_history_that_hold_something_else_keep_no_refund_from_being_missed(
    books: Books, channel: Channel
) -> None:
    missing, completed = books.failed(channel, refunded=None), await books.completed(channel)
    for key in (keys.SESSIONS, keys.JOURNAL + completed.session_id):
        await books.redis.delete(key)
        await books.redis.set(key, "not ours")
    expected = {(Kind.REFUND_MISSING, missing.session_id), (Kind.HISTORY_MISSING, completed.session_id)}
    assert await books.found() == expected


async def test_two_refunds_of_a_user_are_found(books: Books) -> None:
    """A store's ledger has a key against it."""
    ref = await refunded_twice(books, Channel.B2C)
    assert await books.found() == {(Kind.REFUNDED_TWICE, ref.session_id)}


async def test_a_refund_to_another_owner_is_found_and_stays_found_after_the_repair(
    books: Books, channel: Channel
) -> None:
    ref = books.failed(channel, refunded=None)
    other = books.failed(channel).owner_id
    books.refund(ref, owner_id=other)
    both = {(Kind.REFUND_MISSING, ref.session_id), (Kind.REFUND_OF_ANOTHER, ref.session_id)}
    assert await books.found() == both
    repaired = await books.auditor().audit(DAYS, repair=True)
    assert await books.found(repaired) == {(Kind.REFUND_OF_ANOTHER, ref.session_id)}
    assert books.balance(ref) == BALANCE + 1
    assert await books.found(await books.auditor().audit()) == {(Kind.REFUND_OF_ANOTHER, ref.session_id)}


async def test_a_repair_pays_what_is_missing_once_and_changes_nothing_else(books: Books, channel: Channel) -> None:
    missing = [books.failed(channel, refunded=None, credits_used=2) for _ in range(3)]
    others = books.failed(channel, refunded=None, error_message="Timed out")
    wrong = books.failed(channel, refunded=1, credits_used=2)
    first = await books.auditor().audit(DAYS, repair=True)
    assert {finding.session_id for finding in first.settled} == {ref.session_id for ref in missing}
    assert await books.found(first) == {(Kind.REFUND_AMOUNT, wrong.session_id)}
    again = await books.auditor().audit(DAYS, repair=True)
    assert again.settled == []
    assert [books.balance(ref) for ref in missing] == [BALANCE + 2] * 3
    assert [books.refunds(ref) for ref in missing] == [1] * 3
    assert [books.refunds(ref) for ref in (others, wrong)] == [0, 1]
    assert await untyped(books.redis).hlen(keys.REFUNDS) == 0


async def test_a_redis_that_lost_everything_after_the_session_failed_loses_no_refund(
    books: Books, channel: Channel
) -> None:
    ref = books.session(channel, Status.PROCESSING)
    platform = FaultyPlatform(books.side.platform)
    platform.break_next("ledger_entries")  # the worker dies between failing the session and the refund
    await new_outbox(books.redis, platform).fail(ref, "req_1", INTERNAL_MESSAGE, "a test")
    assert (books.side.status(ref), books.refunds(ref)) == ("failed", 0)
    await untyped(books.redis).flushall()
    assert await books.found() == set()  # a call may still be under way
    later = books.auditor(later=timedelta(minutes=3))
    repaired = await later.audit(DAYS, repair=True)
    assert [finding.session_id for finding in repaired.settled] == [ref.session_id]
    assert (books.balance(ref), books.refunds(ref)) == (BALANCE + 1, 1)


@pytest.mark.parametrize("worker_first", [True, False])
async def test_a_repair_and_a_worker_that_remembers_its_refund_pay_once(
    books: Books, channel: Channel, worker_first: bool
) -> None:
    ref = books.session(channel, Status.PROCESSING)
    platform = FaultyPlatform(books.side.platform)
    platform.break_next("ledger_entries")
    worker = new_outbox(books.redis, platform)
    await worker.fail(ref, "req_1", INTERNAL_MESSAGE, "a test")
    await untyped(books.redis).flushall()
    worker._not_before.clear()

    async def repair() -> Any:
        return await books.auditor(later=timedelta(minutes=3)).audit(DAYS, repair=True)

    at_the_ledger, go_on = asyncio.Event(), asyncio.Event()

    async def stand_still(method: str) -> None:
        if method == "give_back":
            at_the_ledger.set()
            await go_on.wait()

    if worker_first:
        platform.before = stand_still  # it has read the ledger, and is about to pay
        paying = asyncio.create_task(worker.settle_due())
        await at_the_ledger.wait()
        await repair()
        go_on.set()
        await paying
    else:
        await asyncio.gather(worker.settle_due(), repair())
    await worker.settle_due()
    await repair()
    assert (books.balance(ref), books.refunds(ref)) == (BALANCE + 1, 1)


async def test_what_was_open_is_looked_at_when_it_has_ended_and_findings_stay_until_they_are_settled(
    books: Books, channel: Channel
) -> None:
    waiting = books.session(channel, Status.PROCESSING)
    for _ in range(2):
        await books.completed(channel)
    first = await books.auditor().audit()
    assert (first.sessions, first.findings) == (2, [])
    assert first.next_from == AN_HOUR_AGO
    books.set(waiting, status="failed", error_message=INTERNAL_MESSAGE, completed_at=AN_HOUR_AGO)
    second = await books.auditor().audit()
    assert await books.found(second) == {(Kind.REFUND_MISSING, waiting.session_id)}
    third = await books.auditor().audit()
    assert third.created_from > AN_HOUR_AGO
    assert (third.sessions, await books.found(third)) == (1, {(Kind.REFUND_MISSING, waiting.session_id)})
    books.refund(waiting)
    assert await books.found(await books.auditor().audit()) == set()


async def test_where_the_next_audit_begins_does_not_depend_on_a_machines_clock(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(auditor, "datetime", Ahead)
    audited = await Auditor(
        books.redis, books.side.platform, new_outbox(books.redis, books.side.platform), history_hours=24.0
    ).audit()
    assert audited.next_from < datetime.now(UTC)
    kept, _ = await BookStore(books.redis).read()
    assert kept is not None
    assert kept.at is not None
    assert kept.at <= datetime.now(UTC) + timedelta(minutes=1)


async def test_findings_that_are_not_kept_are_found_again(
    books: Books, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (auditor, store):
        monkeypatch.setattr(module, "MOST_KEPT", 1)
    missing = {books.failed(channel, refunded=None).session_id for _ in range(3)}
    for _ in range(2):
        audited = await books.auditor().audit()
        assert {finding.session_id for finding in audited.findings} == missing
    await books.auditor().audit(repair=True)
    assert await books.found(await books.auditor().audit()) == set()


async def test_one_process_audits_within_the_hour_and_a_platform_that_is_away_gives_the_turn_back(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    books.failed(Channel.B2C, refunded=None)
    platform = FaultyPlatform(books.side.platform)
    platform.break_next("ledgers", error=PlatformUnavailable("read ledger: no answer within 10 s"))
    with pytest.raises(PlatformUnavailable):
        await books.auditor(platform).audit_in_turn()
    kept = BookStore(books.redis)
    failed, _ = await kept.read()
    assert failed is not None
    assert (failed.at, failed.error) == (None, "read ledger: no answer within 10 s")
    await books.auditor(platform).audit_in_turn()
    done, _ = await kept.read()
    assert done is not None
    assert (done.error, done.counts) == ("", {"refund_missing": 1})
    asked = len(platform.calls)
    await books.auditor(platform).audit_in_turn()
    assert len(platform.calls) == asked


async def test_an_audit_costs_redis_few_commands(books: Books, side: PlatformSide) -> None:
    if "supabase" in type(side).__name__.lower():
        pytest.skip("Redis is the same")
    for _ in range(50):
        await books.completed(Channel.B2C)
    before = await untyped(books.redis).info("commandstats")
    await books.auditor().audit_in_turn()
    after = await untyped(books.redis).info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    # Once a server's life, each with the EVALSHA that did not find its script.
    calls["cmdstat_evalsha"] -= calls.pop("cmdstat_script|load", 0)
    assert {name: count for name, count in calls.items() if count and "info" not in name} == {
        "cmdstat_set": 1,
        "cmdstat_time": 1,
        "cmdstat_hmget": 2,
        "cmdstat_evalsha": 3,
        "cmdstat_lrange": 50,
        "cmdstat_zcount": 1,
        "cmdstat_zrevrange": 1,
        "cmdstat_zrange": 1,
        "cmdstat_zcard": 1,
        "cmdstat_hset": 1,
    }


async def test_a_cost_is_compared_as_the_column_holds_it(books: Books) -> None:
    ref = await books.completed(Channel.B2B, estimated_cost_usd="0.065000")
    await books.redis.delete(keys.JOURNAL + ref.session_id)
    await books.write_history(ref, cost=Decimal("0.0650000001"))
    assert await books.found() == set()


async def test_a_refund_that_is_made_while_the_ledger_is_read_is_no_finding(books: Books, channel: Channel) -> None:
    ref = books.failed(channel, refunded=None)
    field = f"{channel}:{ref.session_id}"
    await untyped(books.redis).hset(keys.REFUNDS, field, "{}")
    platform = FaultyPlatform(books.side.platform)

    async def settle(method: str) -> None:
        if method == "ledgers":
            books.refund(ref)
            await untyped(books.redis).hdel(keys.REFUNDS, field)

    platform.after = settle
    assert await books.found(await books.auditor(platform).audit()) == set()
    assert books.refunds(ref) == 1
