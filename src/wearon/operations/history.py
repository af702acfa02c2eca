"""What was done for each session, kept for a day for people who ask why one failed. Nothing else depends on it.

At the end of an attempt one script appends an entry to the session's list, adds to the counters of the minute and the
day, and writes the session's line in the list of sessions (`session_index`): one Redis command an attempt, none when
idle. A refund that is settled later and a dead letter append one entry each. A Redis that is away or slow costs the
job at most `WRITE_S`, and the history this entry.

Measured with MEMORY USAGE: a session that completed takes 1.0 KB, one that failed 2.2 KB and at most 12 KB, of which
its kept log lines are 8 KB; a b2c request id 0.13 KB. So 10,000 completed sessions stand in 12 MB, and a thousand
failed ones in 3 MB more.
Of an input picture its path in our storage or its host is kept, never a URL.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.events import Events
from wearon.observability.kept_lines import LogLine
from wearon.observability.redaction import Redaction
from wearon.operations import counters
from wearon.operations.entries import (
    MAX_ENTRIES,
    DeadLetterEntry,
    Entry,
    RunEntry,
    SettlementEntry,
    read_entry,
)
from wearon.operations.session_index import (
    LAST_WORDS,
    MAX_CAUSES,
    MOST_SESSIONS,
    SessionLine,
    line_of_run,
    line_of_settlement,
)
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.dead_letters import DeadLetterAdded
from wearon.redis.scripts import load_script
from wearon.refunds.intents import RefundSettled, Settled, Settlement
from wearon.tryon.run import Outcome, Run, RunEnded, present_run

log = structlog.get_logger()

WRITE_S = 1.0
"""What the history may cost a job whose Redis does not answer; a command takes milliseconds."""

MAX_LINES_PUT_BACK = 10
"""Log lines kept of a run that goes on later; the last run has them all."""

MAX_TEXT = 500
"""Characters of a reason."""

MINUTE_KEPT_S = 2 * 3600
DAY_KEPT_S = 48 * 3600


class HistoryStore:
    """Writes and reads the entries. The writing methods do not raise, except for a cancellation."""

    def __init__(self, redis: Redis, worker_id: str, *, kept_hours: float, redaction: Redaction) -> None:
        """`kept_hours` 0: no entries, only counters. Texts go through `redaction` before they are written."""
        self._redis = redis
        self._worker_id = worker_id
        self._kept_s = round(kept_hours * 3600)
        self._clean = redaction.clean_text
        self._script = redis.register_script(load_script("operations", "write_history"))

    def subscribe(self, events: Events) -> None:
        """Write down what the events tell from now on; the publisher of an event waits for that."""
        events.subscribe(RunEnded, self._write_run)
        events.subscribe(RefundSettled, self._write_settlement)
        events.subscribe(DeadLetterAdded, self._write_dead_letter)

    async def _write_run(self, ended: RunEnded) -> None:
        run, lines = ended.run, ended.lines
        minute, day = counters.of_run(run)
        line = line_of_run(run, self._text(run.request_id), self._worker_id)
        stays = "" if run.outcome in LAST_WORDS else "ended"
        request_id = run.request_id if run.ref.channel is Channel.B2C else ""
        entry = self._run_entry(run, lines)
        await self._write(run.ref.session_id, entry, minute, day, request_id=request_id, line=line, stays=stays)

    async def _write_settlement(self, refund: RefundSettled) -> None:
        run = present_run()
        if run is not None and run.ref == refund.ref:
            return  # it goes into the run's own entry
        if refund.settlement.settled is Settled.POSTPONED:
            return  # it is tried every few seconds, and the outbox itself says why
        entry = SettlementEntry(at=datetime.now(UTC), worker=self._worker_id, refund=self._cleaned(refund.settlement))
        await self._write(
            refund.ref.session_id,
            entry,
            counters.of_settlement(refund.settlement),
            {},
            line=line_of_settlement(refund, self._text(refund.request_id)),
            stays="all but the refund",
        )

    async def _write_dead_letter(self, added: DeadLetterAdded) -> None:
        letter = added.letter
        if letter.session_id is None or present_run() is not None:
            return  # a run's end says so itself
        reason = self._text(letter.reason)
        entry = DeadLetterEntry(at=datetime.now(UTC), worker=self._worker_id, letter=letter.id, reason=reason)
        await self._write(letter.session_id, entry, {}, {})

    async def read(self, session_id: str) -> Sequence[Entry]:
        """The session's entries, oldest first; what cannot be read is left out. Raises redis errors."""
        return [
            entry
            for text in cast("list[bytes]", await self._redis.lrange(keys.JOURNAL + session_id, 0, -1))
            if (entry := read_entry(text)) is not None
        ]

    async def session_of_request(self, request_id: str) -> str | None:
        """The session of a b2c request that is in the history. Raises redis errors."""
        found = cast("bytes | None", await self._redis.get(keys.JOURNAL_REQUEST + request_id))
        return None if found is None else found.decode(errors="replace")

    async def _write(
        self,
        session_id: str,
        entry: Entry,
        minute: Mapping[str, int],
        day: Mapping[str, int],
        *,
        request_id: str = "",
        line: SessionLine | None = None,
        stays: str = "",
    ) -> None:
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._script(
                    keys=[
                        keys.JOURNAL + session_id,
                        keys.JOURNAL_REQUEST + request_id,
                        counters.minute_key(now),
                        counters.day_key(now),
                        keys.SESSIONS,
                        keys.SESSION_LINES,
                    ],
                    args=[
                        entry.model_dump_json(exclude_none=True),
                        MAX_ENTRIES,
                        self._kept_s,
                        session_id,
                        MINUTE_KEPT_S,
                        DAY_KEPT_S,
                        len(minute),
                        line.kept() if line else "",
                        stays,
                        MOST_SESSIONS,
                        int(bool(request_id)),
                        MAX_CAUSES,
                        *(part for pair in (*minute.items(), *day.items()) for part in pair),
                    ],
                )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not in the journal", session_id=session_id, error=f"{type(error).__name__}: {error}")
        except Exception:
            # A mistake of ours costs the history, not the job.
            log.exception("not in the journal", session_id=session_id)

    def _run_entry(self, run: Run, lines: Sequence[LogLine]) -> RunEntry:
        return RunEntry(
            at=run.ended_at or datetime.now(UTC),
            worker=self._worker_id,
            request_id=self._text(run.request_id),
            attempt=run.attempt,
            pushed_at=run.pushed_at,
            handed_over_at=None if run.queued_at is None else datetime.fromtimestamp(run.queued_at, UTC),
            began_at=run.began_at,
            steps=run.steps,
            outcome=run.outcome or Outcome.STOPPED,
            reason=self._text(run.reason),
            category=run.category,
            delay_s=None if run.delay_s is None else round(run.delay_s, 1),
            input_tokens=run.usage and run.usage.input_tokens,
            output_tokens=run.usage and run.usage.output_tokens,
            cost_usd=run.usage and run.usage.cost_usd,
            model=run.model,
            refund=run.settlement and self._cleaned(run.settlement),
            pictures=list(run.images),
            lines=list(_worth_keeping(run, lines)),
        )

    def _cleaned(self, settlement: Settlement) -> Settlement:
        return replace(settlement, detail=self._text(settlement.detail))

    def _text(self, text: str) -> str:
        return self._clean(text)[:MAX_TEXT]


def _worth_keeping(run: Run, lines: Sequence[LogLine]) -> Sequence[LogLine]:
    match run.outcome:
        case Outcome.COMPLETED:
            return ()
        case Outcome.RETRIED:
            return lines[-MAX_LINES_PUT_BACK:]
        case _:
            return lines
