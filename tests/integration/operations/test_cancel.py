"""Cancelling, wherever a task is: failed and refunded once, nothing paid for it, and what runs is let finish."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.history_side import HistorySide
from support.job_side import (
    OPERATOR,
    Buyer,
    FaultyPlatform,
    LocalShop,
    document,
    enqueue,
    entries,
    give_lease,
    job_id,
    never,
    new_audit_log,
    new_outbox,
    new_worker,
    push,
    queued_jobs,
    running,
    running_jobs,
    untyped,
)
from wearon.local.credits import DEMO_CREDITS
from wearon.operations.actions.cancel import Cancellations, Cancelled
from wearon.operations.actions.errors import NotPossible, NotThere
from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys

pytestmark = pytest.mark.slow


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path) -> HistorySide:
    return HistorySide(redis_client, platform, tmp_path)


@pytest.fixture
def cancellations(redis_client: Redis, platform: FaultyPlatform, side: HistorySide) -> Cancellations:
    return Cancellations(redis_client, platform, side.outbox, new_audit_log(redis_client))


async def put(redis: Redis, ref: SessionRef, place: str) -> None:
    """Let the session's task be at a place where it waits."""
    if place == "tasks":
        await push(redis, document(ref))
    elif place == "taken":
        await untyped(redis).lpush(keys.PENDING, document(ref))
    else:
        await enqueue(redis, ref)
    if place == "deferred":
        seconds, _ = await redis.time()
        await redis.zadd(keys.JOBS, {job_id(ref): (seconds + 600) * 1000}, xx=True)


def check_cancelled(shop: LocalShop, ref: SessionRef) -> None:
    row = shop.row(ref)
    assert (row["status"], row["error_message"]) == ("failed", "Cancelled")
    assert len(shop.refunds(ref)) == 1


@pytest.mark.parametrize("place", ["tasks", "taken", "queued", "deferred"])
async def test_a_session_that_waits_is_failed_and_refunded_once_and_nothing_is_paid(
    redis_client: Redis, shop: LocalShop, side: HistorySide, cancellations: Cancellations, buyer: Buyer, place: str
) -> None:
    ref = await buyer.buy()
    await put(redis_client, ref, place)
    assert await cancellations.cancel(ref.session_id.upper(), OPERATOR) is Cancelled.CANCELLED
    check_cancelled(shop, ref)
    assert await buyer.balance() == DEMO_CREDITS
    assert await queued_jobs(redis_client) == set()
    for left in ("arq:*", f"{keys.LINE}*", keys.WAITING):
        assert [key async for key in redis_client.scan_iter(left)] == []
    assert await side.run(ref) is None, "its task comes later"
    assert side.image_model.requests == []
    assert await cancellations.cancel(ref.session_id, OPERATOR) is Cancelled.FAILED
    check_cancelled(shop, ref)
    advice = (await side.history(ref)).advice
    assert advice is not None
    assert advice.headline == "An operator cancelled the session."


