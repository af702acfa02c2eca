"""Sessions as people look them up: why did this one fail, and did they get the credit back?"""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from redis.asyncio import Redis

from support.history_side import SECRET, HistorySide, kinds
from support.job_side import (
    PICTURE,
    Buyer,
    FaultyPlatform,
    LocalShop,
    defer,
    document,
    enqueue,
    push,
    untyped,
)
from wearon.observability.logging import configure_logs
from wearon.operations.entries import MAX_ENTRIES
from wearon.operations.models import RefundState
from wearon.operations.report import Reporter
from wearon.platform import outages
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.tryon.image_model import Moderated, QuotaExhausted, RateLimited, RequestRefused

pytestmark = pytest.mark.slow


@pytest.fixture
def side(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HistorySide:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)
    return HistorySide(redis_client, platform, tmp_path)


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


async def test_a_picture_that_was_made(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref, request_id="req_7", created_at=datetime.now(UTC).isoformat())
    history = await side.history(ref)
    assert kinds(history.events) == ["created", "pushed", "taken", "started", "completed"]
    steps = [event for event in history.events if event.kind == "step"]
    assert [event.title for event in steps] == [
        "Start the session",
        "Fetch and prepare the pictures",
        "Make the picture",
        "Upload and sign the picture",
        "Complete the session",
    ]
    assert all(event.seconds is not None and event.worker == "worker-1" for event in steps)
    assert (history.where, history.reason, history.log) == ("Completed.", None, [])
    assert history.refund.state is RefundState.NOT_OWED
    assert PICTURE.usage is not None
    assert (history.input_tokens, history.estimated_cost_usd) == (PICTURE.usage.input_tokens, PICTURE.usage.cost_usd)
    assert history.session.status == "completed"


