"""Sessions that wait for their first attempt, or for their turn to go on: read from the queue when somebody asks.

The list of sessions, which attempts write, does not say so. Nothing is kept for this: two round trips read the newest
entries of the producers' list and of the tenants' lines, and the jobs that are due again later.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from heapq import nlargest
from itertools import chain
from operator import attrgetter
from typing import cast

from redis.asyncio import Redis

from wearon.operations.session_index import WAITING, SessionLine, SessionPage, SessionQuery, has_any
from wearon.platform.base import Channel
from wearon.queue import keys
from wearon.queue.task import GenerationTask, read_task
from wearon.queue.tenants import B2C, tenant_of
from wearon.redis.scripts import load_script

MOST = 1000
"""Entries that are read of each place, the newest: who looks for others asks for their store."""

MOST_TENANTS = 50
"""Lines that are read, the longest."""

MOST_SET_ASIDE = 200
"""Jobs that are due again later, the first ones: a fleet retries few at once."""

AT_ONCE = 50
"""Entries that are read between two turns of the event loop: all that may be read of fifty lines take a second."""

BEGAN_BEFORE_MS = 1e13
"""So much less is the place in its line of a job that has begun before (`queue/scripts/take.lua`)."""

Place = tuple[bytes, float]
"""A job's id and its place (ms)."""


class WaitingSessions:
    """Reads them. Raises redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(load_script("operations", "list_set_aside"))

    async def page(self, query: SessionQuery, ids: Sequence[str], cursor: str, limit: int) -> SessionPage:
        """Waiting sessions that match the query, newest first; `ids` are the ones in its text, or parts of some.

        The cursor is the number of those that were shown before.
        """
        begin = min(int(cursor), MOST) if cursor.isdigit() else 0
        end = min(begin + limit, MOST)
        most = MOST if query.text or query.since or query.until else end + 1
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(keys.TASKS)
            pipeline.lrange(keys.TASKS, 0, most - 1)
            pipeline.zrevrange(keys.WAITING, 0, MOST_TENANTS - 1, withscores=True)
            pipeline.zcard(keys.JOBS)
            pipeline.hlen(keys.RUNNING)
            tasks, documents, longest, jobs, running = await pipeline.execute()
        tenants = _tenants(query) or [tenant.decode(errors="replace") for tenant, _ in longest]
        set_aside, in_lines = await self._set_aside(), await self._in_lines(tenants, most)
        wanted: dict[str, SessionLine] = {}
        text = bool(query.text.strip())
        for number, line in enumerate(chain(map(_of_job, set_aside), map(_of_task, documents), map(_of_job, in_lines))):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            if line is not None and query.takes(line) and (has_any(line, ids) or not text):
                wanted[line.session_id] = line
        found = nlargest(end + 1, wanted.values(), key=attrgetter("at"))
        return SessionPage(
            sessions=found[begin:end],
            cursor=str(end) if begin < end < len(found) else "",
            kept=tasks + max(0, jobs - running),
        )

    async def _set_aside(self) -> Iterable[Place]:
        answer = await self._script(keys=[keys.RUNNING, keys.JOBS], args=[keys.LINE, MOST, MOST_SET_ASIDE])
        found = cast("list[bytes]", answer)
        return zip(found[::2], map(float, found[1::2]), strict=True)

    async def _in_lines(self, tenants: Sequence[str], most: int) -> Iterable[Place]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for tenant in tenants:
                pipeline.zrevrange(keys.LINE + tenant, 0, most - 1, withscores=True)
            return chain.from_iterable(cast("list[list[Place]]", await pipeline.execute()))


def _tenants(query: SessionQuery) -> list[str]:
    """The tenants that the query is about; none: all that wait."""
    if query.channel is Channel.B2C:
        return [B2C]
    if query.owner_id:
        store = tenant_of(Channel.B2B, query.owner_id)
        return [store] if query.channel else [store, B2C]
    return []


def _of_task(document: bytes) -> SessionLine | None:
    """The session of a document; None when it is no task."""
    task = read_task(document)
    if not isinstance(task, GenerationTask):
        return None
    ref = task.ref
    return SessionLine(
        session_id=ref.session_id,
        at=task.created_at or datetime.now(UTC),
        owner_id=ref.owner_id,
        request_id=task.request_id,
        channel=ref.channel.value,
        status=WAITING,
    )


def _of_job(place: Place) -> SessionLine | None:
    """The session of a job; None when the job's id names none."""
    job, place_ms = place
    *_, channel, owner_id, session_id = ["", "", *job.decode(errors="replace").split(":")]
    try:
        at = datetime.fromtimestamp((place_ms + BEGAN_BEFORE_MS if place_ms < 0 else place_ms) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if channel not in set(Channel):
        return None
    return SessionLine(session_id=session_id, at=at, owner_id=owner_id, channel=channel, status=WAITING)
