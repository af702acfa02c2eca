"""Reconciling: refunds that could not be settled at once, orphans, undelivered pictures and old spool files.

An orphan is a session that is still open long after it was made, with no trace of it anywhere in Redis: its task was
lost before it reached us, or Redis lost its data. If its paid picture lies in the spool here it is completed, else it
is failed and refunded. A session whose task is merely waiting is left alone, however long.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.events import Events
from wearon.platform.base import OPEN_STATUSES, Channel, Platform, PlatformError, Session, SessionRef, SessionUnreadable
from wearon.platform.outages import repeat_every
from wearon.processes.child import ProcessFailed
from wearon.queue import keys
from wearon.queue.jobs import JobQueue
from wearon.queue.lease import HeartbeatWritten
from wearon.queue.task import session_id_of
from wearon.redis.backoff import run_forever
from wearon.refunds.outbox import RefundOutbox
from wearon.tryon.retry_policy import INTERNAL_MESSAGE
from wearon.tryon.spool import Spool

log = structlog.get_logger()

ORPHAN_AGE = timedelta(minutes=10)
"""Age from which an open session without a job is an orphan: the platform's own cron waits as long, and producers write
the row before they push the task."""

RECONCILE_EVERY_S = 300.0
"""One request to the platform for each channel; Redis is asked only when there are candidates."""

SPOOL_KEEP = timedelta(days=2)
"""A picture that no job asked for in two days belongs to a session that has most likely been ended otherwise: the
platform is asked."""

PAGE = 500
"""Sessions asked for at once; as JSON 200 KB."""

LEFT_BEHIND = timedelta(minutes=1)
"""A picture is in the spool for a second or two before the platform has it. What lies longer and has no job any more
is delivered before its session is old enough for another machine, which has not the picture, to take for an orphan."""

CHUNK = 250
"""Documents read from a list at once, so that a backlog of 100,000 does not stand in memory: 1 MB of honest ones."""


SETTLE_AGAIN_S = (0.5, 4.0)
"""First and longest pause when Redis is away while refunds are settled; the next heartbeat asks for it again."""


class Reconciler:
    """Runs until cancelled. A heartbeat says when the outbox holds something."""

    def __init__(
        self,
        redis: Redis,
        platform: Platform,
        queue: JobQueue,
        outbox: RefundOutbox,
        spool: Spool,
        events: Events,
        deliver: Callable[[SessionRef], Awaitable[None]] | None,
    ) -> None:
        """`deliver` finishes a session from the spool; None where no jobs run: it is left to a process that does."""
        self._redis = redis
        self._platform = platform
        self._queue = queue
        self._outbox = outbox
        self._spool = spool
        self._deliver = deliver
        self._refunds_waiting = asyncio.Event()
        events.subscribe(HeartbeatWritten, self._see_heartbeat)

    def _see_heartbeat(self, heartbeat: HeartbeatWritten) -> None:
        if heartbeat.fleet.refunds or self._outbox.has_begun:
            self._refunds_waiting.set()

    async def run(self) -> None:
        """Settle refunds as they come up and look for orphans now and then."""
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_forever(self._settle_refunds, trouble="refund outbox out of reach", pauses_s=SETTLE_AGAIN_S)
            )
            group.create_task(repeat_every(RECONCILE_EVERY_S, self._reconcile, trouble="reconciliation postponed"))

    async def _settle_refunds(self) -> None:
        await self._refunds_waiting.wait()
        self._refunds_waiting.clear()
        await self._outbox.settle_due()

    async def _reconcile(self) -> None:
        await self.deliver_left_behind()
        await self.fail_orphans()
        await self.sweep_spool()

    async def deliver_left_behind(self) -> None:
        """Finish the sessions whose paid picture is in the spool and whose job is lost. Raises redis errors."""
        if self._deliver is None or not (refs := await self._spool.left_behind(LEFT_BEHIND)):
            return
        traced = await self._traced(refs)
        for ref in refs:
            if ref.session_id in traced:
                continue
            try:
                await self._deliver(ref)
            except (PlatformError, ProcessFailed) as error:
                log.warning("picture left in the spool", session_id=ref.session_id, error=str(error))
            except (RedisError, OSError):
                raise
            except Exception:
                # Whatever is wrong with this one, the others and the orphans must not wait for it.
                log.exception("picture left in the spool", session_id=ref.session_id)

    async def sweep_spool(self) -> None:
        """Delete what no job will ask for any more. A paid picture whose session is open stays, however old it is."""
        for ref in await self._spool.left_behind(SPOOL_KEEP):
            try:
                session = await self._platform.find_session(ref.channel, ref.session_id)
            except SessionUnreadable as error:  # it may be open
                log.warning("picture left in the spool", session_id=ref.session_id, error=str(error))
                continue
            if session is None or session.ref != ref or session.status not in OPEN_STATUSES:
                await self._spool.discard(ref)
        await self._spool.sweep(SPOOL_KEEP)

    async def fail_orphans(self) -> Sequence[Session]:
        """Fail and refund the orphans; returns them. Raises platform and redis errors."""
        orphans = await self.find_orphans()
        for session in orphans:
            log.error("orphaned session", session_id=session.ref.session_id, created_at=session.created_at.isoformat())
            await self._outbox.fail(
                session.ref,
                session.request_id or "",
                INTERNAL_MESSAGE,
                "orphaned: no task, job or refund in Redis",
            )
        return orphans

    async def find_orphans(self) -> Sequence[Session]:
        """Open sessions past `ORPHAN_AGE` without a trace in Redis or the spool. Raises platform and redis errors."""
        orphans: list[Session] = []
        traced: set[str] = set()
        async for page in self._old_sessions():
            suspects = [session for session in page if session.ref.session_id not in traced]
            if suspects:
                # After the page was read: a task that comes back meanwhile (from the dead letters) is seen.
                traced |= await self._traced([session.ref for session in suspects])
                orphans += [session for session in suspects if session.ref.session_id not in traced]
        return [session for session in orphans if not await self._spool.holds(session.ref)]

    async def _old_sessions(self) -> AsyncIterator[Sequence[Session]]:
        """All of them, page by page: those that wait rightly, or cannot be ended, must not hide those behind them."""
        # By Redis' clock: a machine that is ahead must not take what was just paid for for old.
        seconds, _ = await self._redis.time()
        created_before = datetime.fromtimestamp(seconds, UTC) - ORPHAN_AGE
        for channel in Channel:
            after = None
            while page := await self._platform.list_sessions(channel, OPEN_STATUSES, created_before, PAGE, after=after):
                yield page
                after = page[-1]

    async def _traced(self, refs: Sequence[SessionRef]) -> set[str]:
        """Ids of the sessions with a task or refund, and of those of `refs` with a job.

        Read in the direction in which a task moves; of jobs, 100,000 of which may wait, Redis is asked by name.
        """
        found: set[str] = set()
        for name in (keys.TASKS, keys.PENDING):
            found |= await self._sessions_in_list(name)
        found |= await self._queue.known(refs)
        found |= {intent.session_id for intent in await self._outbox.pending()}
        return found

    async def _sessions_in_list(self, name: str) -> set[str]:
        # Counted from the left, a task's place only grows while others are pushed, and does not change while others
        # are taken from the right: reading from the left may meet a task twice, but passes none over.
        found: set[str] = set()
        start = 0
        while documents := await self._redis.lrange(name, start, start + CHUNK - 1):
            found |= {
                session_id for document in cast("list[bytes]", documents) if (session_id := session_id_of(document))
            }
            start += CHUNK
        return found