@pytest.mark.usefixtures("_logs")
async def test_why_one_failed_and_that_they_got_the_credit_back(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(Moderated("safety: violence"))
    await side.run(ref)
    history = await side.history(ref)
    assert history.where == "Failed: moderation: safety: violence"
    assert kinds(history.events)[-2:] == ["refund", "failed"]
    assert history.events[-1].title == "Failed: moderation"
    assert history.refund.state is RefundState.GIVEN_BACK
    assert "refund" in [line.type for line in history.refund.evidence]
    assert "generation failed" in [line.event for line in history.log]
    assert "credit given back" in [line.event for line in history.log]
    (refund,) = [event for event in history.events if event.kind == "refund"]
    payer = "shopper" if buyer.shopper_email else "store" if buyer.channel is Channel.B2B else "user"
    assert (refund.title, refund.detail) == ("Credit refunded", f"1 credit to the {payer}")


async def test_a_refund_that_waits_for_the_platform(side: HistorySide, platform: FaultyPlatform, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(RequestRefused("401"))
    platform.break_next("ledger_entries")
    await side.run(ref)
    history = await side.history(ref)
    assert history.refund.state is RefundState.OUTSTANDING
    assert history.refund.last_error == "away for the test"
    assert "until it succeeds" in history.refund.sentence

    (intent,) = await side.outbox.pending()
    await side.outbox.settle(intent)
    history = await side.history(ref)
    assert history.refund.state is RefundState.GIVEN_BACK
    titles = [event.title for event in history.events if event.kind == "refund"]
    assert titles == ["The refund is tried again later", "Credit refunded"]


async def test_a_refund_that_needs_a_person(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2B).buy()
    shop.sql("update store_credit_transactions set type = 'overage' where store_id = ?", ref.owner_id)
    side.image_model.answers.append(RequestRefused("401"))
    await side.run(ref)
    refund = (await side.history(ref)).refund
    assert refund.state is RefundState.BY_HAND
    assert "charged in money" in refund.sentence
    assert [line.type for line in refund.evidence] == ["overage"]


async def test_a_failed_session_of_which_no_refund_is_known(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    buyer.shop.set_row(ref, status="failed", error_message="Timed out", completed_at=datetime.now(UTC))
    history = await side.history(ref)
    assert history.refund.state is RefundState.NOT_SEEN
    assert history.where == "Failed: Timed out"
    assert kinds(history.events) == ["created", "failed"]


async def test_what_the_platforms_cron_ended(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    shop.cron(ref)
    await side.run(ref)
    history = await side.history(ref)
    assert history.refund.state is RefundState.GIVEN_BACK
    assert "ended_elsewhere" in kinds(history.events)
    assert history.reason == "nothing to do: the session is failed already"


async def test_a_run_that_a_crash_cut_off_leaves_a_gap_that_is_named(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.count_a_crash(ref)
    await side.run(ref)
    history = await side.history(ref)
    assert [event.title for event in history.events if event.kind == "stopped"] == ["An attempt was cut off"]
    assert [event.attempt for event in history.events if event.kind == "started"] == [2]
    assert history.where == "Completed."


async def test_a_run_that_a_shutdown_cut_off(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(asyncio.get_running_loop().create_future())
    run = asyncio.create_task(side.run(ref))
    await side.image_model.asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    history = await side.history(ref)
    assert kinds(history.events)[-1] == "stopped"
    assert history.events[-1].detail == "stopped by a shutdown or a lost lease"
    generating = next(event for event in history.events if event.title == "Make the picture")
    assert generating.detail == "it did not succeed"


async def test_a_rate_limit_shows_as_put_back(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.append(RateLimited("429", 7.0))
    await side.run(ref)
    put_back, wait = (await side.history(ref)).events[-2:]
    assert put_back.kind == "put_back"
    assert (wait.kind, wait.title, wait.seconds) == ("wait", "Wait for the image model's rate limit", None)
    assert put_back.title.startswith("Retried in 7")
    assert put_back.title.endswith("rate limit")
    await side.run(ref)
    events = [event for event in (await side.history(ref)).events if event.kind != "step"]
    assert [event.kind for event in events[-4:]] == ["put_back", "wait", "started", "completed"]
    assert events[-3].seconds is not None


async def test_what_was_put_back_for_hours_does_not_grow_without_bound(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    side.image_model.answers.extend(RateLimited("429", 0.1) for _ in range(MAX_ENTRIES + 5))
    for _ in range(MAX_ENTRIES + 5):
        await side.run(ref)
    assert await untyped(side.redis).llen(keys.JOURNAL + ref.session_id) == MAX_ENTRIES
    assert "stopped" not in kinds((await side.history(ref)).events)


# Where it is


async def test_a_session_tells_its_story_while_it_runs(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    await enqueue(side.redis, ref)
    side.image_model.answers += [QuotaExhausted("401"), asyncio.get_running_loop().create_future()]
    await side.run(ref)
    history = await side.history(ref)
    assert [event.title for event in history.events][-1] == "Pause before the next attempt"
    assert [picture.label for picture in history.pictures] == ["Person", "Garment", "Result"]
    side.image_model.asked.clear()
    run = asyncio.create_task(side.run(ref))
    await side.image_model.asked.wait()
    job = f"{ref.channel}:{ref.owner_id}:{ref.session_id}"
    await untyped(side.redis).hset(keys.RUNNING, job, "worker-1")
    await untyped(side.redis).hset(keys.REPORTS, "worker-1", Reporter("worker-1", side.live_view, 1).beat())
    await untyped(side.redis).zadd(keys.WORKERS, {"worker-1": (time.time() + 10) * 1000})
    side.forget_the_status()
    history = await side.history(ref)
    assert history.where.startswith("Running on worker-1, attempt 2: the picture is being made, for ")
    story = history.events[[event.title for event in history.events].index("Attempt 2") :]
    assert [(event.title, event.seconds is None) for event in story] == [
        ("Attempt 2", True),
        ("Start the session", False),
        ("Fetch and prepare the pictures", False),
        ("Make the picture", True),
    ]
    assert story[0].worker == "worker-1"
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_first_attempt_is_no_empty_page(side: HistorySide, shop: LocalShop) -> None:
    """Nothing is in the history yet: the queue's own document says what is known."""
    ref = await Buyer(shop, Channel.B2B).buy()
    await enqueue(side.redis, ref)
    history = await side.history(ref)
    assert set(kinds(history.events)) == {"created", "pushed", "taken"}
    assert [picture.label for picture in history.pictures] == ["Person", "Garment", "Result"]


async def test_a_job_in_its_tenants_line_knows_its_place(side: HistorySide, shop: LocalShop) -> None:
    refs = [await Buyer(shop, Channel.B2B).buy() for _ in range(3)]
    line = f"{keys.LINE}b2b:{refs[2].owner_id}"
    for place, ref in enumerate(refs):
        job = f"b2b:{ref.owner_id}:{ref.session_id}"
        await untyped(side.redis).zadd(keys.JOBS, {job: (time.time() + 300) * 1000})
        await untyped(side.redis).zadd(line, {job: place})
    assert (await side.history(refs[2])).where == "Waiting for its turn, with 2 of the same store before it."
    await untyped(side.redis).hset(keys.PAUSES, "*", "{}")
    assert (await side.history(refs[2])).where.endswith("before it; it is paused.")


async def test_where_an_open_session_is(side: HistorySide, buyer: Buyer, redis_client: Redis) -> None:
    waiting, queued, running, nowhere = [await buyer.buy() for _ in range(4)]
    await push(redis_client, document(waiting), document(await buyer.buy()))
    await enqueue(redis_client, queued, running)
    job = f"{running.channel}:{running.owner_id}:{running.session_id}"
    await untyped(redis_client).hset(keys.RUNNING, job, "worker-9")
    assert (await side.history(waiting)).where == "Waiting in the producers' list, with 0 before it."
    assert (await side.history(queued)).where.startswith("Waiting for its turn, with 0 ")
    await defer(redis_client, queued, 1)
    assert (await side.history(queued)).where == "In the queue, about to be started."
    assert (await side.history(running)).where == "Running on worker-9."
    assert "nowhere in Redis" in (await side.history(nowhere)).where
    await defer(redis_client, queued, 9e15)
    assert (await side.history(queued)).where.startswith("Retried")


async def test_hostile_documents_before_a_task_do_not_hide_it(
    side: HistorySide, buyer: Buyer, redis_client: Redis
) -> None:
    ref = await buyer.buy()
    await push(redis_client, b"\xff\x00", b"[" * 5000, b'{"session_id": 1e999}', b"{}", b"x" * 2_000_000, document(ref))
    assert (await side.history(ref)).where == "Waiting in the producers' list, with 5 before it."


# Finding


async def test_a_session_is_found_by_each_of_its_ids(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref, request_id="req_b2c_1")
    ids = [ref.session_id, ref.owner_id]
    if ref.channel is Channel.B2B:
        ids.append(buyer.shop.row(ref)["request_id"])
    else:
        ids.append("req_b2c_1")
    for term in ids:
        (hit,) = await side.sessions.find(term)
        assert hit.session_id == ref.session_id
        assert hit.request_id == term or not term.startswith("req_")


@pytest.mark.parametrize(
    "term", ["", "req_unknown", "x" * 5000, "nul\x00", "%", "../..", "00000000-0000-4000-8000-000000000000"]
)
async def test_what_is_nobodys_finds_nothing(side: HistorySide, buyer: Buyer, term: str) -> None:
    await side.run(await buyer.buy())
    assert await side.sessions.find(term) == []
    assert await side.sessions.read(term) is None
    assert await side.sessions.sign_picture(term, "result") is None


# Pictures


async def test_pictures_are_signed_on_demand_and_only_ours(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2C).buy()
    ours = await shop.platform.add_upload(b"\xff\xd8 person", ".jpg")
    foreign = "https://user:pw@pictures.example/garment.jpg?token=eyJhbGciOi"
    side.image_model.answers.append(RequestRefused("401"))
    await side.run(ref, image_urls=[ours, foreign])
    history = await side.history(ref)
    person, garment, result = history.pictures
    assert (person.name, person.label, person.available) == ("input/0", "Person", True)
    assert (garment.label, garment.available, garment.where) == ("Garment", False, "pictures.example")
    assert (result.name, result.available) == ("result", False)
    url = await side.sessions.sign_picture(ref.session_id, "input/0")
    assert url is not None
    assert url.partition("?")[0] == ours.partition("?")[0]
    for name in ("input/1", "input/2", "input/-1", "input/", "result", "", "input/0/../0", "generated/x"):
        assert await side.sessions.sign_picture(ref.session_id, name) is None, name
    (entry,) = await untyped(side.redis).lrange(keys.JOURNAL + ref.session_id, 0, -1)
    for hidden in (b"eyJhbGciOi", b"signature", b"expires", b"pw@", b"garment.jpg"):
        assert hidden not in entry


async def test_a_result_is_signed(side: HistorySide, buyer: Buyer) -> None:
    ref = await buyer.buy()
    await side.run(ref)
    assert (await side.history(ref)).pictures[-1].available
    url = await side.sessions.sign_picture(ref.session_id, "result")
    assert url is not None
    assert ref.picture_path in url


# What must not be seen


@pytest.mark.usefixtures("_logs")
async def test_no_address_token_or_secret_is_told(side: HistorySide, shop: LocalShop) -> None:
    ref = await Buyer(shop, Channel.B2B, "ann@example.com").buy()
    shop.sql(
        "insert into store_credit_transactions (store_id, request_id, amount, type, description, created_at)"
        " values (?, ?, -1, 'overage', ?, '2026-11-24')",
        ref.owner_id,
        shop.row(ref)["request_id"],
        'odd (shopper="an n"@exämple)',
    )
    url = "https://p.supabase.co/storage/v1/object/sign/b/x.jpg?token=eyJhbGciOi"
    side.image_model.answers.append(RequestRefused(f"{SECRET} was refused for bob@example.org at {url}"))
    await side.run(ref)
    shop.set_row(ref, error_message="ask carol@example.net")
    told = (await side.history(ref)).model_dump_json()
    kept = b"".join(await untyped(side.redis).lrange(keys.JOURNAL + ref.session_id, 0, -1)).decode()
    for hidden in (SECRET, "eyJhbGciOi", "bob@", "example.org"):
        assert hidden not in told
        assert hidden not in kept
    for hidden in ("ann@", "carol@", "an n", "exämple"):
        assert hidden not in told
    assert "(shopper=***)" in told


# A journal that is damaged, away or switched off


async def test_entries_that_nobody_can_read_are_left_out(side: HistorySide, buyer: Buyer) -> None:
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
    history = await side.history(ref)
    assert kinds(history.events)[-1] == "completed"


async def test_without_a_journal_row_and_ledger_still_tell(
    redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, buyer: Buyer
) -> None:
    side = HistorySide(redis_client, platform, tmp_path, journal_hours=0)
    ref = await buyer.buy()
    side.image_model.answers.append(RequestRefused("401"))
    await side.run(ref)
    assert await redis_client.keys(keys.JOURNAL + "*") == []
    history = await side.history(ref)
    assert kinds(history.events) == ["created", "failed", "refund"]
    assert history.refund.state is RefundState.GIVEN_BACK
    assert history.where == "Failed: Internal error during generation"