async def test_two_operators_at_once_refund_once(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    await enqueue(redis_client, ref)
    both = [
        Cancellations(redis_client, platform, new_outbox(redis_client, platform), new_audit_log(redis_client))
        for _ in range(2)
    ]
    outcomes = await asyncio.gather(*(one.cancel(ref.session_id, OPERATOR) for one in both))
    assert Cancelled.CANCELLED in outcomes
    check_cancelled(shop, ref)
    assert await buyer.balance() == DEMO_CREDITS


@pytest.mark.parametrize("now", [False, True], ids=["let finish", "now"])
async def test_a_session_that_runs_is_let_finish_unless_it_is_cancelled_now(
    redis_client: Redis,
    shop: LocalShop,
    side: HistorySide,
    cancellations: Cancellations,
    buyer: Buyer,
    now: bool,
) -> None:
    ref = await buyer.buy()
    await enqueue(redis_client, ref)
    side.image_model.answers.append(never())  # type: ignore[arg-type]
    worker = new_worker(redis_client, side.pipeline.generate)
    lease = await give_lease(redis_client, worker)
    async with running(worker.run):
        await asyncio.wait_for(side.image_model.asked.wait(), 20)
        outcome = await cancellations.cancel(ref.session_id, OPERATOR, now=now)
        assert await redis_client.exists(keys.HELD, keys.RUNNING_OF_TENANTS) == (0 if now else 2)
        await lease.renew()
        if not now:
            assert outcome is Cancelled.RUNNING
            assert await running_jobs(redis_client) == {job_id(ref): lease.worker_id}
            assert shop.status(ref) == "processing"
            assert worker.running == 1
        else:
            assert outcome is Cancelled.CANCELLED
            check_cancelled(shop, ref)
            async with asyncio.timeout(20):
                while worker.running:  # noqa: ASYNC110 (a task of the worker's)
                    await asyncio.sleep(0.01)
            await lease.renew()
            assert await running_jobs(redis_client) == {}
            assert await queued_jobs(redis_client) == set()
    await worker.drain(0)


async def test_its_worker_does_not_bring_back_what_was_cancelled_now(
    redis_client: Redis,
    shop: LocalShop,
    platform: FaultyPlatform,
    side: HistorySide,
    cancellations: Cancellations,
    buyer: Buyer,
) -> None:
    """It retries the job before a heartbeat has told it, and the session is still open because of an outage."""
    ref = await buyer.buy()
    await enqueue(redis_client, ref)
    side.image_model.answers.append(never())  # type: ignore[arg-type]
    worker = new_worker(redis_client, side.pipeline.generate)
    await give_lease(redis_client, worker)
    async with running(worker.run):
        await asyncio.wait_for(side.image_model.asked.wait(), 20)
        platform.break_next("fail_session")
        assert await cancellations.cancel(ref.session_id, OPERATOR, now=True) is Cancelled.OUTSTANDING
        await worker.drain(0)
    assert worker.running == 0
    assert shop.status(ref) == "processing"
    assert await queued_jobs(redis_client) == set()
    await new_outbox(redis_client, platform).settle_due()
    check_cancelled(shop, ref)


async def test_a_session_that_has_ended_is_left_as_it_is(
    redis_client: Redis, shop: LocalShop, side: HistorySide, cancellations: Cancellations, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    before = shop.row(ref)
    for now in (False, True):
        assert await cancellations.cancel(ref.session_id, OPERATOR, now=now) is Cancelled.COMPLETED
    assert shop.row(ref) == before
    assert shop.refunds(ref) == []
    for unknown in ("5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10", "no uuid", ""):
        with pytest.raises(NotThere):
            await cancellations.cancel(unknown, OPERATOR)


async def test_one_that_completes_at_that_moment_keeps_its_picture(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, side: HistorySide, buyer: Buyer
) -> None:
    ref = await buyer.buy()

    async def complete(method: str) -> None:
        if method == "find_session":
            platform.after = None
            await side.run(ref)

    platform.after = complete
    cancellations = Cancellations(redis_client, platform, side.outbox, new_audit_log(redis_client))
    assert await cancellations.cancel(ref.session_id, OPERATOR) is Cancelled.COMPLETED
    assert shop.status(ref) == "completed"
    assert shop.refunds(ref) == []
    assert await side.outbox.pending() == []


@pytest.mark.parametrize("method", ["fail_session", "give_back"])
async def test_what_an_outage_interrupts_any_process_goes_on_with(
    redis_client: Redis,
    shop: LocalShop,
    platform: FaultyPlatform,
    cancellations: Cancellations,
    buyer: Buyer,
    method: str,
) -> None:
    ref = await buyer.buy()
    await enqueue(redis_client, ref)
    platform.break_next(method)
    assert await cancellations.cancel(ref.session_id, OPERATOR) is Cancelled.OUTSTANDING
    await enqueue(redis_client, ref)  # a task of it that was still in the producers' list
    assert await queued_jobs(redis_client) == set(), "no worker begins it"
    async for lock in redis_client.scan_iter(f"{keys.REFUND_LOCK}*"):
        await redis_client.delete(lock)
    await new_outbox(redis_client, platform).settle_due()
    check_cancelled(shop, ref)


async def test_an_intent_that_a_task_of_another_owner_left_costs_no_job(
    redis_client: Redis, platform: FaultyPlatform, cancellations: Cancellations, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    stranger = SessionRef(ref.channel, "0b0e7bb4-9d3f-4f43-9c7e-3d8a2f0d6c11", ref.session_id)
    platform.break_next("fail_session")
    await cancellations._outbox.fail(stranger, "", "Internal error during generation", "a test")
    await enqueue(redis_client, ref)
    with pytest.raises(Exception, match="TRYAGAIN"):
        await cancellations.cancel(ref.session_id, OPERATOR)
    assert await queued_jobs(redis_client) == {job_id(ref)}


async def test_what_waits_of_one_store_is_cancelled_and_nothing_else(
    redis_client: Redis, shop: LocalShop, side: HistorySide, cancellations: Cancellations, buyer: Buyer
) -> None:
    if buyer.channel is Channel.B2C:
        buyer = Buyer(shop, Channel.B2B)
    waiting = {place: await buyer.buy() for place in ("tasks", "taken", "queued", "deferred")}
    for place, ref in waiting.items():
        await put(redis_client, ref, place)
    runs, done = await buyer.buy(), await buyer.buy()
    await side.run(done)
    await enqueue(redis_client, runs)
    await untyped(redis_client).hset(keys.RUNNING, job_id(runs), "a worker")
    other = await Buyer(shop, Channel.B2C).buy()
    await enqueue(redis_client, other)
    await push(redis_client, b"not json", document(other, prompt=f"not for {runs.owner_id}"))
    with pytest.raises(NotPossible):
        await cancellations.cancel_waiting("*", OPERATOR)

    found = await cancellations.cancel_waiting(runs.owner_id.upper(), OPERATOR)
    assert found == {Cancelled.CANCELLED: 4, Cancelled.RUNNING: 1}
    assert {shop.row(ref)["error_message"] for ref in waiting.values()} == {"Cancelled"}
    assert len(shop.refunds(runs)) == 4, "all are of one store"
    assert shop.status(done) == "completed"
    assert shop.status(runs) == shop.status(other) == "queued"
    assert await queued_jobs(redis_client) == {job_id(runs), job_id(other)}
    assert await cancellations.cancel_waiting(runs.owner_id, OPERATOR) == {
        Cancelled.FAILED: 2,  # tasks and documents are left where they are
        Cancelled.RUNNING: 1,
    }
    assert len(await entries(redis_client, keys.TASKS)) == 3
    assert await side.outbox.pending() == []
