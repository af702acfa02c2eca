"""Orphans: sessions that nobody works on are found, and only those."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.job_side import (
    PICTURE,
    Buyer,
    FaultyPlatform,
    LocalShop,
    document,
    enqueue,
    entries,
    eventually,
    new_dead_letters,
    new_outbox,
    new_spool,
    push,
    running,
    see_fleet,
    untyped,
)
from wearon.events import Events
from wearon.local.credits import DEMO_CREDITS
from wearon.platform.base import Channel, PlatformUnavailable, SessionRef, SessionUnreadable
from wearon.queue import keys
from wearon.queue.jobs import JobQueue
from wearon.refunds.outbox import RefundOutbox
from wearon.tryon import reconciler as reconciling
from wearon.tryon.reconciler import ORPHAN_AGE, Reconciler
from wearon.tryon.retry_policy import INTERNAL_MESSAGE

pytestmark = pytest.mark.slow

LONG_AGO = ORPHAN_AGE + timedelta(minutes=1)


@pytest.fixture
def outbox(redis_client: Redis, platform: FaultyPlatform) -> RefundOutbox:
    return new_outbox(redis_client, platform)


@pytest.fixture
def reconciler(redis_client: Redis, platform: FaultyPlatform, outbox: RefundOutbox, tmp_path: Path) -> Reconciler:
    return Reconciler(
        redis_client, platform, JobQueue(redis_client), outbox, new_spool(tmp_path / "spool"), Events(), deliver=None
    )


async def bought(buyer: Buyer, ago: timedelta, status: str = "queued") -> SessionRef:
    """A session that was opened that long ago."""
    ref = await buyer.buy()
    buyer.shop.set_row(ref, created_at=datetime.now(UTC) - ago, status=status)
    return ref


@pytest.mark.parametrize("status", ["queued", "processing"])
async def test_an_open_session_without_a_trace_is_failed_and_refunded(
    shop: LocalShop, reconciler: Reconciler, buyer: Buyer, status: str
) -> None:
    ref = await bought(buyer, LONG_AGO, status)
    assert [session.ref for session in await reconciler.fail_orphans()] == [ref]
    row = shop.row(ref)
    assert (row["status"], row["error_message"]) == ("failed", INTERNAL_MESSAGE)
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1
    assert await reconciler.fail_orphans() == []
    assert len(shop.refunds(ref)) == 1


async def test_to_look_for_orphans_changes_nothing(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, reconciler: Reconciler, buyer: Buyer
) -> None:
    ref = await bought(buyer, LONG_AGO)
    before = shop.row(ref)
    assert [session.ref for session in await reconciler.find_orphans()] == [ref]
    assert shop.row(ref) == before
    assert await redis_client.keys("*") == []
    assert set(platform.calls) == {"list_sessions"}


@pytest.mark.parametrize("ago", [timedelta(0), ORPHAN_AGE - timedelta(minutes=1)], ids=str)
async def test_a_young_session_may_still_get_its_task(reconciler: Reconciler, buyer: Buyer, ago: timedelta) -> None:
    await bought(buyer, ago)
    assert await reconciler.find_orphans() == []


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_final_session_is_no_orphan(reconciler: Reconciler, buyer: Buyer, status: str) -> None:
    await bought(buyer, LONG_AGO, status)
    assert await reconciler.find_orphans() == []


async def in_the_list(redis: Redis, ref: SessionRef) -> None:
    await push(redis, document(ref))


async def in_the_list_but_unusable(redis: Redis, ref: SessionRef) -> None:
    await push(redis, document(ref, version=9, prompt=7))


async def in_the_list_spelt_otherwise(redis: Redis, ref: SessionRef) -> None:
    await push(redis, document(ref, session_id=ref.session_id.replace("-", "").upper()))


async def taken(redis: Redis, ref: SessionRef) -> None:
    await untyped(redis).lpush(keys.PENDING, document(ref))


async def as_a_job(redis: Redis, ref: SessionRef) -> None:
    await enqueue(redis, ref)


async def as_a_deferred_job(redis: Redis, ref: SessionRef) -> None:
    await enqueue(redis, ref)
    for job in await untyped(redis).zrange(keys.JOBS, 0, -1):
        await untyped(redis).zincrby(keys.JOBS, 3_600_000, job)


async def as_a_job_that_rejects_it(redis: Redis, ref: SessionRef) -> None:
    await redis.zadd(keys.JOBS, {f"reject:{ref.channel}:{ref.owner_id}:{ref.session_id}": 1})


async def in_the_outbox(redis: Redis, ref: SessionRef) -> None:
    class Away:
        async def fail_session(self, *_: object) -> bool:
            raise PlatformUnavailable("away")

    await new_outbox(redis, Away()).fail(ref, "", "", "")  # type: ignore[arg-type]


PLACES: list[Callable[[Redis, SessionRef], Awaitable[None]]] = [
    in_the_list,
    in_the_list_but_unusable,
    in_the_list_spelt_otherwise,
    taken,
    as_a_job,
    as_a_deferred_job,
    as_a_job_that_rejects_it,
    in_the_outbox,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_a_session_with_a_trace_anywhere_is_left_to_run_however_old(
    redis_client: Redis,
    reconciler: Reconciler,
    buyer: Buyer,
    place: Callable[[Redis, SessionRef], Awaitable[None]],
) -> None:
    traced = await bought(buyer, timedelta(days=30))
    orphan = await bought(buyer, LONG_AGO)
    await place(redis_client, traced)
    assert [session.ref for session in await reconciler.find_orphans()] == [orphan]


async def test_a_dead_letter_is_no_trace(redis_client: Redis, reconciler: Reconciler, buyer: Buyer) -> None:
    ref = await bought(buyer, LONG_AGO)
    await new_dead_letters(redis_client).add(document(ref), "a test", session_id=ref.session_id)
    assert [session.ref for session in await reconciler.find_orphans()] == [ref]


async def test_a_task_is_found_though_the_list_moves_while_it_is_read(
    redis_client: Redis, reconciler: Reconciler, shop: LocalShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "CHUNK", 2)
    buyer = Buyer(shop, Channel.B2C)
    refs = [await bought(buyer, LONG_AGO) for _ in range(9)]
    await push(redis_client, *(document(ref) for ref in refs))
    lrange = untyped(redis_client).lrange

    async def others_move_it_meanwhile(name: str, start: int, end: int) -> list[bytes]:
        found: list[bytes] = await lrange(name, start, end)
        if name == keys.TASKS:
            await untyped(redis_client).lmove(keys.TASKS, keys.PENDING, "RIGHT", "LEFT")
            await push(redis_client, b"a new one")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(redis_client, "lrange", others_move_it_meanwhile)
        # The producers push one for each chunk of two that is read, so there is an end.
        assert await reconciler.find_orphans() == []


async def test_those_that_wait_rightly_do_not_hide_the_orphans_behind_them(
    redis_client: Redis, reconciler: Reconciler, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    moment = timedelta(hours=1)
    for minutes in (9, 8, 8, 7, 6):
        await push(redis_client, document(await bought(buyer, moment + timedelta(minutes=minutes))))
    orphans = [await bought(buyer, moment), await bought(buyer, LONG_AGO)]
    assert [session.ref for session in await reconciler.find_orphans()] == orphans


async def test_many_sessions_of_one_moment_do_not_hide_the_orphan_among_them(
    redis_client: Redis, shop: LocalShop, reconciler: Reconciler, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 2)
    moment = datetime.now(UTC) - LONG_AGO
    refs = sorted([await buyer.buy() for _ in range(6)], key=lambda ref: ref.session_id)
    for ref in refs:
        shop.set_row(ref, created_at=moment)
    await push(redis_client, *(document(ref) for ref in refs[:-1]))
    assert [session.ref for session in await reconciler.find_orphans()] == refs[-1:]


async def test_a_session_whose_paid_picture_is_here_is_left_to_a_worker(
    reconciler: Reconciler, tmp_path: Path, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await bought(buyer, LONG_AGO, "processing")
    await new_spool(tmp_path / "spool").keep_picture(ref, PICTURE)
    await reconciler.deliver_left_behind()
    assert await reconciler.fail_orphans() == []
    assert shop.status(ref) == "processing"


async def test_documents_that_are_no_tasks_do_not_disturb(
    redis_client: Redis, reconciler: Reconciler, buyer: Buyer
) -> None:
    await push(redis_client, b"", b"\xff", b"[]", b'{"session_id": 7}', b"[" * 50_000)
    orphan, traced = await bought(buyer, LONG_AGO), await bought(buyer, LONG_AGO)
    await push(redis_client, document(traced))
    assert [session.ref for session in await reconciler.find_orphans()] == [orphan]
    assert len(await entries(redis_client, keys.TASKS)) == 6


async def test_an_orphan_that_comes_to_life_while_it_is_looked_at_is_not_refunded(
    shop: LocalShop, platform: FaultyPlatform, reconciler: Reconciler, buyer: Buyer
) -> None:
    ref = await bought(buyer, LONG_AGO, "processing")

    async def complete(method: str) -> None:
        if method == "list_sessions":
            shop.set_row(ref, status="completed")

    platform.after = complete
    await reconciler.fail_orphans()
    assert shop.status(ref) == "completed"
    assert shop.refunds(ref) == []


async def test_when_the_platform_is_away_it_says_so(reconciler: Reconciler, platform: FaultyPlatform) -> None:
    platform.break_next("list_sessions")
    with pytest.raises(PlatformUnavailable):
        await reconciler.fail_orphans()


async def test_running_it_fails_orphans_settles_refunds_and_outlives_an_outage(
    shop: LocalShop,
    platform: FaultyPlatform,
    outbox: RefundOutbox,
    reconciler: Reconciler,
    buyer: Buyer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciling, "RECONCILE_EVERY_S", 0.02)
    orphan = await bought(buyer, LONG_AGO)
    failed = await buyer.buy()
    platform.break_next("fail_session")
    platform.break_next("list_sessions")
    await outbox.fail(failed, "", "", "")
    outbox._not_before.clear()
    async with running(reconciler.run):
        see_fleet(reconciler, refunds=1)
        await eventually(lambda: _all_given_back(buyer))
    assert shop.status(orphan) == shop.status(failed) == "failed"


async def test_a_refund_that_only_this_process_remembers_is_settled_at_the_next_beat(
    redis_client: Redis, platform: FaultyPlatform, outbox: RefundOutbox, reconciler: Reconciler, buyer: Buyer
) -> None:
    failed = await buyer.buy()
    platform.break_next("fail_session")
    await outbox.fail(failed, "", "", "")
    outbox._not_before.clear()
    await redis_client.flushall()
    async with running(reconciler.run):
        see_fleet(reconciler, refunds=0)
        await eventually(lambda: _all_given_back(buyer))


async def _all_given_back(buyer: Buyer) -> bool:
    return await buyer.balance() == DEMO_CREDITS


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_it_sweeps_the_spool_of_final_sessions(
    reconciler: Reconciler, tmp_path: Path, buyer: Buyer, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(reconciling, "SPOOL_KEEP", timedelta(seconds=-1))
    ref = await buyer.buy()
    buyer.shop.set_row(ref, status=status)
    spool = new_spool(tmp_path / "spool")
    await spool.keep_picture(ref, PICTURE)

    async def swept() -> bool:
        return await spool.load_picture(ref) is None

    async with running(reconciler.run):
        await eventually(swept)


async def test_a_paid_picture_stays_as_long_as_its_session_is_open_or_nobody_can_tell(
    reconciler: Reconciler,
    platform: FaultyPlatform,
    tmp_path: Path,
    buyer: Buyer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciling, "SPOOL_KEEP", timedelta(seconds=-1))
    ref = await buyer.buy()
    spool = new_spool(tmp_path / "spool")
    await spool.keep_picture(ref, PICTURE)
    await reconciler.sweep_spool()
    assert await spool.load_picture(ref) == PICTURE
    buyer.shop.set_row(ref, status="failed")
    platform.break_next("find_session")
    with pytest.raises(PlatformUnavailable):
        await reconciler.sweep_spool()
    assert await spool.load_picture(ref) == PICTURE
    await reconciler.sweep_spool()
    assert await spool.load_picture(ref) is None


async def test_a_session_that_cannot_be_read_keeps_its_picture_and_no_other_one_in_the_spool(
    platform: FaultyPlatform, reconciler: Reconciler, buyer: Buyer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "SPOOL_KEEP", timedelta(seconds=-1))
    spool = new_spool(tmp_path / "spool")
    for _ in range(2):
        await spool.keep_picture(await bought(buyer, timedelta(0), "failed"), PICTURE)
    platform.break_next("find_session", error=SessionUnreadable("cannot read credits_used"))
    await reconciler.sweep_spool()
    assert len(await spool.left_behind(timedelta(seconds=-1))) == 1
