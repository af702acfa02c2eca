"""The list of sessions that our attempts ended: newest first, filtered, and found by any part of an id.

Beside each history stands one line, for as long as `JOURNAL_HOURS`: a sorted set orders the sessions by time, a hash
holds their lines (JSON). The script that writes the history writes the line, so a job sends no further command. For
people only: when Redis loses it, the list begins anew and nothing else changes.

Reading never holds up Redis: one script looks at `STEP` lines, compares them as texts, and says where to go on.
Measured with 200,000 sessions: 0.46 KB a session (used memory), and 1.3 ms a step.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from redis.asyncio import Redis

from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys
from wearon.redis.scripts import load_script
from wearon.refunds.intents import RefundSettled, Settled
from wearon.tryon.causes import EXPECTED
from wearon.tryon.run import Outcome, Run

MOST_SESSIONS = 500_000
"""Lines kept: at the account's limit of 300 requests a minute a day has 432,000."""

STEP = 500
"""Lines that one command looks at."""

MOST_STEPS = 20
"""Commands of one call; who wants more asks again with the cursor."""

MINUTES = {"m": 1, "h": 60, "d": 24 * 60}

_SPAN = re.compile(r"([0-9]{1,7})([mhd])")
_CAUSE = re.compile(r"(?:retried|failed|expected):[a-z_.]*")

MAX_ID = 100
"""Characters of a request id or a worker's: a line is at most some 0.9 KB."""

MAX_CAUSES = 8
"""Causes of one session that are kept, the newest; each stands there once."""

MAX_NEEDLES = 8
"""Texts that are looked for at once."""

RUNNING = "running"
WAITING = "waiting"
"""Of sessions that have no line: they are known by where they are, and only the queries for them tell of them."""

STATUSES = {
    Outcome.COMPLETED: "completed",
    Outcome.FAILED: "failed",
    Outcome.RETRIED: "retried",
    Outcome.STOPPED: "stopped",
    Outcome.DEAD_LETTER: "dead_letter",
    Outcome.ENDED_ELSEWHERE: "ended_elsewhere",
}

LAST_WORDS = {Outcome.COMPLETED, Outcome.FAILED}
"""Only these change the line of a session that has ended: a second task of it, perhaps of a stranger, does not."""


