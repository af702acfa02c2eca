"""What was done for each session, kept for a day for people who ask why one failed. Nothing else depends on it.

At the end of a run one script writes an entry into the session's list and adds to the minute's and the day's counts:
one Redis command a run, none when idle. A refund that is settled later and a dead letter append one each. A Redis that
is away or slow costs the job at most `WRITE_S` and the story this entry.

Measured with MEMORY USAGE: a session that completed takes 1.0 KB, one that failed 2.2 KB and at most 12 KB, of which
its kept log lines are 8 KB; a b2c request id 0.13 KB. So 10,000 completed sessions stand in 12 MB, and a thousand
failed ones in 3 MB more.
What is kept of the input pictures is where they lie in our storage, or whose host they come from: never a URL.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.logs import KeptLine, Redaction
from wearon.platform.base import Channel
from wearon.tryon import counts, keys
from wearon.tryon.failures import Reason
from wearon.tryon.progress import Outcome, Run, Settled, Settlement, StepName

log = structlog.get_logger()

WRITE_S = 1.0
"""What the journal may cost a job whose Redis does not answer; a command takes milliseconds."""

MAX_ENTRIES = 30
"""Of one session, the newest: an outage of an hour puts a job back hundreds of times."""

MAX_LINES_PUT_BACK = 10
"""Log lines kept of a run that goes on later; the last run has them all."""

MAX_TEXT = 500
"""Characters of a reason."""

MINUTE_KEPT_S = 2 * 3600
DAY_KEPT_S = 48 * 3600

WRITE = """
-- KEYS: journal, request index, minute, day
-- ARGV: entry, most entries, kept (s), session id, kept minute (s), kept day (s), counts of the minute, then all counts
if tonumber(ARGV[3]) > 0 then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[3]) end
end
local in_minute = tonumber(ARGV[7])
for i = 8, #ARGV, 2 do
  local key = (i - 8) / 2 < in_minute and KEYS[3] or KEYS[4]
  redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1])
  redis.call('EXPIRE', key, key == KEYS[3] and ARGV[5] or ARGV[6])
end
"""


class StepEntry(BaseModel):
    """A step of a run; `seconds` is None for one that was cut off without a word."""

    name: StepName
    at: datetime
    seconds: float | None = None
    ok: bool = True


class RefundEntry(BaseModel):
    """What became of the refund."""

    settled: Settled
    detail: str = ""


class LineEntry(BaseModel):
    """A kept log line."""

    at: datetime
    level: str = ""
    event: str = ""
    fields: dict[str, str] = {}


class PictureEntry(BaseModel):
    """An input picture: its path in our storage, or the host of somebody else's."""

    path: str | None = None
    host: str | None = None


class RunEntry(BaseModel):
    """One run, written at its end."""

    kind: Literal["run"] = "run"
    at: datetime
    worker: str = ""
    request_id: str = ""
    attempt: int = 1
    pushed_at: datetime | None = None
    handed_over_at: datetime | None = None
    began_at: datetime
    steps: list[StepEntry] = []
    outcome: Outcome
    reason: str = ""
    category: Reason | None = None
    delay_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    model: str | None = None
    """The image model that made the picture."""
    refund: RefundEntry | None = None
    pictures: list[PictureEntry] = []
    lines: list[LineEntry] = []


class SettlementEntry(BaseModel):
    """A refund that was settled outside of a run."""

    kind: Literal["refund"] = "refund"
    at: datetime
    worker: str = ""
    refund: RefundEntry


class DeadLetterEntry(BaseModel):
    """A document that named the session and went to the dead letters."""

    kind: Literal["dead_letter"] = "dead_letter"
    at: datetime
    worker: str = ""
    letter: str = ""
    reason: str = ""


Entry = RunEntry | SettlementEntry | DeadLetterEntry

_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


