"""Failing and refunding exactly once: every crash point, every payer, on a real Redis and a real ledger."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from support.job_side import (
    Buyer,
    FaultyPlatform,
    LocalShop,
    new_outbox,
    untyped,
)
from wearon.local.credits import DEMO_CREDITS
from wearon.observability.tracing import Tracing, outgoing_headers
from wearon.platform.base import Channel, PlatformRefused, SessionRef
from wearon.queue import keys
from wearon.queue.worker_files import WorkerFiles
from wearon.refunds import outbox as refunds
from wearon.refunds.intents import Intent, dump, new_intent
from wearon.refunds.outbox import LOCK_S, RefundOutbox

pytestmark = pytest.mark.slow

MESSAGE = "Internal error during generation"


async def fail(outbox: RefundOutbox, ref: SessionRef) -> None:
    await outbox.fail(ref, "req_test", MESSAGE, "a test")


async def locks(redis: Redis) -> list[bytes]:
    return list(await untyped(redis).keys(f"{keys.REFUND_LOCK}*"))


async def let_locks_end(redis: Redis) -> None:
    """What time does with the locks of a dead process."""
    for lock in await locks(redis):
        await redis.delete(lock)


async def by_hand(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in await untyped(redis).hvals(keys.REFUNDS_IN_REVIEW)]


async def test_a_failed_session_tells_its_shopper_and_the_credit_is_back(
    redis_client: Redis, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    assert await buyer.balance() == DEMO_CREDITS - 1
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, ref)
    row = shop.row(ref)
    assert (row["status"], row["error_message"]) == ("failed", MESSAGE)
    assert row["completed_at"] is not None
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1
    assert await outbox.pending() == []
    assert await locks(redis_client) == []


@pytest.mark.parametrize("traceparent", [f"00-{'ab' * 16}-{'cd' * 8}-01", None])
async def test_a_later_try_carries_the_ids_of_the_run_that_failed(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, traceparent: str | None
) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    platform.break_next("fail_session")
    carried: list[dict[str, str]] = []

    async def note(method: str) -> None:
        carried.append(outgoing_headers())

    platform.before = note
    if traceparent:
        with Tracing().entry("generate", SpanKind.CONSUMER, request_id="req_test", traceparent=traceparent):
            await fail(new_outbox(redis_client, platform), ref)
    else:
        await fail(new_outbox(redis_client, platform), ref)
    await new_outbox(redis_client, platform).settle_due()  # another process
    assert len(shop.refunds(ref)) == 1
    assert len(carried) > 3
    assert {headers["X-Request-Id"] for headers in carried} == {"req_test"}
    traces = {headers["traceparent"].split("-")[1] for headers in carried}
    assert traces == {"ab" * 16 if traceparent else ref.session_id.replace("-", "")}


async def test_failing_again_gives_nothing_again(redis_client: Redis, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    for _ in range(3):
        await fail(new_outbox(redis_client, shop.platform), ref)
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1


@pytest.mark.parametrize("answer_lost", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["fail_session", "find_session", "ledger_entries", "give_back"])
@pytest.mark.parametrize("times", [1, 3])
async def test_an_outage_at_any_step_is_made_good_exactly_once(
    redis_client: Redis,
    shop: LocalShop,
    platform: FaultyPlatform,
    buyer: Buyer,
    method: str,
    answer_lost: bool,
    times: int,
) -> None:
    ref = await buyer.buy()
    platform.break_next(method, answer_lost=answer_lost, times=times)
    await fail(new_outbox(redis_client, platform), ref)
    assert len(await new_outbox(redis_client, platform).pending()) == 1
    for _ in range(times):
        await let_locks_end(redis_client)
        # Another process each time: it knows what Redis and the platform know, and nothing else.
        await new_outbox(redis_client, platform).settle_due()
    assert shop.status(ref) == "failed"
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1
    assert await new_outbox(redis_client, platform).pending() == []


class Killed(BaseException):
    """A SIGKILL, as far as the code can tell: nothing after it is run."""


def kill_at(platform: FaultyPlatform, when: str, method: str) -> None:
    """Have the process killed before or after it calls that method of the platform."""

    async def kill(called: str) -> None:
        if called == method:
            raise Killed

    setattr(platform, when, kill)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["fail_session", "find_session", "ledger_entries", "give_back"])
async def test_a_kill_at_any_step_is_made_good_exactly_once(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, method: str, when: str
) -> None:
    ref = await buyer.buy()
    kill_at(platform, when, method)
    with pytest.raises(Killed):
        await fail(new_outbox(redis_client, platform), ref)
    outbox = new_outbox(redis_client, shop.platform)
    await outbox.settle_due()
    assert len(await outbox.pending()) == 1, "the dead process's lock holds as long as its call could be under way"
    await let_locks_end(redis_client)
    await outbox.settle_due()
    assert shop.status(ref) == "failed"
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1
    assert await outbox.pending() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["fail_session", "ledger_entries", "give_back"])
async def test_the_lock_of_a_worker_that_has_surely_died_is_taken_over_at_once(
    redis_client: Redis,
    shop: LocalShop,
    platform: FaultyPlatform,
    buyer: Buyer,
    tmp_path: Path,
    method: str,
    when: str,
) -> None:
    ref = await buyer.buy()
    kill_at(platform, when, method)
    with pytest.raises(Killed):
        await fail(new_outbox(redis_client, platform, files=WorkerFiles(tmp_path, "host:1:a")), ref)
    files = WorkerFiles(tmp_path, "host:1:b")
    outbox = new_outbox(redis_client, shop.platform, files=files)
    await outbox.settle_due()
    assert len(await outbox.pending()) == 1, "it may live"
    files.dead.add("host:1:a")
    await outbox.settle_due()
    if (method, when, ref.channel) == ("give_back", "before", Channel.B2C):
        (lock,) = await locks(redis_client)
        assert 0 < await redis_client.ttl(lock) <= LOCK_S
        last = WorkerFiles(tmp_path, "host:1:c")
        last.dead.add("host:1:b")
        await new_outbox(redis_client, shop.platform, files=last).settle_due()
        assert shop.refunds(ref) == [], "a call of a user's refund may be under way, whoever died since"
        await let_locks_end(redis_client)
        await new_outbox(redis_client, shop.platform).settle_due()
    assert await locks(redis_client) == []
    assert await outbox.pending() == []
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1


@pytest.mark.parametrize("held", ["text", "a list"])
async def test_a_lock_that_would_never_end_gets_an_end(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, held: str
) -> None:
    ref = await buyer.buy()
    lock = f"{keys.REFUND_LOCK}{ref.channel}:{ref.session_id}"
    await (untyped(redis_client).lpush(lock, held) if held == "a list" else redis_client.set(lock, held))
    outbox = new_outbox(redis_client, platform)
    await fail(outbox, ref)
    assert shop.refunds(ref) == [], "it may be another process's"
    left_ms = await redis_client.pttl(lock)
    assert 0 < left_ms <= LOCK_S * 1000
    await new_outbox(redis_client, platform).settle_due()
    assert await redis_client.pttl(lock) <= left_ms, "it is not held for longer each time"
    await redis_client.pexpire(lock, 0)
    await new_outbox(redis_client, platform).settle_due()
    assert len(shop.refunds(ref)) == 1


async def test_the_lock_stays_when_a_users_refund_is_in_doubt(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform
) -> None:
    buyer = Buyer(shop, Channel.B2C)
    ref = await buyer.buy()
    platform.break_next("give_back", answer_lost=True)
    await fail(new_outbox(redis_client, platform), ref)
    (lock,) = await locks(redis_client)
    assert await redis_client.ttl(lock) > 10
    await new_outbox(redis_client, platform).settle_due()
    assert platform.calls.count("give_back") == 1
    await let_locks_end(redis_client)
    await new_outbox(redis_client, platform).settle_due()
    assert platform.calls.count("give_back") == 1, "the ledger was read and the refund found there"
    assert len(shop.refunds(ref)) == 1


async def test_a_stores_refund_in_doubt_is_repeated_at_once(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform
) -> None:
    buyer = Buyer(shop, Channel.B2B)
    ref = await buyer.buy()
    platform.break_next("give_back", answer_lost=True)
    await fail(new_outbox(redis_client, platform), ref)
    assert await locks(redis_client) == []
    await new_outbox(redis_client, platform).settle_due()
    assert len(shop.refunds(ref)) == 1
    assert await buyer.balance() == DEMO_CREDITS


async def test_a_lock_that_ended_before_the_payment_stops_it(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    """The platform answered, but so slowly that another process took the intent up meanwhile."""
    ref = await buyer.buy()
    other = new_outbox(redis_client, shop.platform)

    async def dawdle(method: str) -> None:
        if method == "ledger_entries":
            await let_locks_end(redis_client)
            await other.settle_due()

    platform.after = dawdle
    outbox = new_outbox(redis_client, platform)
    await fail(outbox, ref)
    assert "give_back" not in platform.calls
    assert len(shop.refunds(ref)) == 1
    assert await buyer.balance() == DEMO_CREDITS
    assert await outbox.pending() == []


async def test_a_lock_that_was_renewed_too_slowly_stops_the_payment(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis renewed it, but what is left of it by the time we know may not last for the call."""
    monkeypatch.setattr(refunds, "RENEWED_WITHIN_S", -1.0)
    ref = await buyer.buy()
    await fail(new_outbox(redis_client, platform), ref)
    assert "give_back" not in platform.calls
    assert len(await locks(redis_client)) == 1, "another process may have it"
    monkeypatch.undo()
    await let_locks_end(redis_client)
    await new_outbox(redis_client, platform).settle_due()
    assert len(shop.refunds(ref)) == 1


