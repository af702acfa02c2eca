"""Feedback in Redis: counters by month, store, garment type and confidence, and which estimates were heard of.

One command a feedback. Nothing of it lies in Redis but a verdict beside the estimate's random number, for as long as it
may be corrected.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from redis.asyncio import Redis

from wearon.feedback.calibration import Cell, confidence_band, read_cells
from wearon.feedback.estimate_id import DAY_S, FEEDBACK_DAYS, Essentials
from wearon.feedback.verdict import Verdict
from wearon.queue import keys
from wearon.redis.scripts import load_script

MOST_A_DAY = 5000
"""Estimates of one day that are heard of: 0.23 MB, for 100 days."""

MOST_COUNTERS = 20_000
"""Counters of one month, 2 MB: up to eight a store, garment type and band of confidence."""

MONTHS = 13
"""How long they are kept: each month can be compared with that of the year before."""


class FeedbackFull(Exception):
    """No more feedback is counted for estimates of that day."""


class FeedbackStore:
    """Counts feedback. All methods raise redis errors."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._redis = redis
        self._clock = clock
        self._count = redis.register_script(load_script("feedback", "count"))

    async def count(self, said: Essentials, verdict: Verdict) -> None:
        """Count the verdict once; another one to the same estimate takes its place. Raises FeedbackFull."""
        estimated_at = said.day * DAY_S
        cell = f"{said.store} {said.garment} {confidence_band(said.right)} "
        counted = await self._count(
            keys=[f"{keys.FEEDBACK_GIVEN}{said.day}", keys.FEEDBACK + _month(estimated_at)],
            args=[
                said.nonce,
                cell,
                verdict,
                said.right,
                said.right_is_larger,
                MOST_A_DAY,
                MOST_COUNTERS,
                self._seconds_until(estimated_at + (FEEDBACK_DAYS + 2) * DAY_S),
                self._seconds_until(estimated_at + MONTHS * 31 * DAY_S),
            ],
        )
        if counted < 0:
            raise FeedbackFull("No more feedback to estimates of that day")

    async def read(self, months: int = MONTHS) -> Sequence[Cell]:
        """What was counted to estimates of this month and those before, `months` in all."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        newest = now.year * 12 + now.month - 1
        pipe = self._redis.pipeline(transaction=False)
        for month in range(newest, newest - months, -1):
            pipe.hgetall(f"{keys.FEEDBACK}{month // 12:04}{month % 12 + 1:02}")
        found = cast("Sequence[Mapping[bytes, bytes]]", await pipe.execute())
        return [cell for counters in found for cell in read_cells(counters)]

    def _seconds_until(self, moment: int) -> int:
        return max(DAY_S, round(moment - self._clock()))


def _month(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m")
