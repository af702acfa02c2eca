"""One look into Redis for everything that `Now` shows: one command, however large the fleet is.

What lies there was written by producers and by other versions of this worker, so nothing of it is trusted: what
cannot be read is left out.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json
from redis.asyncio import Redis

from wearon.tryon import keys
from wearon.tryon.counts import day_key, last_minutes, minute_key
from wearon.tryon.leases import LEASE_S
from wearon.tryon.reports import Report
from wearon.tryon.task import MAX_DOCUMENT_BYTES

HOUR = 60
"""Minutes."""

STILL_COUNTING = 3
"""Minutes that are read again: the one under way, and two for clocks that differ and answers that were slow."""

LOOK = """
-- KEYS: tasks, taken, jobs, running, dead letters, refunds, by hand, reports, workers, slots, day, minutes...
-- ARGV: longest document that is looked at
-- A key that holds something else looks empty here: what is wrong with it is said elsewhere.
local function ask(empty, ...)
  local answer = redis.pcall(...)
  if not answer or type(answer) == 'table' and answer.err then return empty end
  return answer
end
local oldest_task = ask('', 'LINDEX', KEYS[1], -1)
if #oldest_task > tonumber(ARGV[1]) then oldest_task = '' end
local oldest_refund = ''
for _, intent in ipairs(ask({}, 'HVALS', KEYS[6])) do
  -- Not decoded: thousands of intents may lie here after an outage. Quotes within texts are escaped, so this is a key.
  local at = string.match(intent, '"completed_at": ?"([%d:%.T+-]+)"')
  if at and (oldest_refund == '' or at < oldest_refund) then oldest_refund = at end
end
local minutes = {}
for i = 12, #KEYS do minutes[#minutes + 1] = ask({}, 'HGETALL', KEYS[i]) end
return {
  redis.call('TIME'), ask(0, 'LLEN', KEYS[1]), oldest_task, ask(0, 'LLEN', KEYS[2]), ask(0, 'ZCARD', KEYS[3]),
  ask(0, 'HLEN', KEYS[4]), ask(0, 'LLEN', KEYS[5]), ask(0, 'HLEN', KEYS[6]), oldest_refund, ask(0, 'HLEN', KEYS[7]),
  ask({}, 'HGETALL', KEYS[8]), ask({}, 'ZRANGE', KEYS[9], 0, -1, 'WITHSCORES'), ask('0', 'GET', KEYS[10]),
  ask({}, 'HGETALL', KEYS[11]), minutes
}
"""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reported:
    """A process that is alive, and its report (None: an older version, which leaves none)."""

    worker_id: str
    beat_age_s: float
    report: Report | None


@dataclass(frozen=True, slots=True)
class Look:
    """What Redis held at `at` (its own clock)."""

    at: datetime
    tasks: int
    oldest_task_s: float | None
    taken: int
    jobs: int
    running: int
    dead_letters: int
    refunds: int
    oldest_refund_s: float | None
    refunds_by_hand: int
    processes: Sequence[Reported]
    next_slot_in_s: float
    day: Counts
    hour: Mapping[datetime, Counts]
    """The last sixty minutes, oldest first; empty ones are there."""


class Looker:
    """Looks. Minutes that are over are read once and remembered."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(LOOK)
        self._minutes: dict[datetime, Counts] = {}

    async def look(self) -> Look:
        """One command. Raises redis errors."""
        now = datetime.now(UTC)
        hour = last_minutes(now, HOUR)
        wanted = [minute for minute in hour if minute not in self._minutes or minute in hour[-STILL_COUNTING:]]
        found = await self._script(
            keys=[
                keys.TASKS, keys.TAKEN, keys.JOBS, keys.RUNNING, keys.DEAD_LETTERS, keys.REFUNDS,
                keys.REFUNDS_BY_HAND, keys.REPORTS, keys.WORKERS, keys.REQUEST_SLOTS, day_key(now),
                *map(minute_key, wanted),
            ],
            args=[MAX_DOCUMENT_BYTES],
        )  # fmt: skip
        return self._read(found, hour, wanted)

    def _read(self, found: Sequence[Any], hour: Sequence[datetime], wanted: Sequence[datetime]) -> Look:
        (
            clock, tasks, oldest_task, taken, jobs, running, dead_letters, refunds, oldest_refund, by_hand, reports,
            workers, slot, day, minutes,
        ) = found  # fmt: skip
        at = datetime.fromtimestamp(int(clock[0]) + int(clock[1]) / 1e6, UTC)
        self._minutes.update(zip(wanted, map(_counts, minutes), strict=True))
        self._minutes = {minute: self._minutes[minute] for minute in hour}
        return Look(
            at=at,
            tasks=tasks,
            oldest_task_s=_age_s(_pushed_at(oldest_task), at),
            taken=taken,
            jobs=jobs,
            running=running,
            dead_letters=dead_letters,
            refunds=refunds,
            oldest_refund_s=_age_s(_moment(oldest_refund.decode()), at),
            refunds_by_hand=by_hand,
            processes=_processes(workers, _pairs(reports), at),
            next_slot_in_s=_seconds_until(slot, at),
            day=_counts(day),
            hour=dict(self._minutes),
        )


def _processes(workers: Sequence[bytes], reports: Mapping[bytes, bytes], at: datetime) -> list[Reported]:
    found = []
    for worker_id, ends in zip(workers[::2], workers[1::2], strict=True):
        lease_left_s = float(ends) / 1000 - at.timestamp()
        if lease_left_s > 0:
            found.append(
                Reported(
                    worker_id=worker_id.decode(errors="replace"),
                    beat_age_s=round(max(0.0, LEASE_S - lease_left_s), 1),
                    report=_report(reports.get(worker_id, b"")),
                )
            )
    return sorted(found, key=lambda process: process.worker_id)


def _report(text: bytes) -> Report | None:
    try:
        return Report.model_validate_json(text)
    except ValidationError:
        return None


def _pushed_at(document: bytes) -> datetime | None:
    """`created_at` of a document that a producer pushed, whatever else it is."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError, KeyError):
        return _moment(from_json(document)["created_at"])
    return None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _age_s(moment: datetime | None, at: datetime) -> float | None:
    return None if moment is None else round(max(timedelta(0), at - moment).total_seconds(), 1)


def _seconds_until(slot_us: bytes, at: datetime) -> float:
    with suppress(ValueError):
        return round(max(0.0, int(slot_us) / 1e6 - at.timestamp()), 2)
    return 0.0


def _counts(flat: Sequence[bytes]) -> Counts:
    counts = {}
    for name, value in _pairs(flat).items():
        with suppress(ValueError):
            counts[name.decode(errors="replace")] = int(value)
    return counts


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