async def test_the_lock_is_as_long_as_ever_when_the_payment_begins(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform
) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    left: list[int] = []

    async def watch(method: str) -> None:
        (lock,) = await locks(redis_client)
        if method == "ledger_entries":
            await redis_client.expire(lock, 2)
        if method == "give_back":
            left.append(await redis_client.ttl(lock))

    platform.before = watch
    await fail(new_outbox(redis_client, platform), ref)
    assert left[0] > 10


async def test_many_processes_at_once_pay_once(redis_client: Redis, shop: LocalShop, buyer: Buyer) -> None:
    refs = [await buyer.buy() for number in range(5)]
    outboxes = [new_outbox(redis_client, shop.platform) for _ in range(4)]
    await asyncio.gather(*(fail(outbox, ref) for outbox in outboxes for ref in refs))
    await asyncio.gather(*(outbox.settle_due() for outbox in outboxes))
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(refs[0])) == 5
    assert await outboxes[0].pending() == []


async def test_what_the_cron_failed_is_not_refunded_again(redis_client: Redis, shop: LocalShop) -> None:
    buyer = Buyer(shop, Channel.B2C)
    ref = await buyer.buy()
    shop.cron(ref)
    await fail(new_outbox(redis_client, shop.platform), ref)
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1


async def test_what_the_cron_failed_and_will_refund_later_is_left_to_it(redis_client: Redis, shop: LocalShop) -> None:
    buyer = Buyer(shop, Channel.B2C)
    ref = await buyer.buy()
    await shop.platform.fail_session(ref, "timed out", datetime.now(UTC) - timedelta(seconds=1))
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, ref)
    assert len(shop.refunds(ref)) == 0
    assert shop.row(ref)["error_message"] == "timed out"
    assert await outbox.pending() == []


