"""One task's way through consumer, worker and pipeline."""

import traceback
from itertools import takewhile
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.history_side import HistorySide
from support.job_side import (
    Buyer,
    FaultyPlatform,
    LocalShop,
    document,
    enqueue,
    eventually,
    new_consumer,
    push,
    running_worker,
    take_all,
)
from wearon.local.credits import DEMO_CREDITS
from wearon.operations.session_index import SessionQuery
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.limits import Limits
from wearon.tryon.retry_policy import STORE_LIMIT_MESSAGE, Reason

pytestmark = pytest.mark.slow


async def test_a_job_reaches_its_first_step_in_four_frames_of_two_files(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, tmp_path: Path
) -> None:
    side, ref = HistorySide(redis_client, platform, tmp_path), await Buyer(shop, Channel.B2C).buy()
    frames: list[str] = []

    async def look(method: str) -> None:
        if method == "start_session":  # what the first step does
            frames.extend(frame.filename for frame in traceback.extract_stack() if "/src/wearon/" in frame.filename)

    async def is_completed() -> bool:
        return shop.status(ref) == "completed"

    platform.before = look
    async with running_worker(redis_client, side.pipeline.generate) as worker:
        await enqueue(redis_client, ref)
        worker.wake_up()
        await eventually(is_completed)
    before_the_step = list(takewhile(lambda name: not name.endswith("tryon/sessions.py"), frames))
    assert [Path(name).name for name in before_the_step] == ["worker.py", "worker.py", "pipeline.py", "pipeline.py"]


async def test_what_is_over_a_stores_limit_of_a_day_fails_with_its_own_sentence_and_is_refunded_once(
    redis_client: Redis, shop: LocalShop, platform: FaultyPlatform, tmp_path: Path
) -> None:
    side, store, user = (
        HistorySide(redis_client, platform, tmp_path),
        Buyer(shop, Channel.B2B),
        Buyer(shop, Channel.B2C),
    )
    accepted, refused, other = await store.buy(), await store.buy(), await user.buy()

    async def all_have_ended() -> bool:
        return not await redis_client.exists(keys.TASKS, keys.PENDING, keys.JOBS, keys.REFUNDS)

    async with running_worker(redis_client, side.pipeline.generate, reject=side.rejections.reject) as worker:
        consumer = new_consumer(redis_client, redis_client, worker, Limits(store_a_day=1))
        for _ in range(2):  # what is pushed again after its end changes nothing
            for ref in (accepted, refused, other):
                await push(redis_client, document(ref))
                await take_all(redis_client, consumer)
            await eventually(all_have_ended)
    assert (shop.status(accepted), shop.status(other)) == ("completed", "completed")
    row = shop.row(refused)
    assert (row["status"], row["error_message"]) == ("failed", STORE_LIMIT_MESSAGE)
    assert len(shop.refunds(refused)) == 1
    assert await store.balance() == DEMO_CREDITS - 1
    assert len(side.image_model.requests) == 2, "nothing is paid for it"
    assert await side.dead_letters.list() == [], "the task is good"
    (line,) = (await side.search.page(SessionQuery(reason=Reason.STORE_LIMIT))).sessions
    assert line.session_id == refused.session_id
    history = await side.history(refused)
    assert history.reason == "the store has had its 1 tasks for today"
    assert history.advice is not None
    assert history.advice.headline == "The store has had its tasks for today."
