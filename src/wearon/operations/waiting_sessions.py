"""Sessions that wait for their first attempt, or for their turn to go on: read from the queue when somebody asks.

The list of sessions, which attempts write, does not say so. Nothing is kept for this: two round trips read the newest
entries of the producers' list and of the tenants' lines, and the jobs that are due again later.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
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
        lines = [*await self._set_aside(), *_of_tasks(documents), *await self._in_lines(tenants, most)]
        text = bool(query.text.strip())
        wanted = [line for line in lines if query.takes(line) and (has_any(line, ids) or not text)]
        found = sorted({line.session_id: line for line in wanted}.values(), key=_newest_first)
        return SessionPage(
            sessions=found[begin:end],
            cursor=str(end) if begin < end < len(found) else "",
            kept=tasks + max(0, jobs - running),
        )

    async def _set_aside(self) -> list[SessionLine]:
        answer = await self._script(keys=[keys.RUNNING, keys.JOBS], args=[keys.LINE, MOST, MOST_SET_ASIDE])
        found = cast("list[bytes]", answer)
        jobs = zip(found[::2], found[1::2], strict=True)
        lines = (_of_job(job.decode(errors="replace"), float(due_ms)) for job, due_ms in jobs)
        return [line for line in lines if line is not None]

    async def _in_lines(self, tenants: Sequence[str], most: int) -> list[SessionLine]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for tenant in tenants:
                pipeline.zrevrange(keys.LINE + tenant, 0, most - 1, withscores=True)
            found = cast("list[list[tuple[bytes, float]]]", await pipeline.execute())
        lines = (_of_job(job.decode(errors="replace"), arrived_ms) for line in found for job, arrived_ms in line)
        return [line for line in lines if line is not None]


def _tenants(query: SessionQuery) -> list[str]:
    """The tenants that the query is about; none: all that wait."""
    if query.channel is Channel.B2C:
        return [B2C]
    if query.owner_id:
        store = tenant_of(Channel.B2B, query.owner_id)
        return [store] if query.channel else [store, B2C]
    return []


def _newest_first(line: SessionLine) -> float:
    return -line.at.timestamp()


def _of_tasks(documents: Iterable[bytes]) -> Iterable[SessionLine]:
    for document in documents:
        task = read_task(document)
        if isinstance(task, GenerationTask):
            ref = task.ref
            yield SessionLine(
                session_id=ref.session_id,
                at=task.created_at or datetime.now(UTC),
                owner_id=ref.owner_id,
                request_id=task.request_id,
                channel=ref.channel.value,
                status=WAITING,
            )


def _of_job(job: str, arrived_ms: float) -> SessionLine | None:
    """The session of a job; None when the job's id names none."""
    *_, channel, owner_id, session_id = ["", "", *job.split(":")]
    try:
        at = datetime.fromtimestamp(arrived_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if channel not in set(Channel):
        return None
    return SessionLine(session_id=session_id, at=at, owner_id=owner_id, channel=channel, status=WAITING)
