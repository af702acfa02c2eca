"""Feedback on a real Redis: counted once, corrected, bounded, and forgotten in time."""

import asyncio
from itertools import count

import pytest
from redis.asyncio import Redis

from support.estimates import answer
from wearon.feedback import store
from wearon.feedback.calibration import calibrate
from wearon.feedback.estimate_id import DAY_S, FEEDBACK_DAYS, Essentials, EstimateIds
from wearon.feedback.store import FeedbackFull, FeedbackStore
from wearon.feedback.verdict import Verdict
from wearon.queue import keys
from wearon.sizing import DEFAULT_CHART

NOW = 20_786 * DAY_S + 3600.0  # 29 November 2026
TODAY = 20_786

_nonces = count()


def said(day: int = TODAY, shop: str = "acme", right: int = 710) -> Essentials:
    ids = EstimateIds(b"secret", lambda: NOW)
    return ids.open(ids.seal(answer(), DEFAULT_CHART, shop) or "").model_copy(
        update={"day": day, "right": right, "nonce": f"n{next(_nonces)}"}
    )


@pytest.fixture
def feedback(redis_client: Redis) -> FeedbackStore:
    return FeedbackStore(redis_client, lambda: NOW)


async def counted(feedback: FeedbackStore, months: int = 13) -> dict[Verdict, int]:
    cells = await feedback.read(months)
    return {verdict: n for verdict in Verdict if (n := sum(cell.verdicts[verdict] for cell in cells))}


async def test_the_same_feedback_counts_once_and_another_takes_its_place(feedback: FeedbackStore) -> None:
    estimate = said()
    await asyncio.gather(*(feedback.count(estimate, Verdict.RIGHT) for _ in range(10)))
    assert await counted(feedback) == {Verdict.RIGHT: 1}
    (cell,) = await feedback.read()
    assert (cell.store, cell.garment, cell.band) == ("acme", "full", "0.6-0.8")
    assert (cell.stated_right, cell.stated_larger) == (0.71, 0.23)
    await feedback.count(estimate, Verdict.RETURNED)
    assert await counted(feedback) == {Verdict.RETURNED: 1}
    (cell,) = await feedback.read()
    assert (cell.stated_right, cell.stated_larger) == (0.0, 0.0)
    await feedback.count(estimate, Verdict.SMALLER)
    await feedback.count(said(shop=""), Verdict.SMALLER)
    assert await counted(feedback) == {Verdict.SMALLER: 2}
    assert {row.name for row in calibrate(await feedback.read()).rows if row.by == "store"} == {"", "acme"}


async def test_months_are_those_of_the_estimates(feedback: FeedbackStore) -> None:
    await feedback.count(said(), Verdict.RIGHT)
    await feedback.count(said(TODAY - 40), Verdict.LARGER)  # in October
    assert await counted(feedback, 1) == {Verdict.RIGHT: 1}
    assert await counted(feedback, 2) == {Verdict.RIGHT: 1, Verdict.LARGER: 1}


async def test_all_of_it_expires(feedback: FeedbackStore, redis_client: Redis) -> None:
    await feedback.count(said(), Verdict.RIGHT)
    left = {name: await redis_client.ttl(name) for name in await redis_client.keys("wearon:feedback:*")}
    given, month = f"{keys.FEEDBACK_GIVEN}{TODAY}".encode(), f"{keys.FEEDBACK}202611".encode()
    assert set(left) == {given, month}
    assert FEEDBACK_DAYS * DAY_S < left[given] <= (FEEDBACK_DAYS + 2) * DAY_S
    assert 390 * DAY_S < left[month] <= 403 * DAY_S


async def test_a_day_and_a_month_are_bounded_and_corrections_still_count(
    feedback: FeedbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_A_DAY", 3)
    estimates = [said() for _ in range(4)]
    for estimate in estimates[:3]:
        await feedback.count(estimate, Verdict.RIGHT)
    with pytest.raises(FeedbackFull):
        await feedback.count(estimates[3], Verdict.RIGHT)
    await feedback.count(estimates[0], Verdict.LARGER)
    await feedback.count(said(TODAY - 1), Verdict.RIGHT)
    assert await counted(feedback) == {Verdict.RIGHT: 3, Verdict.LARGER: 1}
    monkeypatch.setattr(store, "MOST_COUNTERS", 4)
    with pytest.raises(FeedbackFull):
        await feedback.count(said(TODAY - 2, shop="other"), Verdict.RIGHT)
