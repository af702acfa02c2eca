"""One job from task to picture, on a real platform, Redis and spool; the image model answers from a script."""

import asyncio
import json
import time
from collections import deque
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from support.job_side import (
    GARMENT_URL,
    GUARD_S,
    PERSON_URL,
    PICTURE,
    Buyer,
    FaultyPlatform,
    LocalShop,
    ScriptedFetcher,
    ScriptedModel,
    enqueue,
    job_id,
    new_input_images,
    new_outbox,
    new_spool,
    some_session,
    task_fields,
)
from wearon.events import Events
from wearon.local.credits import DEMO_CREDITS
from wearon.net.errors import FetchError
from wearon.observability.tracing import Tracing
from wearon.pictures.decode import PictureError
from wearon.platform import outages
from wearon.platform.base import Channel, PlatformError, PlatformRefused, PlatformUnavailable, SessionRef
from wearon.platform.supabase_answers import Refusal
from wearon.queue.dead_letters import DeadLetters
from wearon.queue.job_document import BadJob, rejection_of_job
from wearon.queue.jobs import Attempt, JobQueue, Retry
from wearon.tryon import reconciler as reconciling
from wearon.tryon.deliveries import Deliveries
from wearon.tryon.image_model import (
    BadAnswer,
    GeneratedImage,
    GenerationError,
    ImageRequest,
    KeyRejected,
    Moderated,
    PaidAnswer,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from wearon.tryon.pipeline import DEFAULT_PROMPT, MAX_CRASHES, Pipeline
from wearon.tryon.reconciler import Reconciler
from wearon.tryon.rejections import Rejections
from wearon.tryon.retry_policy import INTERNAL_MESSAGE, MODERATION_MESSAGE, OUTAGE_PAUSE_S, Refused, RetryPolicy
from wearon.tryon.run import RunEnded, Runs
from wearon.tryon.sessions import Sessions

pytestmark = pytest.mark.slow


class Desk:
    """A pipeline with everything around it; `run` is what the job worker does with one job."""

    def __init__(self, redis: Redis, platform: FaultyPlatform, spool_folder: Path) -> None:
        self.image_model = ScriptedModel()
        self.stored: list[str] = []
        self.fetcher = ScriptedFetcher({PERSON_URL: [b"person"], GARMENT_URL: [b"garment"]})
        self.spool_folder = spool_folder
        self.events = events = Events()
        self.dead_letters = DeadLetters(redis, events)
        self.outbox = new_outbox(redis, platform, events)
        self.steps_confirmed = 0
        self.spool = new_spool(spool_folder)
        runs = Runs(events, Tracing())
        self.attempt = Attempt(first_started_at=time.time())
        self.sessions = Sessions(platform, self.outbox, self.dead_letters, self._confirm, runs)
        self.deliveries = Deliveries(self.sessions, self.image_model, self.spool, runs)
        self.rejections = Rejections(self.sessions, runs)
        self.pipeline = Pipeline(
            self.sessions,
            new_input_images(self.fetcher, self._prepare, is_stored=lambda url: url in self.stored),
            self.image_model,
            self.spool,
            self.deliveries,
            self.rejections,
            RetryPolicy(max_rate_limited=2, deadline_s=500.0),
            runs,
            is_paused=lambda _ref: False,
        )

    async def run(self, ref: SessionRef, **changes: Any) -> Retry | None:
        """Run the session's job once, and count the attempt."""
        answer = await self.pipeline.generate(task_fields(ref, **changes), self.attempt)
        put_back = int(answer is not None)
        self.attempt = replace(
            self.attempt,
            number=self.attempt.number + 1,
            retried=self.attempt.retried + put_back,
            rate_limited=self.attempt.rate_limited + int(answer is not None and answer.rate_limited),
        )
        return answer

    @property
    def paid(self) -> int:
        """How often the image model was asked."""
        return len(self.image_model.requests)

    @property
    def spooled(self) -> list[Path]:
        """Pictures on disk."""
        return list(self.spool_folder.glob("*")) if self.spool_folder.exists() else []

    async def _confirm(self) -> None:
        self.steps_confirmed += 1

    async def _prepare(self, data: bytes) -> bytes:
        if data == b"not a picture":
            raise PictureError("not a picture")
        return b"prepared " + data


@pytest.fixture
def desk(redis_client: Redis, platform: FaultyPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 0.0)  # the first lost answer ends the run
    monkeypatch.setattr("wearon.tryon.input_images.PAUSE_S", (0.0, 0.0))
    return Desk(redis_client, platform, tmp_path / "spool")


async def assert_completed(desk: Desk, shop: LocalShop, buyer: Buyer, ref: SessionRef) -> None:
    """Completed, paid by the shopper once, nothing left behind."""
    assert shop.status(ref) == "completed"
    assert await shop.platform.has_picture(ref)
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert shop.refunds(ref) == []
    assert desk.spooled == []
    assert await desk.outbox.pending() == []


async def assert_failed(desk: Desk, shop: LocalShop, buyer: Buyer, ref: SessionRef, message: str) -> None:
    """Failed with that message, the credit back once, nothing left behind."""
    row = shop.row(ref)
    assert (row["status"], row["error_message"]) == ("failed", message)
    assert await buyer.balance() == DEMO_CREDITS
    assert len(shop.refunds(ref)) == 1
    assert desk.spooled == []
    assert await desk.outbox.pending() == []


async def test_a_task_becomes_a_picture(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    assert await desk.run(ref, prompt="  in the rain ") is None
    await assert_completed(desk, shop, buyer, ref)
    row = shop.row(ref)
    assert (row["input_tokens"], row["output_tokens"]) == (812, 1584)
    assert Decimal(row["estimated_cost_usd"]) == Decimal("0.056123")
    assert row["completed_at"] is not None
    assert row["processing_time_ms"] >= 0
    assert ref.picture_path in row["generated_image_url"]
    (request,) = desk.image_model.requests
    assert (request.prompt, request.request_id) == ("in the rain", "req_test")
    assert request.pictures == [b"prepared person", b"prepared garment"]
    assert desk.steps_confirmed >= 2


@pytest.mark.parametrize("prompt", ["", "  \n"])
async def test_without_a_prompt_the_default_one_is_used(desk: Desk, buyer: Buyer, prompt: str) -> None:
    await desk.run(await buyer.buy(), prompt=prompt)
    assert desk.image_model.requests[0].prompt == DEFAULT_PROMPT


async def test_a_picture_without_usage_is_a_picture(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.append(GeneratedImage(PICTURE.jpeg, None))
    await desk.run(ref)
    await assert_completed(desk, shop, buyer, ref)
    assert shop.row(ref)["estimated_cost_usd"] is None


async def test_a_rate_limit_shows_as_queued_and_is_waited_out(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.append(RateLimited("429", 7.0))
    answer = await desk.run(ref)
    assert answer is not None
    assert answer.rate_limited
    assert 7.0 < answer.delay_s < 8.0
    assert shop.status(ref) == "queued"
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


async def test_the_last_rate_limit_fails_and_refunds(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.extend(RateLimited("429", 1.0) for _ in range(3))
    for _ in range(2):
        assert isinstance(await desk.run(ref), Retry)
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


@pytest.mark.parametrize("error", [None, PlatformRefused("400")], ids=["away", "refused"])
async def test_a_rate_limit_is_counted_though_the_platform_cannot_show_it(
    desk: Desk, platform: FaultyPlatform, buyer: Buyer, error: Exception | None
) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.append(RateLimited("429", 7.0))
    platform.break_next("requeue_session", **({"error": error} if error else {}))
    answer = await desk.run(ref)
    assert answer is not None
    assert answer.rate_limited


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Moderated("violence"), MODERATION_MESSAGE),
        (RequestRefused("400"), INTERNAL_MESSAGE),
        (ZeroDivisionError("a bug"), INTERNAL_MESSAGE),
        (TimeoutError(), INTERNAL_MESSAGE),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_the_model_refuses_fails_and_refunds(
    desk: Desk, shop: LocalShop, buyer: Buyer, error: Exception, message: str
) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.append(error)
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, message)
    assert desk.paid == 1


@pytest.mark.parametrize(
    "error", [KeyRejected("401"), ServiceUnavailable("503")], ids=lambda error: type(error).__name__
)
async def test_a_refusal_about_us_is_waited_out(
    desk: Desk, shop: LocalShop, buyer: Buyer, error: GenerationError
) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.extend([error] * 4)
    for _ in range(4):
        answer = await desk.run(ref)
        assert isinstance(answer, Retry)
        assert not answer.rate_limited
    assert await buyer.balance() == DEMO_CREDITS - 1
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


async def test_past_the_deadline_a_refusal_about_us_fails_with_one_refund(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    desk.attempt = replace(desk.attempt, first_started_at=time.time() - 10_000)
    desk.image_model.answers.append(KeyRejected("401"))
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


@pytest.mark.parametrize("answer", [b"not a picture", FetchError("answered 404", transient=False)])
async def test_a_bad_picture_fails_and_refunds_before_anything_is_paid(
    desk: Desk, shop: LocalShop, buyer: Buyer, answer: bytes | Exception
) -> None:
    ref = await buyer.buy()
    desk.fetcher.answers = {PERSON_URL: [b"person"], GARMENT_URL: [answer]}
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)
    assert desk.paid == 0


async def test_our_own_storage_away_is_waited_for(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    gone = FetchError("could not connect", transient=True)
    desk.fetcher.answers = {PERSON_URL: [gone, gone, gone, b"person"], GARMENT_URL: [b"garment"]}
    desk.fetcher.trusted = [PERSON_URL]
    assert await desk.run(ref) == Retry(OUTAGE_PAUSE_S)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


async def test_a_gateway_that_refuses_our_own_storages_pictures_fails_nobody(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    page = FetchError("its content type is not image/*", transient=False, says_nothing=True)
    desk.fetcher.answers = {PERSON_URL: [page, b"person"], GARMENT_URL: [b"garment"]}
    desk.stored = [PERSON_URL]
    assert await desk.run(ref) == Retry(OUTAGE_PAUSE_S)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


@pytest.mark.parametrize("answer_lost", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "method", ["start_session", "check_bucket", "store_picture", "sign_picture", "complete_session"]
)
async def test_the_platform_away_at_any_step_fails_nobody_and_pays_once(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, method: str, answer_lost: bool
) -> None:
    ref = await buyer.buy()
    platform.break_next(method, answer_lost=answer_lost)
    assert await desk.run(ref) == Retry(OUTAGE_PAUSE_S)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


@pytest.mark.parametrize("method", ["start_session", "store_picture", "sign_picture", "complete_session"])
async def test_a_short_absence_is_waited_for_within_the_run(
    desk: Desk,
    shop: LocalShop,
    platform: FaultyPlatform,
    buyer: Buyer,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 60.0)
    ref = await buyer.buy()
    platform.break_next(method, answer_lost=True, times=2)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


class Killed(BaseException):
    """A SIGKILL, as far as the code can tell."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", ["start_session", "store_picture", "sign_picture", "complete_session"])
async def test_killed_at_any_step_on_the_same_disk_it_pays_once(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, method: str, when: str
) -> None:
    ref = await buyer.buy()

    async def kill(called: str) -> None:
        if called == method:
            setattr(platform, when, None)
            raise Killed

    setattr(platform, when, kill)
    with pytest.raises(Killed):
        await desk.run(ref)
    desk.attempt = replace(desk.attempt, number=2)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


@pytest.mark.parametrize(
    ("in_answer", "disk_full", "kept"),
    [(True, False, [".answer"]), (False, False, [".answer", ".picture"]), (True, True, [".picture"])],
    ids=["the answer holds it", "the answer points to it", "there was no room for the answer"],
)
async def test_what_was_paid_is_on_the_disk_once_before_the_upload(
    desk: Desk,
    platform: FaultyPlatform,
    buyer: Buyer,
    monkeypatch: pytest.MonkeyPatch,
    in_answer: bool,
    disk_full: bool,
    kept: list[str],
) -> None:
    async def no_room(ref: SessionRef, answer: PaidAnswer) -> bool:
        return False

    desk.image_model.answers.append(replace(PICTURE, in_answer=in_answer))
    if disk_full:
        monkeypatch.setattr(desk.spool, "keep_answer", no_room)
    platform.break_next("store_picture")
    await desk.run(await buyer.buy())
    assert sorted(path.suffix for path in desk.spooled) == kept


async def test_a_paid_answer_waits_while_the_picture_that_it_points_to_is_away(
    desk: Desk, shop: LocalShop, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await buyer.buy()

    async def away(_: PaidAnswer) -> GeneratedImage:
        raise ServiceUnavailable("the picture that the answer points to could not connect")

    with monkeypatch.context() as patch:
        patch.setattr(desk.image_model, "read", away)
        for _ in range(2):
            assert isinstance(await desk.run(ref), Retry)
    assert [path.suffix for path in desk.spooled] == [".answer"]
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


@pytest.mark.parametrize("a_day_later", [False, True], ids=["at once", "when starts are forgotten"])
async def test_a_picture_in_storage_is_found_from_another_disk(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, a_day_later: bool
) -> None:
    ref = await buyer.buy()
    platform.break_next("complete_session")
    await desk.run(ref)
    for path in desk.spooled:
        path.unlink()
    if a_day_later:
        desk.attempt = replace(desk.attempt, number=1)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


async def test_a_full_disk_does_not_cost_the_shopper_the_picture(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    desk.spool_folder.write_text("a file where the folder should be")
    assert await desk.run(ref) is None
    assert shop.status(ref) == "completed"


async def test_cancelled_while_the_answer_comes_it_is_kept_and_the_job_stops(
    desk: Desk, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def request(_: ImageRequest) -> PaidAnswer:
        return PaidAnswer(PICTURE.jpeg, "gpt-image-2", cancelled=True)

    monkeypatch.setattr(desk.image_model, "request", request)
    with pytest.raises(asyncio.CancelledError):
        await desk.run(await buyer.buy())
    assert [path.suffix for path in desk.spooled] == [".answer"]


async def test_cancelled_as_the_answer_comes_the_picture_is_kept_first(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    answer: asyncio.Future[GeneratedImage] = asyncio.get_running_loop().create_future()
    desk.image_model.answers.append(answer)
    job = asyncio.create_task(desk.run(ref))
    async with asyncio.timeout(GUARD_S):
        await desk.image_model.asked.wait()
    answer.set_result(PICTURE)
    saving = asyncio.Event()
    keep = desk.spool._keep

    async def slow_keep(*args: Any) -> None:
        saving.set()
        await asyncio.sleep(0.01)
        await keep(*args)

    desk.spool._keep = slow_keep  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(GUARD_S):
        await saving.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert len(desk.spooled) == 1
    assert shop.status(ref) == "processing"
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


async def test_a_deadline_ends_a_generation_that_hangs(
    desk: Desk, shop: LocalShop, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.tryon.pipeline.LEAST_RUN_S", 0.05)
    ref = await buyer.buy()
    desk.attempt = replace(desk.attempt, first_started_at=time.time() - 1000)
    desk.image_model.answers.append(asyncio.get_running_loop().create_future())
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


async def test_a_paid_picture_may_wait_for_the_lease_past_any_deadline(
    desk: Desk, shop: LocalShop, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.tryon.pipeline.LEAST_RUN_S", 0.4)
    desk.attempt = replace(desk.attempt, first_started_at=time.time() - 1000)
    ref = await buyer.buy()

    async def redis_is_away_for_longer() -> None:
        await asyncio.sleep(0.5)

    desk.sessions.confirm_lease = redis_is_away_for_longer
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_final_session_is_left_alone_quietly(desk: Desk, shop: LocalShop, buyer: Buyer, status: str) -> None:
    ref = await buyer.buy()
    shop.set_row(ref, status=status, error_message="as it was")
    before = shop.row(ref)
    assert await desk.run(ref) is None
    assert shop.row(ref) == before
    assert shop.refunds(ref) == []
    assert desk.paid == 0
    assert await desk.dead_letters.list() == []


@pytest.mark.parametrize("known", [True, False], ids=["somebody else's", "unknown"])
async def test_a_session_of_nobody_or_somebody_else_is_a_dead_letter_and_untouched(
    desk: Desk, shop: LocalShop, buyer: Buyer, known: bool
) -> None:
    ref = await buyer.buy()
    before = shop.row(ref)
    wrong = SessionRef(ref.channel, str(uuid4()), ref.session_id if known else str(uuid4()))
    assert await desk.run(wrong) is None
    assert shop.row(ref) == before
    assert shop.refunds(ref) == []
    assert desk.paid == 0
    (letter,) = await desk.dead_letters.list()
    assert letter.session_id == wrong.session_id
    assert letter.request_id == "req_test"
    assert ("somebody else" if known else "no such session") in letter.reason
    assert wrong.session_id in letter.payload


async def test_what_the_cron_failed_meanwhile_is_not_completed_and_not_refunded_again(
    desk: Desk, shop: LocalShop
) -> None:
    buyer = Buyer(shop, Channel.B2C)
    ref = await buyer.buy()
    answer: asyncio.Future[GeneratedImage] = asyncio.get_running_loop().create_future()
    desk.image_model.answers.append(answer)
    job = asyncio.create_task(desk.run(ref))
    async with asyncio.timeout(GUARD_S):
        await desk.image_model.asked.wait()
    shop.cron(ref)
    answer.set_result(PICTURE)
    assert await job is None
    await assert_failed(desk, shop, buyer, ref, "Timed out")


async def test_what_the_cron_failed_is_not_refunded_again_when_the_generation_fails_too(
    desk: Desk, shop: LocalShop
) -> None:
    buyer = Buyer(shop, Channel.B2C)
    ref = await buyer.buy()
    answer: asyncio.Future[GeneratedImage] = asyncio.get_running_loop().create_future()
    desk.image_model.answers.append(answer)
    job = asyncio.create_task(desk.run(ref))
    async with asyncio.timeout(GUARD_S):
        await desk.image_model.asked.wait()
    shop.cron(ref)
    answer.set_exception(Moderated("violence"))
    assert await job is None
    await assert_failed(desk, shop, buyer, ref, "Timed out")


async def test_a_session_put_back_to_queued_by_another_copy_is_completed_by_the_next_run(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()

    async def another_copy_is_rate_limited(method: str) -> None:
        if method == "complete_session":
            platform.before = None
            await shop.platform.requeue_session(ref)

    platform.before = another_copy_is_rate_limited
    assert isinstance(await desk.run(ref), Retry)
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 1


async def test_a_bucket_that_takes_nothing_is_found_before_anything_is_paid(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    platform.break_next("check_bucket", error=PlatformRefused("there is no bucket"))
    assert await desk.run(ref) == Retry(OUTAGE_PAUSE_S)
    assert desk.paid == 0
    assert await desk.run(ref) is None
    await assert_completed(desk, shop, buyer, ref)


OLDER_THAN_ANY_DEADLINE_S = 100_000.0


@pytest.mark.parametrize("method", ["store_picture", "sign_picture", "complete_session"])
@pytest.mark.parametrize("age_s", [0.0, OLDER_THAN_ANY_DEADLINE_S])
async def test_a_paid_picture_outlives_a_refusal_of_any_length(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, method: str, age_s: float
) -> None:
    ref = await buyer.buy()
    platform.break_next(method, error=PlatformRefused("401 PGRST303"), times=3)
    desk.attempt = Attempt(first_started_at=time.time() - age_s)
    for _ in range(3):
        assert await desk.run(ref) == Retry(OUTAGE_PAUSE_S)
        assert await desk.spool.load_picture(ref) == PICTURE
    assert await desk.run(ref) is None
    assert desk.paid == 1
    await assert_completed(desk, shop, buyer, ref)


@pytest.mark.parametrize("error", [PlatformRefused("401 PGRST303"), PlatformUnavailable("502")])
async def test_an_unpaid_session_fails_past_the_deadline_once_the_platform_takes_it(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, error: PlatformError
) -> None:
    ref = await buyer.buy()
    for method in ("start_session", "fail_session"):
        platform.break_next(method, error=error)
    desk.attempt = Attempt(first_started_at=time.time() - OLDER_THAN_ANY_DEADLINE_S)
    assert await desk.run(ref) is None
    assert shop.status(ref) == "queued"
    (intent,) = await desk.outbox.pending()
    await desk.outbox.settle(intent)
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)
    assert desk.paid == 0


async def test_what_is_paid_for_stays_until_its_session_is_final(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer, reconciler: Reconciler
) -> None:
    ref = await buyer.buy()
    platform.break_next("complete_session", error=Refusal("400 22003: out of range", 400, "22003"))
    platform.break_next("fail_session")
    assert await desk.run(ref) is None
    assert shop.status(ref) == "processing"
    assert await desk.spool.load_picture(ref) == PICTURE
    (intent,) = await desk.outbox.pending()
    await desk.outbox.settle(intent)
    await reconcile(reconciler)
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


async def test_what_is_surely_about_this_session_is_its_end(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    platform.break_next("start_session", error=Refusal("400 22003: out of range", 400, "22003"))
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


async def test_the_platform_away_when_it_fails_is_made_good_by_the_outbox(
    desk: Desk, shop: LocalShop, platform: FaultyPlatform, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    desk.image_model.answers.append(Moderated("violence"))
    platform.break_next("fail_session")
    assert await desk.run(ref) is None
    assert len(await desk.outbox.pending()) == 1
    desk.outbox._not_before.clear()
    await desk.outbox.settle_due()
    await assert_failed(desk, shop, buyer, ref, MODERATION_MESSAGE)


async def test_a_job_that_kills_its_worker_again_and_again_is_given_up(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    desk.attempt = replace(desk.attempt, number=MAX_CRASHES + 1)
    assert desk.attempt.crashes == MAX_CRASHES
    desk.image_model.answers = deque([RateLimited("429", 1.0)])
    assert isinstance(await desk.run(ref), Retry), "ten crashes are not too many"
    desk.attempt = Attempt(first_started_at=time.time(), number=MAX_CRASHES + 2)
    assert await desk.run(ref) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


async def test_an_unusable_task_fails_its_session(desk: Desk, shop: LocalShop, buyer: Buyer) -> None:
    ref = await buyer.buy()
    payload = {
        "channel": ref.channel.value,
        "owner_id": ref.owner_id,
        "session_id": ref.session_id,
        "request_id": "req_test",
        "reason": "unusable task: version 2",
    }
    await desk.rejections.reject(payload, desk.attempt)
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"channel": "b2c", "owner_id": 1, "session_id": 2},
        {"channel": []},
        rejection_of_job("\udcffodd", BadJob("its data is missing"), b"\xff\x1b[2J"),
    ],
)
async def test_a_rejection_that_names_nobody_is_a_dead_letter_and_the_end_of_it(
    desk: Desk, payload: dict[str, object]
) -> None:
    await desk.rejections.reject(payload, desk.attempt)
    (letter,) = await desk.dead_letters.list()
    assert letter.reason.startswith("unusable job: ")
    assert letter.payload == json.dumps(payload)
    assert letter.payload.isprintable()


async def test_a_job_that_cannot_be_read_fails_its_session_and_is_a_dead_letter(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    payload = rejection_of_job(job_id(ref), BadJob("its data cannot be read"), b"[")
    await desk.rejections.reject(payload, desk.attempt)
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)
    nobody = some_session()
    payload = rejection_of_job(job_id(nobody), BadJob("its data is missing"), b"")
    await desk.rejections.reject(payload, desk.attempt)
    letters = {letter.session_id: letter.reason for letter in await desk.dead_letters.list()}
    assert letters == {
        ref.session_id: "unusable job: its data cannot be read",
        nobody.session_id: "unusable job: its data is missing",
    }


async def test_a_job_of_another_version_fails_its_session_and_is_a_dead_letter(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    assert await desk.run(ref, image_urls=[], version=2) is None
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)
    (letter,) = await desk.dead_letters.list()
    assert letter.session_id == ref.session_id
    assert letter.reason.startswith("unusable job: ")


async def test_a_session_that_cannot_be_read_is_put_before_a_person_and_not_tried_for_ever(
    desk: Desk, shop: LocalShop, buyer: Buyer
) -> None:
    ref = await buyer.buy()
    shop.set_row(ref, status="failed", credits_used=-1)
    assert await desk.run(ref) is None
    (case,) = await desk.outbox.outstanding()
    assert case.intent.ref == ref
    assert "cannot read credits_used" in case.error


@pytest.fixture
def reconciler(
    desk: Desk, redis_client: Redis, platform: FaultyPlatform, monkeypatch: pytest.MonkeyPatch
) -> Reconciler:
    """Of the process that has the desk's spool, which was restarted long after."""
    monkeypatch.setattr(reconciling, "LEFT_BEHIND", timedelta(seconds=-1))
    monkeypatch.setattr(reconciling, "ORPHAN_AGE", timedelta(seconds=-1))
    queue = JobQueue(redis_client)
    return Reconciler(redis_client, platform, queue, desk.outbox, desk.spool, Events(), desk.deliveries.deliver)


async def reconcile(reconciler: Reconciler) -> None:
    await reconciler.deliver_left_behind()
    await reconciler.fail_orphans()


@pytest.mark.parametrize("kept", ["answer", "picture"])
async def test_a_paid_picture_whose_job_was_lost_is_delivered(
    desk: Desk, shop: LocalShop, buyer: Buyer, reconciler: Reconciler, kept: str
) -> None:
    ref = await buyer.buy()
    shop.set_row(ref, status="processing")
    await (
        desk.spool.keep_picture(ref, PICTURE)
        if kept == "picture"
        else desk.spool.keep_answer(ref, PaidAnswer(PICTURE.jpeg, None))
    )
    await reconcile(reconciler)
    await assert_completed(desk, shop, buyer, ref)
    assert desk.paid == 0


@pytest.mark.parametrize("kept", ["answer", "picture"])
async def test_a_paid_picture_is_known_by_its_model_after_a_crash(
    desk: Desk, shop: LocalShop, buyer: Buyer, kept: str
) -> None:
    ref = await buyer.buy()
    shop.set_row(ref, status="processing")
    if kept == "picture":
        await desk.spool.keep_picture(ref, replace(PICTURE, model="gpt-image-1.5"))
    else:
        await desk.spool.keep_answer(ref, PaidAnswer(PICTURE.jpeg, "gpt-image-1.5"))
    with capture_logs() as logs:
        await desk.run(ref)
    assert [line["model"] for line in logs if line["event"] == "session completed"] == ["gpt-image-1.5"]
    assert desk.paid == 0


async def test_one_whose_job_still_waits_is_left_to_the_job(
    desk: Desk, shop: LocalShop, buyer: Buyer, reconciler: Reconciler, redis_client: Redis
) -> None:
    ref = await buyer.buy()
    await desk.spool.keep_picture(ref, PICTURE)
    await enqueue(redis_client, ref)
    await reconcile(reconciler)
    assert shop.status(ref) == "queued"
    assert await desk.spool.load_picture(ref) == PICTURE


async def test_an_answer_without_a_picture_leaves_an_orphan_that_is_refunded(
    desk: Desk, shop: LocalShop, buyer: Buyer, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(answer: PaidAnswer) -> GeneratedImage:
        raise BadAnswer("nothing in it")

    monkeypatch.setattr(desk.image_model, "read", read)
    ref = await buyer.buy()
    await desk.spool.keep_answer(ref, PaidAnswer(b"{}", None))
    await reconcile(reconciler)
    await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)


async def test_a_picture_of_a_session_that_has_ended_is_thrown_away(
    desk: Desk, shop: LocalShop, buyer: Buyer, reconciler: Reconciler
) -> None:
    ref = await buyer.buy()
    shop.cron(ref)
    await desk.spool.keep_picture(ref, PICTURE)
    await reconcile(reconciler)
    assert shop.status(ref) == "failed"
    assert desk.spooled == []


async def test_a_picture_waits_for_a_platform_that_is_away_and_so_does_its_session(
    desk: Desk, shop: LocalShop, buyer: Buyer, reconciler: Reconciler, platform: FaultyPlatform
) -> None:
    ref = await buyer.buy()
    await desk.spool.keep_picture(ref, PICTURE)
    platform.break_next("store_picture")
    await reconcile(reconciler)
    assert shop.status(ref) == "processing"
    await reconcile(reconciler)
    await assert_completed(desk, shop, buyer, ref)


@pytest.mark.parametrize("paid", [False, True])
async def test_a_paused_job_past_its_deadline_fails_with_one_refund_unless_its_picture_is_paid(
    desk: Desk, platform: FaultyPlatform, shop: LocalShop, buyer: Buyer, paid: bool
) -> None:
    ref = await buyer.buy()
    if paid:
        platform.break_next("store_picture")
        assert await desk.run(ref)
    desk.pipeline._is_paused = lambda _ref: True
    desk.attempt = replace(desk.attempt, first_started_at=time.time() - 501)
    assert await desk.run(ref) is None
    if paid:
        await assert_completed(desk, shop, buyer, ref)
    else:
        await assert_failed(desk, shop, buyer, ref, INTERNAL_MESSAGE)
    assert desk.paid == int(paid)


async def test_a_bucket_that_takes_nothing_is_told_to_the_fleet(
    desk: Desk, platform: FaultyPlatform, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Refused | None] = []
    desk.events.subscribe(RunEnded, lambda ended: refused.append(ended.run.refused))
    monkeypatch.setattr(outages, "OUTAGE_RETRY_S", 60.0)  # told at once, also where an outage is waited for
    platform.break_next("check_bucket", error=PlatformRefused("there is no bucket"))
    ref = await buyer.buy()
    assert await desk.run(ref)
    desk.image_model.answers.append(QuotaExhausted("429"))
    assert await desk.run(ref)
    assert refused == [Refused.BUCKET, Refused.QUOTA]
