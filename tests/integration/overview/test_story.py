"""Sessions as people look them up: why did this one fail, and did they get the credit back?"""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from redis.asyncio import Redis

from support.job_side import (
    PICTURE,
    Buyer,
    FaultyPlatform,
    LocalShop,
    document,
    enqueue,
    push,
    untyped,
)
from support.story_side import SECRET, StorySide, kinds
from wearon.logs import configure_logs
from wearon.overview.models import RefundState
from wearon.platform.base import Channel
from wearon.tryon import keys
from wearon.tryon import pipeline as pipeline_module
from wearon.tryon.generator import Moderated, QuotaExhausted, RateLimited
from wearon.tryon.journal import MAX_ENTRIES

pytestmark = pytest.mark.slow


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorySide:
    monkeypatch.setattr(pipeline_module, "OUTAGE_PATIENCE_S", 0.0)
    return StorySide(redis_client, platform, tmp_path)


@pytest.fixture
def _logs() -> Iterator[None]:
    """Logs as in production, without which there are no lines to keep."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs("info", "json", [SECRET])
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


async def test_a_picture_that_was_made(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref, request_id="req_7", created_at=datetime.now(UTC).isoformat())
    story = await side.story(ref)
    assert kinds(story.events) == ["created", "pushed", "taken", "started", "completed"]
    steps = [event for event in story.events if event.kind == "step"]
    assert [event.title for event in steps] == [
        "Start the session",
        "Fetch and prepare the pictures",
        "Make the picture",
        "Upload and sign the picture",
        "Complete the session",
    ]
    assert all(event.seconds is not None and event.worker == "worker-1" for event in steps)
    assert (story.where, story.reason, story.log) == ("Completed.", None, [])
    assert story.refund.state is RefundState.NOT_OWED
    assert PICTURE.usage is not None
    assert (story.input_tokens, story.estimated_cost_usd) == (PICTURE.usage.input_tokens, PICTURE.usage.cost_usd)
    assert story.session.status == "completed"


@pytest.mark.usefixtures("_logs")
async def test_why_one_failed_and_that_they_got_the_credit_back(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.generator.answers.append(Moderated("safety: violence"))
    await side.run(ref)
    story = await side.story(ref)
    assert story.where == "Failed: moderation: safety: violence"
    assert kinds(story.events)[-2:] == ["refund", "failed"]
    assert story.events[-1].title == "Failed: moderation"
    assert story.refund.state is RefundState.GIVEN_BACK
    assert "refund" in [line.type for line in story.refund.evidence]
    assert "generation failed" in [line.event for line in story.log]
    assert "credit given back" in [line.event for line in story.log]
    (refund,) = [event for event in story.events if event.kind == "refund"]
    payer = "shopper" if buyer.shopper_email else "store" if buyer.channel is Channel.B2B else "user"
    assert (refund.title, refund.detail) == ("Credit given back", f"1 credit to the {payer}")


async def test_a_refund_that_waits_for_the_platform(side: StorySide, platform: FaultyPlatform, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.generator.answers.append(QuotaExhausted("401"))
    platform.break_next("ledger_entries")
    await side.run(ref)
    story = await side.story(ref)
    assert story.refund.state is RefundState.OUTSTANDING
    assert story.refund.last_error == "away for the test"
    assert "until it succeeds" in story.refund.sentence

    (intent,) = await side.outbox.pending()
    await side.outbox.settle(intent)
    story = await side.story(ref)
    assert story.refund.state is RefundState.GIVEN_BACK
    titles = [event.title for event in story.events if event.kind == "refund"]
    assert titles == ["The refund is tried again later", "Credit given back"]


async def test_a_refund_that_needs_a_person(side: StorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2B).buy()
    shop.sql("update store_credit_transactions set type = 'overage' where store_id = ?", ref.owner_id)
    side.generator.answers.append(QuotaExhausted("401"))
    await side.run(ref)
    refund = (await side.story(ref)).refund
    assert refund.state is RefundState.BY_HAND
    assert "charged in money" in refund.sentence
    assert [line.type for line in refund.evidence] == ["overage"]


async def test_a_failed_session_of_which_no_refund_is_known(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    buyer.shop.set_row(ref, status="failed", error_message="Timed out", completed_at=datetime.now(UTC))
    story = await side.story(ref)
    assert story.refund.state is RefundState.NOT_SEEN
    assert story.where == "Failed: Timed out"
    assert kinds(story.events) == ["created", "failed"]


async def test_what_the_platforms_cron_ended(side: StorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    shop.cron(ref)
    await side.run(ref)
    story = await side.story(ref)
    assert story.refund.state is RefundState.GIVEN_BACK
    assert "ended_elsewhere" in kinds(story.events)
    assert story.reason == "nothing to do: the session is failed already"


async def test_a_run_that_a_crash_cut_off_leaves_a_gap_that_is_named(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.count_a_crash(ref)
    await side.run(ref)
    story = await side.story(ref)
    assert [event.title for event in story.events if event.kind == "stopped"] == ["A run ended without a word"]
    assert [event.attempt for event in story.events if event.kind == "started"] == [2]
    assert story.where == "Completed."


async def test_a_run_that_a_shutdown_cut_off(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.generator.answers.append(asyncio.get_running_loop().create_future())
    run = asyncio.create_task(side.run(ref))
    await side.generator.asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    story = await side.story(ref)
    assert kinds(story.events)[-1] == "stopped"
    assert story.events[-1].detail == "stopped by a shutdown or a lost lease"
    generating = next(event for event in story.events if event.title == "Make the picture")
    assert generating.detail == "it did not succeed"


async def test_a_rate_limit_shows_as_put_back(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.generator.answers.append(RateLimited("429", 7.0))
    await side.run(ref)
    put_back = (await side.story(ref)).events[-1]
    assert put_back.kind == "put_back"
    assert put_back.title.startswith("Put back for 7")
    assert put_back.title.endswith("rate limit")
    await side.run(ref)
    assert kinds((await side.story(ref)).events)[-3:] == ["put_back", "started", "completed"]


async def test_what_was_put_back_for_hours_does_not_grow_without_bound(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.generator.answers.extend(RateLimited("429", 0.1) for _ in range(MAX_ENTRIES + 5))
    for _ in range(MAX_ENTRIES + 5):
        await side.run(ref)
    assert await untyped(side.redis).llen(keys.JOURNAL + ref.session_id) == MAX_ENTRIES
    assert "stopped" not in kinds((await side.story(ref)).events)


# Where it is


async def test_where_an_open_session_is(side: StorySide, buyer: Buyer, redis_client: Redis) -> None:
    waiting, queued, running, nowhere = [await buyer.buy() for _ in range(4)]
    await push(redis_client, document(waiting), document(await buyer.buy()))
    await enqueue(redis_client, queued, running)
    job = f"{running.channel}:{running.owner_id}:{running.session_id}"
    await untyped(redis_client).hset(keys.RUNNING, job, "worker-9")
    assert (await side.story(waiting)).where == "Waiting in the producers' list, with 0 before it."
    assert (await side.story(queued)).where == "In the queue, about to be started."
    assert (await side.story(running)).where == "Running on worker-9."
    assert "nowhere in Redis" in (await side.story(nowhere)).where
    await untyped(redis_client).zadd(keys.JOBS, {f"{queued.channel}:{queued.owner_id}:{queued.session_id}": 9e15})
    assert (await side.story(queued)).where.startswith("Put back")


async def test_hostile_documents_before_a_task_do_not_hide_it(
    side: StorySide, buyer: Buyer, redis_client: Redis
) -> None:
    ref = await buyer.buy()
    await push(redis_client, b"\xff\x00", b"[" * 5000, b'{"session_id": 1e999}', b"{}", b"x" * 2_000_000, document(ref))
    assert (await side.story(ref)).where == "Waiting in the producers' list, with 5 before it."


# Finding


async def test_a_session_is_found_by_each_of_its_ids(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref, request_id="req_b2c_1")
    ids = [ref.session_id, ref.owner_id]
    if ref.channel is Channel.B2B:
        ids.append(buyer.shop.row(ref)["request_id"])
    else:
        ids.append("req_b2c_1")
    for term in ids:
        (hit,) = await side.overview.find_sessions(term)
        assert hit.session_id == ref.session_id
        assert hit.request_id == term or not term.startswith("req_")


@pytest.mark.parametrize(
    "term", ["", "req_unknown", "x" * 5000, "nul\x00", "%", "../..", "00000000-0000-4000-8000-000000000000"]
)
async def test_what_is_nobodys_finds_nothing(side: StorySide, buyer: Buyer, term: str) -> None:
    await side.run(await buyer.buy())
    assert await side.overview.find_sessions(term) == []
    assert await side.overview.story(term) is None
    assert await side.overview.sign_picture(term, "result") is None


# Pictures


async def test_pictures_are_signed_on_demand_and_only_ours(side: StorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    ours = await shop.platform.add_upload(b"\xff\xd8 person", ".jpg")
    foreign = "https://user:pw@pictures.example/garment.jpg?token=eyJhbGciOi"
    side.generator.answers.append(QuotaExhausted("401"))
    await side.run(ref, image_urls=[ours, foreign])
    story = await side.story(ref)
    person, garment, result = story.pictures
    assert (person.name, person.label, person.available) == ("input/0", "Person", True)
    assert (garment.label, garment.available, garment.where) == ("Garment", False, "pictures.example")
    assert (result.name, result.available) == ("result", False)
    url = await side.overview.sign_picture(ref.session_id, "input/0")
    assert url is not None
    assert url.partition("?")[0] == ours.partition("?")[0]
    for name in ("input/1", "input/2", "input/-1", "input/", "result", "", "input/0/../0", "generated/x"):
        assert await side.overview.sign_picture(ref.session_id, name) is None, name
    (entry,) = await untyped(side.redis).lrange(keys.JOURNAL + ref.session_id, 0, -1)
    for hidden in (b"eyJhbGciOi", b"signature", b"expires", b"pw@", b"garment.jpg"):
        assert hidden not in entry


async def test_a_result_is_signed(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    assert (await side.story(ref)).pictures[-1].available
    url = await side.overview.sign_picture(ref.session_id, "result")
    assert url is not None
    assert ref.picture_path in url


# What must not be seen


@pytest.mark.usefixtures("_logs")
async def test_no_address_token_or_secret_is_told(side: StorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2B, "ann@example.com").buy()
    shop.sql(
        "insert into store_credit_transactions (store_id, request_id, amount, type, description, created_at)"
        " values (?, ?, -1, 'overage', ?, '2026-11-24')",
        ref.owner_id,
        shop.row(ref)["request_id"],
        'odd (shopper="an n"@exämple)',
    )
    url = "https://p.supabase.co/storage/v1/object/sign/b/x.jpg?token=eyJhbGciOi"
    side.generator.answers.append(QuotaExhausted(f"{SECRET} was refused for bob@example.org at {url}"))
    await side.run(ref)
    shop.set_row(ref, error_message="ask carol@example.net")
    told = (await side.story(ref)).model_dump_json()
    kept = b"".join(await untyped(side.redis).lrange(keys.JOURNAL + ref.session_id, 0, -1)).decode()
    for hidden in (SECRET, "eyJhbGciOi", "bob@", "example.org"):
        assert hidden not in told
        assert hidden not in kept
    for hidden in ("ann@", "carol@", "an n", "exämple"):
        assert hidden not in told
    assert "(shopper=***)" in told


# A journal that is damaged, away or switched off


async def test_entries_that_nobody_can_read_are_left_out(side: StorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    hostile = [
        b"\xff\x00",
        b"null",
        b"{}",
        b"[" * 5000,
        json.dumps({"kind": "run"}).encode(),
        json.dumps({"kind": "run", "at": "2026", "began_at": [], "outcome": "x"}).encode(),
        json.dumps({"kind": "from a newer version", "at": "2026-11-24T12:00:00Z"}).encode(),
    ]
    await untyped(side.redis).lpush(keys.JOURNAL + ref.session_id, *hostile)
    story = await side.story(ref)
    assert kinds(story.events)[-1] == "completed"


async def test_without_a_journal_row_and_ledger_still_tell(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = StorySide(redis_client, platform, tmp_path, journal_hours=0)
    ref = await buyer.buy()
    side.generator.answers.append(QuotaExhausted("401"))
    await side.run(ref)
    assert await redis_client.keys(keys.JOURNAL + "*") == []
    story = await side.story(ref)
    assert kinds(story.events) == ["created", "failed", "refund"]
    assert story.refund.state is RefundState.GIVEN_BACK
    assert story.where == "Failed: Internal error during generation"
