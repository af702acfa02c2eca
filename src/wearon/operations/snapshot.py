"""What Redis holds for the status of the fleet, read with one command, however large the fleet is.

Producers and other versions of this worker wrote it, so nothing of it is trusted: what cannot be read is left out.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from wearon.operations import counters
from wearon.operations.audit.books import Books
from wearon.operations.audit.store import SUMMARY
from wearon.operations.counters import Counts
from wearon.operations.models import Minute, Queues, Report, Spend
from wearon.operations.readable import read
from wearon.operations.retention.rounds import Round
from wearon.platform.session_rows import in_utc
from wearon.queue import keys
from wearon.queue.job_document import session_of_job
from wearon.queue.lease import LEASE_S
from wearon.queue.pauses import MAX_NAMED, Pause, read_pause
from wearon.queue.task import MAX_DOCUMENT_BYTES
from wearon.queue.tenants import B2C
from wearon.redis.errors import RedisUnavailable, ours, told
from wearon.redis.scripts import load_script

HOUR = 60
"""Minutes."""

LONGEST_LINES = 10
"""Tenants whose waiting jobs are shown by name."""

STILL_COUNTING = 3
"""Minutes that are read again: the one under way, and two for clocks that differ and answers that were slow."""

CRON_S, CRON_SOON_S = 600.0, 300.0
"""The platform's cron fails a b2c session of that age (the contract); one that it fails so soon is named, because its
tenant is paused."""

MAX_NEAR_CRON = 20

FIRST_YEAR = 2000

LONGEST_COUNT = 19
"""Digits of the greatest number that HINCRBY makes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What Redis held at `at` (its own clock)."""

    at: datetime
    queues: Queues
    processes: Mapping[str, Report]
    """Living processes by worker id, except those of an old version that leaves no report."""
    next_slot_in_s: float
    last_hour: list[Minute]
    failures_by_reason: dict[str, int]
    calls: int
    """Requests to the image model within the last hour."""
    durations: Mapping[int, int]
    """Answered ones of them, by their place in `counters.BOUNDS_S`."""
    spend_today: Spend
    incidents: Mapping[str, bytes]
    """What the fleet remembers of incidents (`wearon.operations.incident_memory`)."""
    books: Books | None
    retention: Round | None
    pauses: list[Pause]
    near_cron: list[str]
    refused: Mapping[str, str]
    """Keys that could not be read, and why, in words for operators."""


class SnapshotReader:
    """Reads snapshots. Minutes that are over are read once and remembered."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(load_script("operations", "snapshot"))
        self._minutes: dict[datetime, Counts] = {}

    async def read(self) -> Snapshot:
        """One command. Raises redis errors."""
        now = datetime.now(UTC)
        hour = counters.last_minutes(now, HOUR)
        wanted = [minute for minute in hour if minute not in self._minutes or minute in hour[-STILL_COUNTING:]]
        found = await self._script(
            keys=[
                keys.TASKS, keys.PENDING, keys.JOBS, keys.RUNNING, keys.DEAD_LETTERS, keys.REFUNDS,
                keys.REFUNDS_IN_REVIEW, keys.REPORTS, keys.WORKERS, keys.REQUEST_SLOTS, counters.day_key(now),
                keys.INCIDENTS, keys.BOOKS, keys.PAUSES, keys.LINE + B2C, keys.WAITING, keys.RETENTION,
                *map(counters.minute_key, wanted),
            ],
            args=[MAX_DOCUMENT_BYTES, SUMMARY, keys.JOB, MAX_NAMED, LONGEST_LINES, keys.LINE],
        )  # fmt: skip
        self._minutes.update(zip(wanted, map(_counts, found[-2]), strict=True))
        self._minutes = {minute: self._minutes[minute] for minute in hour}
        return _snapshot(found, self._minutes)


