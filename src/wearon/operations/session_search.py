"""Looking for sessions: the list in Redis, what runs now, and what only the platform knows.

An id as a whole is asked of the platform, which knows every session, also those that no worker has seen and those that
are older than the list. A part of an id, and every filter, goes through the list.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter

import structlog
from redis.exceptions import RedisError

from wearon.operations.models import RunningJob
from wearon.operations.session_history import MAX_TERM, SessionHistories
from wearon.operations.session_index import (
    RUNNING,
    WAITING,
    SessionIndex,
    SessionLine,
    SessionPage,
    SessionQuery,
    has_any,
)
from wearon.operations.status import StatusReader
from wearon.operations.waiting_sessions import WaitingSessions
from wearon.platform.base import PlatformError
from wearon.platform.session_rows import as_uuid

log = structlog.get_logger()

MAX_TEXT = 2000
"""Characters of a text around an id."""

MOST_IDS = 3
"""Ids in a text that the platform is asked for."""

ASKED_AT_ONCE = 500
"""Rows of one id that the platform is asked for: it gives 1,000 at most, and what it left out would seem not to be."""

SHORTEST_PART = 6
"""Characters: a shorter part of an id stands in too many of them."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PART = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{5,99}")
_DIGIT = re.compile(r"[0-9]")


def ids_in(text: str) -> Sequence[str]:
    """The ids in a text, or what may be parts of some: whole ones first."""
    whole = [found.lower() for found in _UUID.findall(text)]
    parts = _PART.findall(_UUID.sub(" ", text))
    # Words of the text around an id are mostly without a digit, and ids are hardly ever.
    likely = [part for part in parts if _DIGIT.search(part)]
    return list(dict.fromkeys([*whole, *([] if whole else likely or parts)]))


class SessionSearch:
    """Lists sessions, newest first. Raises redis errors and PlatformError, and ValueError for another list's cursor."""

    def __init__(
        self, index: SessionIndex, waiting: WaitingSessions, histories: SessionHistories, status: StatusReader
    ) -> None:
        self._index = index
        self._waiting = waiting
        self._histories = histories
        self._status = status

    async def page(self, query: SessionQuery, cursor: str = "", limit: int = 50) -> SessionPage:
        """The sessions that are wanted, from the cursor of the page before it."""
        ids = ids_in(query.text[:MAX_TEXT])
        text = query.text.strip()
        if query.status == WAITING:
            return await self._waiting.page(query, ids, cursor, limit)
        if text and not cursor.isdigit() and (known := await self._known(query, text, ids, cursor, limit)):
            return known
        if text and not ids:
            return SessionPage()
        if cursor and not cursor.isdigit():
            raise ValueError("that is no cursor of this list")
        jobs = [_line_of_job(job) for job in await self._status.running()]
        running = [line for line in jobs if query.takes(line) and (not ids or has_any(line, ids))]
        if query.status == RUNNING:
            return SessionPage(sessions=running, kept=len(running))
        page = await self._index.page(query, [*ids, *{id_.lower() for id_ in ids} - {*ids}], cursor, limit)
        now_running = {line.session_id for line in jobs}
        if query.cause and not query.status:  # of what runs again, only the list knows why
            for line in page.sessions:
                line.status = RUNNING if line.session_id in now_running else line.status
            return page
        rest = [line for line in page.sessions if line.session_id not in now_running]
        page.sessions = rest if cursor or query.status else [*running, *rest]
        return page

    async def _known(
        self, query: SessionQuery, text: str, ids: Sequence[str], cursor: str, limit: int
    ) -> SessionPage | None:
        """The platform's sessions of the ids that stand in the text as a whole; None when it knows none of them."""
        whole = [id_ for id_ in ids if as_uuid(id_)] or ([text] if len(text.split()) == 1 else ids)
        before, limit = _moment(cursor), min(limit, ASKED_AT_ONCE)
        try:
            found = [
                session
                for term in islice(whole, MOST_IDS)
                if len(term) <= MAX_TERM
                for session in await self._histories.search(term, limit, before)
            ]
        except PlatformError:
            if before is not None:
                raise
            log.info("the platform is away: only the list of sessions is looked through")
            return None
        if not found and before is None:
            return None
        # The ids share a cursor: what one of them has too many of must not be older than what another one shows.
        newest = sorted(
            {session.ref: session for session in found}.values(), key=attrgetter("created_at"), reverse=True
        )[:limit]
        try:
            lines = await self._index.lines(session.ref for session in newest)
        except RedisError:
            lines = {}
        running = {job.session_id for job in await self._status.running()}
        page = SessionPage(cursor=newest[-1].created_at.isoformat() if len(newest) >= limit else "")
        for session in newest:
            row = self._histories.summary(session)
            line = lines.get(row.session_id) or SessionLine(
                session_id=row.session_id,
                at=row.completed_at or row.created_at,
                owner_id=row.owner_id,
                channel=row.channel,
                status=row.status,
            )
            line.at = row.completed_at or row.created_at
            line.status = RUNNING if row.session_id in running else row.status
            line.request_id = row.request_id or line.request_id
            line.shopper_read = row.error_message
            line.cost_usd = line.cost_usd if session.estimated_cost_usd is None else session.estimated_cost_usd
            if query.takes(line):
                page.sessions.append(line)
        return page


def _line_of_job(job: RunningJob) -> SessionLine:
    now = datetime.now(UTC)
    return SessionLine(
        session_id=job.session_id,
        at=job.began_at or now,
        owner_id=job.owner_id,
        request_id=job.request_id or None,
        channel=job.channel,
        status=RUNNING,
        attempt=job.attempt,
        took_s=job.age_s,
        worker=job.worker or None,
    )


def _moment(cursor: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(cursor)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