class Journal:
    """Writes and reads. None of the writing methods raises, but for cancellation."""

    def __init__(self, redis: Redis, worker_id: str, *, kept_hours: float, redaction: Redaction) -> None:
        """`kept_hours` 0: no entries, only counts. Texts go through `redaction` before they are written."""
        self._redis = redis
        self._worker_id = worker_id
        self._kept_s = round(kept_hours * 3600)
        self._clean = redaction.clean_text
        self._script = redis.register_script(WRITE)

    async def write_run(self, run: Run, lines: Sequence[KeptLine]) -> None:
        """A run has ended."""
        minute, day = counts.of_run(run)
        request_id = run.request_id if run.ref.channel is Channel.B2C else ""
        await self._write(run.ref.session_id, request_id, self._run_entry(run, lines), minute, day)

    async def write_settlement(self, settlement: Settlement) -> None:
        """A refund was settled outside of a run."""
        entry = SettlementEntry(at=datetime.now(UTC), worker=self._worker_id, refund=self._refund_entry(settlement))
        await self._write(settlement.ref.session_id, "", entry, counts.of_settlement(settlement), {})

    async def write_dead_letter(self, session_id: str, letter: str, reason: str) -> None:
        """A document that names the session went to the dead letters."""
        entry = DeadLetterEntry(at=datetime.now(UTC), worker=self._worker_id, letter=letter, reason=self._text(reason))
        await self._write(session_id, "", entry, {}, {})

    async def read(self, session_id: str) -> Sequence[Entry]:
        """The session's entries, oldest first; what cannot be read is left out. Raises redis errors."""
        return [
            entry
            for text in await self._redis.lrange(keys.JOURNAL + session_id, 0, -1)
            if (entry := _readable(text)) is not None
        ]

    async def session_of_request(self, request_id: str) -> str | None:
        """The session of a b2c request that is in the journal. Raises redis errors."""
        found: bytes | None = await self._redis.get(keys.JOURNAL_REQUEST + request_id)
        return None if found is None else found.decode(errors="replace")

    async def _write(
        self, session_id: str, request_id: str, entry: Entry, minute: Mapping[str, int], day: Mapping[str, int]
    ) -> None:
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._script(
                    keys=[
                        keys.JOURNAL + session_id,
                        keys.JOURNAL_REQUEST + request_id,
                        counts.minute_key(now),
                        counts.day_key(now),
                    ],
                    args=[
                        entry.model_dump_json(exclude_none=True),
                        MAX_ENTRIES,
                        self._kept_s,
                        session_id if request_id else "",
                        MINUTE_KEPT_S,
                        DAY_KEPT_S,
                        len(minute),
                        *(part for pair in (*minute.items(), *day.items()) for part in pair),
                    ],
                )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not in the journal", session_id=session_id, error=f"{type(error).__name__}: {error}")
        except Exception:
            log.exception("not in the journal", session_id=session_id)  # a mistake of ours costs the story, not the job

    def _run_entry(self, run: Run, lines: Sequence[KeptLine]) -> RunEntry:
        return RunEntry(
            at=_moment(run.ended_at or time.time()),
            worker=self._worker_id,
            request_id=self._text(run.request_id),
            attempt=run.attempt,
            pushed_at=run.pushed_at,
            handed_over_at=None if run.handed_over_at is None else _moment(run.handed_over_at),
            began_at=_moment(run.began_at),
            steps=[
                StepEntry(
                    name=step.name,
                    at=_moment(step.at),
                    seconds=None if step.seconds is None else round(step.seconds, 3),
                    ok=step.ok,
                )
                for step in run.steps
            ],
            outcome=run.outcome or Outcome.STOPPED,
            reason=self._text(run.reason),
            category=run.category,
            delay_s=None if run.delay_s is None else round(run.delay_s, 1),
            input_tokens=run.usage and run.usage.input_tokens,
            output_tokens=run.usage and run.usage.output_tokens,
            cost_usd=run.usage and run.usage.cost_usd,
            model=run.model,
            refund=run.settlement and self._refund_entry(run.settlement),
            pictures=[PictureEntry(path=picture.path, host=picture.host) for picture in run.pictures],
            lines=[
                LineEntry(at=line.at, level=line.level, event=line.event, fields=line.fields)
                for line in _worth_keeping(run, lines)
            ],
        )

    def _refund_entry(self, settlement: Settlement) -> RefundEntry:
        return RefundEntry(settled=settlement.settled, detail=self._text(settlement.detail))

    def _text(self, text: str) -> str:
        return self._clean(text)[:MAX_TEXT]


def _worth_keeping(run: Run, lines: Sequence[KeptLine]) -> Sequence[KeptLine]:
    match run.outcome:
        case Outcome.COMPLETED:
            return ()
        case Outcome.PUT_BACK:
            return lines[-MAX_LINES_PUT_BACK:]
        case _:
            return lines


def _readable(text: bytes) -> Entry | None:
    try:
        return _ENTRY.validate_json(text)
    except (ValidationError, RecursionError):
        log.warning("journal entry cannot be read")
        return None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
