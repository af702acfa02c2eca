"""What the fleet did, counted by minute and by day in Redis, so that everybody sees the same last hour.

A minute is a hash of whole numbers: `completed`, `failed`, `put_back`, `refunded`, `calls` (requests to the image
model), `answered`, `call_ms` (the answered ones' time together), `cost_micro` (millionths of a US dollar),
`reason:<Reason>` (of the failed) and `took:<n>` (answered requests by duration, see `BOUNDS_S`). A day has
`pictures`, `unknown_cost` and `cost_micro`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from wearon.tryon import keys
from wearon.tryon.progress import Outcome, Run, Settled, Settlement

BOUNDS_S = (
    0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 45, 50, 60,
    70, 80, 100, 120, 150, 180,
)  # fmt: skip
"""Upper bounds of the durations counted together, about a sixth apart: percentiles are right to within that."""

MICRO = 1_000_000

COUNTED_OUTCOMES = {Outcome.COMPLETED: "completed", Outcome.FAILED: "failed", Outcome.PUT_BACK: "put_back"}


def minute_key(moment: datetime) -> str:
    """Where a minute is counted."""
    return f"{keys.MINUTE}{moment.astimezone(UTC):%Y%m%d%H%M}"


def day_key(moment: datetime) -> str:
    """Where a day is counted."""
    return f"{keys.DAY}{moment.astimezone(UTC):%Y%m%d}"


def of_run(run: Run) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """What a run adds to its minute and its day."""
    minute, day = Counter[str](), Counter[str]()
    if run.outcome in COUNTED_OUTCOMES:
        minute[COUNTED_OUTCOMES[run.outcome]] = 1
    if run.outcome is Outcome.FAILED and run.category is not None:
        minute[f"reason:{run.category}"] = 1
    if run.settlement is not None:
        minute += of_settlement(run.settlement)
    minute["calls"] = run.calls
    minute["answered"] = len(run.answered_s)
    minute["call_ms"] = round(sum(run.answered_s) * 1000)
    for seconds in run.answered_s:
        minute[f"took:{bisect_left(BOUNDS_S, seconds)}"] += 1
    if run.made_picture and run.outcome is not Outcome.PUT_BACK:  # then it is counted when it is used
        day["pictures"] = 1
        if run.usage is None or run.usage.cost_usd is None:
            day["unknown_cost"] = 1
        else:
            minute["cost_micro"] = day["cost_micro"] = round(run.usage.cost_usd * MICRO)
    return +minute, +day


def of_settlement(settlement: Settlement) -> Counter[str]:
    """What a refund adds to its minute."""
    return Counter(refunded=1) if settlement.settled is Settled.GIVEN_BACK else Counter()


def dollars(micro: int) -> Decimal:
    """Millionths as US dollars."""
    return Decimal(micro) / MICRO


def percentile_s(took: Mapping[int, int], share: float) -> float | None:
    """The duration below which `share` of the requests stayed, between the bounds that are known; None without any."""
    wanted = share * sum(took.values())
    seen = 0.0
    for place in sorted(took):
        if seen + took[place] >= wanted and took[place]:
            lower = BOUNDS_S[place - 1] if place else 0.0
            upper = BOUNDS_S[min(place, len(BOUNDS_S) - 1)]
            return round(lower + (upper - lower) * (wanted - seen) / took[place], 2)
        seen += took[place]
    return None


def last_minutes(until: datetime, count: int) -> list[datetime]:
    """The minutes up to the one of `until`, oldest first."""
    last = until.astimezone(UTC).replace(second=0, microsecond=0)
    return [last - timedelta(minutes=ago) for ago in reversed(range(count))]