async def test_a_session_completed_meanwhile_stays_completed_and_paid(
    redis_client: Redis, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    shop.set_row(ref, status="completed")
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, ref)
    assert shop.status(ref) == "completed"
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert len(shop.refunds(ref)) == 0
    assert await outbox.pending() == []


@pytest.mark.parametrize("known", [True, False], ids=["somebody else's", "unknown"])
async def test_a_session_of_nobody_or_somebody_else_is_not_touched(
    redis_client: Redis, shop: LocalShop, buyer: Buyer, known: bool
) -> None:
    ref = await buyer.buy()
    stranger = "00000000-0000-4000-8000-00000000ffff"
    wrong = SessionRef(ref.channel, stranger, ref.session_id if known else stranger)
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, wrong)
    assert shop.status(ref) == "queued"
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert await outbox.pending() == []


async def test_an_overage_is_put_before_a_person(redis_client: Redis, shop: LocalShop) -> None:
    buyer = Buyer(shop, Channel.B2B)
    ref = await buyer.buy()
    shop.sql("update store_credit_transactions set type = 'overage'")
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, ref)
    assert shop.status(ref) == "failed"
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert shop.refunds(ref) == []
    (entry,) = await by_hand(redis_client)
    assert (entry["session_id"], entry["why"]) == (ref.session_id, "charged in money as an overage")
    assert await outbox.pending() == []


