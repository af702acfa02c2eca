"""The fleet's circuit breaker: when what every job needs is refused, the fleet pauses itself until one job succeeds.

A refused key, a used-up account, no image model that can be used, or a bucket that takes nothing is an operator's
mistake, and every job would wait for it in a slot of its own until its deadline. So after a few refusals nothing is
started any more: jobs that were refused are retried and wait, the others have not begun, and no session fails. One job
in `pauses.PROBE_S` is let through (half-open); when it gets its picture, the fleet goes on.

What the jobs of all processes met is counted in Redis, and only while something is refused.
"""

from datetime import UTC, datetime

import structlog
from redis.exceptions import RedisError

from wearon.events import Events
from wearon.platform.base import SessionRef
from wearon.queue.lease import Fleet, HeartbeatWritten
from wearon.queue.pauses import Pause, Pauses
from wearon.queue.tenants import tenant_of
from wearon.tryon.retry_policy import Reason, Refused
from wearon.tryon.run import Outcome, Run, RunEnded

log = structlog.get_logger()

UNASKED = {Outcome.ENDED_ELSEWHERE, Outcome.DEAD_LETTER}
"""Outcomes that say nothing about what is refused."""

UNASKED_FOR = {Reason.PICTURE, Reason.TASK}
"""Reasons that say nothing about it either: the pictures could not be fetched, or the job could not be read."""


class FleetBreaker:
    """What this process adds to the fleet's breaker, and what it knows of pauses (as of the last heartbeat)."""

    def __init__(self, pauses: Pauses, worker_id: str, events: Events) -> None:
        self._pauses = pauses
        self._worker_id = worker_id
        self._fleet = Fleet()
        self._seen_at = datetime.now(UTC)
        """When the fleet's present pause was seen first."""
        self._counted: set[Refused] = set()
        events.subscribe(HeartbeatWritten, self._see_heartbeat)
        events.subscribe(RunEnded, self._see_run)

    def is_paused(self, ref: SessionRef) -> bool:
        """Whether jobs like this session's are not started now."""
        return self._fleet.pause is not None or tenant_of(ref.channel, ref.owner_id) in self._fleet.paused

    def _see_heartbeat(self, heartbeat: HeartbeatWritten) -> None:
        before, now = self._fleet.pause, heartbeat.fleet.pause
        if now is not None and (before is None or before.since_ms != now.since_ms):
            self._seen_at = datetime.now(UTC)
        self._fleet = heartbeat.fleet

    async def _see_run(self, ended: RunEnded) -> None:
        run, pause = ended.run, self._fleet.pause
        try:
            if run.refused is not None:
                await self._count(run.refused, run)
            elif _has_asked(run):
                await self._grant(run, pause)
            elif pause and pause.is_own and run.began_at >= self._seen_at and _shows_nothing(run):
                await self._pauses.probe_again(pause)
        except (RedisError, OSError) as error:
            # Retried jobs are refused again, and another probe comes.
            log.warning("the fleet's breaker does not know how an attempt ended", error=str(error))

    async def _count(self, refused: Refused, run: Run) -> None:
        if self._fleet.pause is not None:
            return
        self._counted.add(refused)
        if await self._pauses.count_refusal(refused, f"{refused.words} ({run.reason})", self._worker_id):
            self._counted.clear()
            log.error("the fleet pauses itself", cause=refused.value, reason=run.reason)

    async def _grant(self, run: Run, pause: Pause | None) -> None:
        """End the pause: a request was answered with a picture or by the safety filter, so nothing is refused."""
        while self._counted:
            await self._pauses.forget_refusals(self._counted.pop())
        # What was asked before the pause began says nothing about it.
        if pause and pause.is_own and run.began_at >= self._seen_at and await self._pauses.end_own(pause):
            log.warning("the fleet goes on: a job has succeeded", cause=pause.cause, session_id=run.ref.session_id)


def _has_asked(run: Run) -> bool:
    return run.category is Reason.MODERATION or (run.outcome is Outcome.COMPLETED and bool(run.answered_s))


def _shows_nothing(run: Run) -> bool:
    return run.outcome in UNASKED or run.category in UNASKED_FOR or run.outcome is Outcome.COMPLETED
