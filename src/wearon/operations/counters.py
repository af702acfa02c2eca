"""What the fleet did, counted by minute and by day in Redis, so that every process shows the same last hour.

A minute is a hash of whole numbers: `completed`, `failed`, `put_back`, `refunded`, `calls` (requests to the image
model), `answered`, `call_ms` (the answered ones' time together), `cost_micro` (millionths of a US dollar),
`reason:<Reason>` (of the failed) and `took:<n>` (answered requests by duration, see `BOUNDS_S`). By cause
(`wearon.tryon.causes`) there are `retried:`, `failed:`, `refunded:` and `lost:` (millionths of a dollar), and by tenant
`picture:` (sessions of a store that failed for a picture; the script bounds how many stores). A day has `pictures`,
`unknown_cost` and `cost_micro`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from wearon.operations.models import Minute, Spend
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.tenants import tenant_of
from wearon.refunds.intents import Settled, Settlement
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, Run

BOUNDS_S = (
    0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 45, 50, 60,
    70, 80, 100, 120, 150, 180,
)  # fmt: skip
"""Upper bounds of the durations counted together, about a sixth apart: percentiles are right to within that."""

MICRO = 1_000_000

Counts = Mapping[str, int]
"""A minute or a day, as its hash has it."""

CAUSED = {"retried", "failed", "refunded", "lost", "picture"}
"""Kinds of counters that have a cause, or a store."""

COUNTED_OUTCOMES = {Outcome.COMPLETED: "completed", Outcome.FAILED: "failed", Outcome.RETRIED: "put_back"}


def minute_key(moment: datetime) -> str:
    """The key under which a minute is counted."""
    return f"{keys.MINUTE}{moment.astimezone(UTC):%Y%m%d%H%M}"


def day_key(moment: datetime) -> str:
    """The key under which a day is counted."""
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
    minute += _of_cause(run)
    minute["calls"] = run.calls
    minute["answered"] = len(run.answered_s)
    minute["call_ms"] = round(sum(run.answered_s) * 1000)
    for seconds in run.answered_s:
        minute[f"took:{bisect_left(BOUNDS_S, seconds)}"] += 1
    if run.made_picture and run.outcome is not Outcome.RETRIED:  # then it is counted when it is used
        day["pictures"] = 1
        if run.usage is None or run.usage.cost_usd is None:
            day["unknown_cost"] = 1
        else:
            minute["cost_micro"] = day["cost_micro"] = round(run.usage.cost_usd * MICRO)
    return +minute, +day


def _of_cause(run: Run) -> Counter[str]:
    """What a run that did not complete adds to the counters of its cause."""
    counts, cause = Counter[str](), run.counted_cause
    if run.outcome is Outcome.RETRIED:
        counts[f"retried:{cause}"] = 1
    if run.outcome is Outcome.FAILED:
        counts[f"failed:{cause}"] = 1
        if run.settlement is not None and run.settlement.settled is Settled.REFUNDED:
            counts[f"refunded:{cause}"] = 1
        if run.usage is not None and run.usage.cost_usd is not None:
            counts[f"lost:{cause}"] = round(run.usage.cost_usd * MICRO)
    if run.outcome is Outcome.FAILED and run.category is Reason.PICTURE and run.ref.channel is Channel.B2B:
        counts[f"picture:{tenant_of(run.ref.channel, run.ref.owner_id)}"] = 1
    return counts


def of_settlement(settlement: Settlement) -> Counter[str]:
    """What a refund adds to its minute."""
    return Counter(refunded=1) if settlement.settled is Settled.REFUNDED else Counter()


def minute_of(at: datetime, counts: Counts) -> Minute:
    """The counted minute for people."""
    return Minute(
        at=at,
        completed=counts.get("completed", 0),
        failed=counts.get("failed", 0),
        put_back=counts.get("put_back", 0),
        refunded=counts.get("refunded", 0),
        openai_calls=counts.get("calls", 0),
        openai_s=counts.get("call_ms", 0) / 1000,
        cost_usd=_dollars(counts),
        causes={name: count for name, count in counts.items() if name.partition(":")[0] in CAUSED},
    )


def spend_of(day: Counts) -> Spend:
    """What the pictures of a counted day cost."""
    return Spend(cost_usd=_dollars(day), pictures=day.get("pictures", 0), unknown_cost=day.get("unknown_cost", 0))


def reasons_of(minutes: Iterable[Counts]) -> dict[str, int]:
    """How often attempts failed for each reason, the most frequent one first."""
    return dict(Counter(_of_kind("reason", minutes)).most_common())


def durations_of(minutes: Iterable[Counts]) -> dict[int, int]:
    """Answered requests by their place in `BOUNDS_S`."""
    took = _of_kind("took", minutes)
    return {place: took[str(place)] for place in range(len(BOUNDS_S) + 1) if str(place) in took}


def _of_kind(kind: str, minutes: Iterable[Counts]) -> dict[str, int]:
    """The sums of all counters that are named `kind:<something>`."""
    sums: dict[str, int] = {}
    for counts in minutes:
        for name, count in counts.items():
            found, colon, what = name.partition(":")
            if colon and found == kind:
                sums[what] = sums.get(what, 0) + count
    return sums


def _dollars(counts: Counts) -> Decimal:
    return Decimal(counts.get("cost_micro", 0)) / MICRO


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