class SessionLine(BaseModel):
    """One session in the list. In Redis the ids come first, and the channel after them: the scripts go by that."""

    session_id: str
    at: datetime
    """When its last attempt ended; of one that runs, when that began; of one that only the platform knows, its row's
    last change."""
    owner_id: str
    """The store's or the user's id."""
    request_id: str | None = None
    channel: str
    status: str
    """waiting, running, retried, stopped, completed, failed, dead_letter, ended_elsewhere; or the row's own, when our
    attempts left no line."""
    attempt: int | None = None
    took_s: float | None = None
    """How long the last attempt took."""
    reason: str | None = None
    """Why it failed or is retried: one of the closed list that the metrics have."""
    model: str | None = None
    cost_usd: Decimal | None = None
    worker: str | None = None
    """The worker of its last attempt."""
    causes: list[str] = []
    """Why its attempts did not complete (`wearon.tryon.causes`), the newest first: each with `retried:`, `failed:` or,
    of a failure that is no incident, `expected:` before it. The script adds those of earlier attempts."""
    shopper_read: str | None = None
    """The row's error message; not in Redis."""
    refund: str | None = None
    """What became of the refund, by the names of `Settled`."""

    def kept(self) -> str:
        """The line as it is kept in Redis."""
        return self.model_dump_json(exclude={"session_id", "at", "shopper_read"}, exclude_defaults=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionQuery:
    """Which sessions are wanted; what is None or empty says nothing."""

    status: str | None = None
    reason: str | None = None
    channel: Channel | None = None
    owner_id: str | None = None
    worker: str | None = None
    refund: str | None = None
    cause: str | None = None
    """How one of its causes begins: `retried:` takes all that needed more than one attempt, `failed:openai.` those
    that failed for OpenAI."""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    """An id, a part of one, or a text around one."""

    @property
    def wanted(self) -> Mapping[str, str]:
        """The fields of a line that must have just this value."""
        fields = {
            "status": self.status,
            "reason": self.reason,
            "channel": self.channel,
            "owner_id": self.owner_id,
            "worker": self.worker,
            "refund": self.refund,
        }
        return {name: str(value) for name, value in fields.items() if value}

    @property
    def texts(self) -> Sequence[str]:
        """What stands in the text of each line that is wanted; of others' lines, too."""
        fields = [f'"{name}":{json.dumps(value)}' for name, value in self.wanted.items()]
        return [*fields, f'"{self.cause}'] if self.cause else fields

    def takes_causes(self, line: SessionLine) -> bool:
        """Whether one of its causes is the wanted one."""
        return not self.cause or any(cause.startswith(self.cause) for cause in line.causes)

    def takes(self, line: SessionLine) -> bool:
        """Whether the line is wanted, as far as its fields and its time say."""
        in_time = (self.since is None or line.at >= self.since) and (self.until is None or line.at < self.until)
        is_wanted = all(getattr(line, name) == value for name, value in self.wanted.items())
        return in_time and is_wanted and self.takes_causes(line)


class SessionPage(BaseModel):
    """A page of the list, and how far it was looked through."""

    sessions: list[SessionLine] = []
    cursor: str = ""
    """Where to go on; empty: there are no more. A page that is not full, but has one, was not looked for to the end."""
    searched_to: datetime | None = None
    """Lines down to this time were looked at."""
    kept: int = 0
    """Sessions in the whole list."""
    kept_since: datetime | None = None
    """The oldest of them."""


def line_of_run(run: Run, request_id: str, worker: str) -> SessionLine:
    """What the list says after an attempt."""
    ended = run.ended_at or datetime.now(UTC)
    return SessionLine(
        session_id=run.ref.session_id,
        at=ended,
        owner_id=run.ref.owner_id,
        request_id=request_id[:MAX_ID] or None,
        channel=run.ref.channel.value,
        status=STATUSES[run.outcome or Outcome.STOPPED],
        attempt=run.attempt,
        took_s=round((ended - run.began_at).total_seconds(), 3),
        reason=run.category,
        model=run.model,
        cost_usd=run.usage and run.usage.cost_usd,
        worker=worker[:MAX_ID],
        causes=_causes_of(run),
        refund=run.settlement and run.settlement.settled,
    )


def _causes_of(run: Run) -> list[str]:
    cause = run.counted_cause
    if run.outcome is Outcome.RETRIED:
        return [f"retried:{cause}"]
    if run.outcome is Outcome.FAILED:
        return [f"{'expected' if cause.startswith(EXPECTED) else 'failed'}:{cause}"]
    return []


def line_of_settlement(event: RefundSettled, request_id: str) -> SessionLine | None:
    """What the list says of a session that was failed without an attempt of ours: an orphan."""
    if event.settlement.settled is Settled.NOT_OURS:
        return None
    ref = event.ref
    return SessionLine(
        session_id=ref.session_id,
        at=datetime.now(UTC),
        owner_id=ref.owner_id,
        request_id=request_id[:MAX_ID] or None,
        channel=ref.channel.value,
        status=STATUSES[Outcome.FAILED],
        refund=event.settlement.settled,
    )


class SessionIndex:
    """Reads the list. All methods raise redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(load_script("operations", "list_sessions"))

    async def page(self, query: SessionQuery, needles: Sequence[str], cursor: str, limit: int) -> SessionPage:
        """Up to `limit` sessions that are wanted, one of whose ids holds one of the needles if there are any.

        At most `MOST_STEPS` commands, `STEP` lines each.
        """
        page = SessionPage(cursor=cursor or ("+inf" if query.until is None else _score(query.until)))
        for _ in range(MOST_STEPS):
            done, at, found, page.kept, oldest = await self._script(
                keys=[keys.SESSIONS, keys.SESSION_LINES],
                args=[
                    page.cursor,
                    "-inf" if query.since is None else _score(query.since),
                    STEP,
                    limit - len(page.sessions),
                    len(query.texts),
                    *query.texts,
                    *needles[:MAX_NEEDLES],
                ],
            )
            page.kept_since = _moment(oldest)
            page.sessions += [line for line in _lines(found) if query.takes_causes(line)]
            if at:
                page.cursor, page.searched_to = at.decode(), _moment(at)
            if done:
                page.cursor = ""
            if done or len(page.sessions) >= limit:
                break
        return page

    async def lines(self, refs: Iterable[SessionRef]) -> Mapping[str, SessionLine]:
        """The lines of these sessions by id, as far as there are any: one command."""
        ids = [ref.session_id for ref in refs]
        texts = cast("list[bytes | None]", await self._redis.hmget(keys.SESSION_LINES, ids)) if ids else []
        now = datetime.now(UTC)
        found = (_line(id_, now, text) for id_, text in zip(ids, texts, strict=True) if text)
        return {line.session_id: line for line in found if line is not None}


def _score(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1e6))


def _moment(score: bytes) -> datetime | None:
    """The moment of a score; None for an empty text, and for one that is no number."""
    try:
        return datetime.fromtimestamp(float(score) / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _lines(flat: Sequence[bytes]) -> list[SessionLine]:
    found = (
        _line(id_.decode(errors="replace"), _moment(score), text)
        for id_, score, text in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    )
    return [line for line in found if line is not None]


def _line(session_id: str, at: datetime | None, text: bytes) -> SessionLine | None:
    """The line of any version; None when it cannot be read."""
    try:
        fields: Any = from_json(text)
        return SessionLine.model_validate({**fields, "session_id": session_id, "at": at})
    except (ValidationError, ValueError, TypeError):
        return None


def has_any(line: SessionLine, parts: Iterable[str]) -> bool:
    """Whether one of its ids has one of the parts in it."""
    ids = (line.session_id, line.owner_id, line.request_id or "")
    return any(part in id_ or part.lower() in id_ for part in parts for id_ in ids)


def read_moment(text: str, now: datetime) -> datetime | None:
    """A point in time (ISO 8601), or the beginning of a span of minutes, hours or days up to now; None for none.

    A span counts this minute and those before it, as the counted minutes of the status do. Raises ValueError.
    """
    if not text:
        return None
    if span := _SPAN.fullmatch(text):
        try:
            minutes = int(span[1]) * MINUTES[span[2]]
            return now.replace(second=0, microsecond=0) - timedelta(minutes=max(0, minutes - 1))
        except OverflowError:
            return None  # longer ago than there are dates
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: say 60m, 2h, 1d or 2026-11-24T18:00") from None


def read_cause(text: str) -> str:
    """How a cause may begin. Raises ValueError."""
    if text and not _CAUSE.fullmatch(text):
        raise ValueError(f"{text!r} is no cause: say retried:, failed: or expected:, and how it goes on")
    return text


def read_cursor(text: str) -> str:
    """A cursor that one of our pages may have had. Raises ValueError."""
    if text and not text.isascii():
        raise ValueError("that is no cursor")
    return text if not text or text.isdigit() else datetime.fromisoformat(text).isoformat()