def _snapshot(found: Sequence[Any], hour: Mapping[datetime, Counts]) -> Snapshot:
    (
        clock, tasks, oldest_task, taken, jobs, running, dead_letters, refunds, oldest_refund, by_hand, reports,
        workers, slot, day, incidents, books, pauses, waiting, longest, in_lines, waits_since, retention,
        _minutes, refused,
    ) = found  # fmt: skip
    at = datetime.fromtimestamp(int(clock[0]) + int(clock[1]) / 1e6, UTC)
    return Snapshot(
        at=at,
        queues=Queues(
            tasks=tasks,
            oldest_task_s=_oldest_s(_pushed_at(oldest_task), waits_since, at),
            in_lines=in_lines,
            longest_lines={tenant.decode(errors="replace"): int(jobs) for tenant, jobs in _pairs(longest).items()},
            taken=taken,
            jobs=jobs,
            running=running,
            dead_letters=dead_letters,
            refunds=refunds,
            oldest_refund_s=_age_s(_moment(oldest_refund.decode()), at),
            refunds_by_hand=by_hand,
        ),
        processes=_processes(workers, _pairs(reports), at),
        next_slot_in_s=_seconds_until(slot, at),
        last_hour=[counters.minute_of(minute, counts) for minute, counts in hour.items()],
        failures_by_reason=counters.reasons_of(hour.values()),
        calls=sum(counts.get("calls", 0) for counts in hour.values()),
        durations=counters.durations_of(hour.values()),
        spend_today=counters.spend_of(_counts(day)),
        incidents={key.decode(errors="replace"): text for key, text in _pairs(incidents).items()},
        books=read(Books, books),
        retention=read(Round, retention),
        pauses=[read_pause(tenant.decode(errors="replace"), written) for tenant, written in _pairs(pauses).items()],
        near_cron=_near_cron(waiting, at),
        refused=_refused(refused),
    )


def _near_cron(waiting: Sequence[bytes], at: datetime) -> list[str]:
    """Sessions that the platform's cron fails soon, the oldest first."""
    ages = {
        session_of_job(job.decode(errors="replace")): _age_s(_moment(created.decode()), at) or 0.0
        for job, created in _pairs(waiting).items()
    }
    soon = {session: age_s for session, age_s in ages.items() if CRON_S - CRON_SOON_S <= age_s < CRON_S}
    return sorted(soon, key=lambda session: -soon[session])[:MAX_NEAR_CRON]


def _processes(workers: Sequence[bytes], reports: Mapping[bytes, bytes], at: datetime) -> dict[str, Report]:
    found = {}
    for worker_id, ends in sorted(_pairs(workers).items()):
        lease_left_s = float(ends) / 1000 - at.timestamp()
        report = read(Report, reports.get(worker_id))
        if lease_left_s > 0 and report is not None:
            report.worker = worker_id.decode(errors="replace")
            report.beat_age_s = round(max(0.0, LEASE_S - lease_left_s), 1)
            found[report.worker] = report
    return found


def _refused(flat: Sequence[bytes]) -> dict[str, str]:
    """Refusals by key, in the words of a client's error. Counters are left out, since no work depends on them."""
    texts = iter([text.decode(errors="replace") for text in flat])
    refused = {}
    for command, key, words in zip(texts, texts, texts, strict=True):
        if not key.startswith((keys.MINUTE, keys.DAY)):
            error = ours(ResponseError(words), (command, key))
            refused[key] = error.words if isinstance(error, RedisUnavailable) else told(str(error))
    return refused


def _pushed_at(document: bytes) -> datetime | None:
    """`created_at` of a document that a producer pushed, whatever else it is."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError, KeyError):
        return _moment(from_json(document)["created_at"])
    return None


def _moment(text: str) -> datetime | None:
    """None for what is no moment of ours: a program that leaves `created_at` out may write 0001-01-01 for it."""
    with suppress(ValueError, TypeError, OverflowError):
        moment = in_utc(datetime.fromisoformat(text))
        return moment if moment.year >= FIRST_YEAR else None
    return None


def _age_s(moment: datetime | None, at: datetime) -> float | None:
    return None if moment is None else round(max(timedelta(0), at - moment).total_seconds(), 1)


def _oldest_s(pushed_at: datetime | None, waits_since_ms: bytes, at: datetime) -> float | None:
    """The age of the oldest task that waits, in the producers' list or in a tenant's line."""
    found = [] if pushed_at is None else [pushed_at]
    with suppress(ValueError, OverflowError):
        found.append(datetime.fromtimestamp(float(waits_since_ms) / 1000, UTC))
    return _age_s(min(found, default=None), at)


def _seconds_until(slot_us: bytes, at: datetime) -> float:
    with suppress(ValueError, OverflowError):
        return round(max(0.0, int(slot_us) / 1e6 - at.timestamp()), 2)
    return 0.0


def _counts(flat: Sequence[bytes]) -> Counts:
    """The counters of a minute or a day; what is no number, or longer than Redis counts, was not written by us."""
    counts = {}
    for name, value in _pairs(flat).items():
        with suppress(ValueError):
            counts[name.decode(errors="replace")] = int(value) if len(value) <= LONGEST_COUNT else 0
    return counts


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