async def test_a_credit_account_that_is_gone_keeps_the_intent_and_leaves_no_ledger_row(
    redis_client: Redis, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    for account in ("user_credits", "store_credits", "store_shopper_credits"):
        shop.sql(f"delete from {account}")
    outbox = new_outbox(redis_client, shop.platform)
    await fail(outbox, ref)
    assert shop.status(ref) == "failed"
    assert len(shop.refunds(ref)) == 0
    assert len(await outbox.pending()) == 1


async def test_more_credits_than_one_come_back(redis_client: Redis, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy(credits=3)
    assert await buyer.balance() == DEMO_CREDITS - 3
    await fail(new_outbox(redis_client, shop.platform), ref)
    assert await buyer.balance() == DEMO_CREDITS
    assert [row["amount"] for row in shop.refunds(ref)] == [3]


async def test_nothing_has_happened_when_the_intent_could_not_be_written(
    redis_client: Redis, shop: LocalShop, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await buyer.buy()

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(redis_client, "hsetnx", away)
    with pytest.raises(RedisConnectionError):
        await fail(new_outbox(redis_client, shop.platform), ref)
    assert shop.status(ref) == "queued"
    assert len(shop.refunds(ref)) == 0


async def test_redis_away_after_the_payment_does_not_pay_again(
    redis_client: Redis, shop: LocalShop, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await buyer.buy()

    def away(**_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(redis_client, "pipeline", away)
        with pytest.raises(RedisConnectionError):
            await fail(new_outbox(redis_client, shop.platform), ref)
    await let_locks_end(redis_client)
    outbox = new_outbox(redis_client, shop.platform)
    await outbox.settle_due()
    assert len(shop.refunds(ref)) == 1
    assert await buyer.balance() == DEMO_CREDITS
    assert await outbox.pending() == []


async def test_one_intent_that_cannot_be_settled_does_not_keep_the_others(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    first, second = await buyer.buy(), await buyer.buy()
    platform.break_next("find_session", error=ZeroDivisionError("a bug"), times=1)
    outbox = new_outbox(redis_client, platform)
    await fail(outbox, first)
    await fail(outbox, second)
    assert [intent.session_id for intent in await outbox.pending()] == [first.session_id]
    assert shop.status(second) == "failed"
    await let_locks_end(redis_client)
    await new_outbox(redis_client, platform).settle_due()
    assert await buyer.balance() == DEMO_CREDITS


_ODD = asdict(new_intent(SessionRef(Channel.B2C, "", ""), "", "", ""))


async def test_while_the_platform_is_away_few_of_many_intents_are_tried(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refunds, "AT_ONCE", 2)
    bought = [await buyer.buy() for _ in range(5)]
    for ref in bought:
        intent = new_intent(ref, "", MESSAGE, "a test")
        await untyped(redis_client).hset(keys.REFUNDS, intent.key, dump(intent))
    outbox = new_outbox(redis_client, platform)
    platform.break_next("fail_session", times=4)
    for tried in (2, 4):
        await outbox.settle_due()
        assert platform.calls.count("fail_session") == tried
    await outbox.settle_due()
    assert shop.status(bought[-1]) == "failed", "the fifth, which had its first try"
    outbox._not_before.clear()
    await outbox.settle_due()
    assert await buyer.balance() == DEMO_CREDITS


async def test_intents_that_cannot_be_settled_keep_no_later_one(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refunds, "AT_ONCE", 2)
    outbox = new_outbox(redis_client, platform)
    for ref in [await buyer.buy() for _ in range(4)]:
        shop.set_row(ref, credits_used=-1)
        await fail(outbox, ref)
    later = new_intent(await buyer.buy(), "", MESSAGE, "a test")
    await untyped(redis_client).hset(keys.REFUNDS, later.key, dump(later))
    outbox._not_before.clear()
    await outbox.settle_due()
    assert shop.status(later.ref) == "failed"
    assert later.key not in {intent.key for intent in await outbox.pending()}


UNREADABLE: Sequence[bytes] = [
    b"",
    b"{",
    b"[]",
    b"[" * 100_000,
    b"{}",
    b"null",
    b'{"channel": "b2x"}',
    b"\x80\x04N.",
    *(json.dumps(_ODD | {"completed_at": moment}).encode() for moment in (7, "soon", "2026-11-24T12:30:00")),
]


async def test_entries_that_cannot_be_read_stay_and_do_not_keep_the_others(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    for number, entry in enumerate(UNREADABLE):
        await untyped(redis_client).hset(keys.REFUNDS, f"planted:{number}", entry)
    ref = await buyer.buy()
    platform.break_next("fail_session")
    await fail(new_outbox(redis_client, platform), ref)
    await new_outbox(redis_client, platform).settle_due()
    assert await buyer.balance() == DEMO_CREDITS
    assert await untyped(redis_client).hlen(keys.REFUNDS) == len(UNREADABLE)


@pytest.mark.parametrize("entry", UNREADABLE)
async def test_an_entry_of_the_session_that_cannot_be_read_gives_way_to_one_that_can(
    redis_client: Redis, shop: LocalShop, buyer: Buyer, entry: bytes
) -> None:
    ref = await buyer.buy()
    await untyped(redis_client).hset(keys.REFUNDS, f"{ref.channel}:{ref.session_id}", entry)
    await fail(new_outbox(redis_client, shop.platform), ref)
    assert (shop.status(ref), await buyer.balance()) == ("failed", DEMO_CREDITS)
    assert await untyped(redis_client).hlen(keys.REFUNDS) == 0


async def test_an_intent_of_a_newer_version_is_settled(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    platform.break_next("fail_session")
    await fail(new_outbox(redis_client, platform), ref)
    ((key, entry),) = (await untyped(redis_client).hgetall(keys.REFUNDS)).items()
    await untyped(redis_client).hset(keys.REFUNDS, key, json.dumps(json.loads(entry) | {"mood": "sorry"}))
    await new_outbox(redis_client, platform).settle_due()
    assert await buyer.balance() == DEMO_CREDITS


async def test_a_refused_step_is_tried_again_later_and_not_at_once(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    platform.break_next("give_back", error=PlatformRefused("409"))
    outbox = new_outbox(redis_client, platform)
    await fail(outbox, ref)
    await outbox.settle_due()
    assert platform.calls.count("give_back") == 1
    outbox._not_before.clear()
    await outbox.settle_due()
    assert platform.calls.count("give_back") == 2
    assert await buyer.balance() == DEMO_CREDITS


async def test_pending_intents_come_oldest_first_with_all_that_was_said(
    redis_client: Redis, platform: FaultyPlatform, buyer: Buyer
) -> None:
    refs = [await buyer.buy() for number in range(3)]
    platform.break_next("fail_session", times=3)
    outbox = new_outbox(redis_client, platform)
    for ref in refs:
        await fail(outbox, ref)
    found: Sequence[Intent] = await outbox.pending()
    assert [intent.ref for intent in found] == refs
    assert {(intent.request_id, intent.error_message, intent.reason) for intent in found} == {
        ("req_test", MESSAGE, "a test")
    }


async def test_the_platforms_session_is_what_is_refunded_not_what_the_task_said(
    redis_client: Redis, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    await new_outbox(redis_client, shop.platform).fail(ref, "req_forged", MESSAGE, "a test")
    assert await buyer.balance() == DEMO_CREDITS


# What a failover forgets


async def forget_everything(redis: Redis) -> None:
    """A failover to a replica that had nothing of the last second."""
    await redis.flushall()


@pytest.mark.parametrize("method", ["fail_session", "find_session", "ledger_entries", "give_back"])
async def test_a_refund_that_is_postponed_is_in_the_outbox_afterwards_whatever_redis_forgot(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, method: str
) -> None:
    ref = await buyer.buy()

    async def fail_over(called: str) -> None:
        if called == method:
            await forget_everything(redis_client)

    platform.before = fail_over
    platform.break_next(method)
    await fail(new_outbox(redis_client, platform), ref)
    platform.before = None
    (intent,) = await new_outbox(redis_client, platform).pending()
    assert intent.ref == ref
    await let_locks_end(redis_client)
    await new_outbox(redis_client, platform).settle_due()  # another process
    assert shop.status(ref) == "failed"
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1


async def test_an_intent_that_is_forgotten_before_it_is_settled_is_settled(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    outbox = new_outbox(redis_client, platform)
    platform.break_next("fail_session")
    await fail(outbox, ref)
    await forget_everything(redis_client)
    outbox._not_before.clear()
    await outbox.settle_due()
    assert shop.status(ref) == "failed"
    assert len(shop.refunds(ref)) == 1
    assert not outbox.has_begun
    assert await outbox.pending() == []


async def test_a_failover_under_a_users_refund_in_doubt_does_not_let_another_process_pay(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform
) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()

    async def fail_over(called: str) -> None:
        if called == "give_back":
            await forget_everything(redis_client)

    platform.before = fail_over
    platform.break_next("give_back")
    await fail(new_outbox(redis_client, platform), ref)
    assert len(await locks(redis_client)) == 1
    assert 0 < await redis_client.ttl((await locks(redis_client))[0]) <= refunds.LOCK_S


async def test_an_intent_that_another_process_has_settled_does_not_come_back(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    outbox = new_outbox(redis_client, platform)

    async def be_overtaken(called: str) -> None:
        if called == "ledger_entries":
            platform.before = None
            await let_locks_end(redis_client)
            await new_outbox(redis_client, shop.platform).settle_due()

    platform.before = be_overtaken
    platform.break_next("ledger_entries")
    await fail(outbox, ref)
    assert await outbox.pending() == []
    assert not outbox.has_begun
    assert len(shop.refunds(ref)) == 1


async def test_an_intent_that_this_process_postponed_and_another_settled_is_forgotten(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    outbox = new_outbox(redis_client, platform)
    platform.break_next("fail_session")
    await fail(outbox, ref)
    await new_outbox(redis_client, shop.platform).settle_due()
    outbox._not_before.clear()
    calls = len(platform.calls)
    await outbox.settle_due()
    assert not outbox.has_begun
    assert len(platform.calls) == calls, "nothing was asked of the platform again"
    assert await outbox.pending() == []
    assert await locks(redis_client) == []


async def test_what_is_remembered_of_a_settled_intent_ends(redis_client: Redis, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await fail(new_outbox(redis_client, shop.platform), ref)
    (key,) = await redis_client.keys(f"{keys.REFUND_SETTLED}*")
    assert 0 < await redis_client.ttl(key) <= 3600


async def test_a_new_intent_of_a_session_whose_last_one_was_settled_is_settled_too(
    redis_client: Redis, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    stranger = SessionRef(ref.channel, "00000000-0000-4000-8000-0000000000ff", ref.session_id)
    outbox = new_outbox(redis_client, shop.platform)
    assert await outbox.fail(stranger, "req_test", MESSAGE, "not this owner's")
    assert shop.status(ref) == "queued"
    assert await outbox.fail(ref, "req_test", MESSAGE, "a test")
    assert shop.status(ref) == "failed"
    assert len(shop.refunds(ref)) == 1
