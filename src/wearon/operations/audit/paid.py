"""Sessions that the history says were paid for, against the platform's rows.

The audit goes from sessions to their history, which a session whose row is gone is never met by. So the list of
sessions that the history keeps is read as well: one Redis command for 500 lines, one request for 100 that were paid.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from redis.asyncio import Redis

from wearon.operations.audit.books import Finding, Kind
from wearon.operations.session_index import STATUSES, STEP, SessionIndex, SessionLine, SessionQuery
from wearon.platform.base import ASKED_AT_ONCE, Channel, Platform
from wearon.platform.outages import through_outages
from wearon.platform.session_rows import as_uuid
from wearon.tryon.run import Outcome


class PaidSessions:
    """Looks for the rows of sessions that were paid for. All methods raise platform errors."""

    def __init__(self, redis: Redis, platform: Platform, requests_per_s: float) -> None:
        self._index = SessionIndex(redis)
        self._platform = platform
        self._requests_per_s = requests_per_s

    async def without_row(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Finding]]:
        """Paid sessions without a row whose last attempt ended within that time, newest first. Raises redis errors."""
        query = SessionQuery(since=since, until=until)
        cursor = ""
        while True:
            page = await self._index.page(query, (), cursor, STEP)
            yield await self.still_without_row(_finding(line) for line in page.sessions if _was_paid(line))
            if not (cursor := page.cursor):
                return

    async def still_without_row(self, findings: Iterable[Finding]) -> Sequence[Finding]:
        """The ones among these whose sessions have no row."""
        asked, missing = list(findings), []
        for channel in Channel:
            ours = [finding for finding in asked if finding.channel == channel]
            for start in range(0, len(ours), ASKED_AT_ONCE):
                some = ours[start : start + ASKED_AT_ONCE]
                there = await self._existing(channel, [finding.session_id for finding in some])
                missing += [finding for finding in some if finding.session_id not in there]
                await asyncio.sleep(1 / self._requests_per_s)
        return missing

    async def _existing(self, channel: Channel, session_ids: Sequence[str]) -> set[str]:
        return await through_outages(lambda: self._platform.existing_sessions(channel, session_ids))


def _was_paid(line: SessionLine) -> bool:
    # What else may stand there is not ours, and one wrong id would let the request for all of them fail.
    is_ours = as_uuid(line.session_id) == line.session_id and line.channel in set(Channel)
    return is_ours and (line.cost_usd is not None or line.status == STATUSES[Outcome.COMPLETED])


def _finding(line: SessionLine) -> Finding:
    paid = "an unknown sum was" if line.cost_usd is None else f"{line.cost_usd} USD were"
    return Finding(
        kind=Kind.SESSION_MISSING,
        session_id=line.session_id,
        channel=line.channel,
        owner_id=line.owner_id,
        created_at=line.at,
        detail=f"{paid} paid for it, and the platform has no such session",
    )
