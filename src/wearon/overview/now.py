"""The fleet at this moment, put together from one look into Redis and this process's own state.

A watched view costs one Redis command a second at most, however many watch it: a look is remembered for that long.
An unwatched one costs none.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import structlog
from redis.exceptions import RedisError

from wearon.overview.look import HOUR, Look, Looker
from wearon.overview.models import (
    ImageModelNow,
    Minute,
    Now,
    OpenAINow,
    PartNow,
    PosePoolNow,
    ProcessNow,
    QueuesNow,
    RefusalNow,
    RunningJob,
    SpendNow,
)
from wearon.overview.problems import find_problems, is_well
from wearon.pose.pool import PosePool
from wearon.tryon.counts import dollars, last_minutes, percentile_s
from wearon.tryon.leases import LEASE_S
from wearon.tryon.reports import Report, ReportedJob, ReportedPart, ReportedRefusal

log = structlog.get_logger()

REMEMBER_S = 1.0
"""Whoever looks within this time sees the same: several watchers cost what one costs."""

PATIENCE_S = 1.0
"""A Redis that takes longer is as good as away, and the view must show that instead of standing still."""

MAX_RUNNING = 200
"""Jobs shown one by one, the longest running first; `queues.running` counts them all."""


class Present:
    """Makes `Now`. `own` is this process: its worker id and report; None for a command line that only looks."""

    def __init__(
        self,
        looker: Looker,
        *,
        mode: str,
        requests_per_minute: int,
        own: tuple[str, Callable[[], Report]] | None = None,
        pose_pool: PosePool | None = None,
    ) -> None:
        self._looker = looker
        self._mode = mode
        self._requests_per_minute = requests_per_minute
        self._own = own
        self._pose_pool = pose_pool
        self._last: Look | None = None
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    async def now(self) -> Now:
        """Never fails because Redis is away; what this process says of itself is as of now."""
        look = await self._look()
        processes = self._processes(look)
        running = [
            _running(worker, 0.0 if self._is_own(worker) else age_s, job)
            for worker, age_s, report in processes
            for job in report.jobs
        ]
        minutes = _hour(look)
        own = self._own[1]() if self._own else None
        now = Now(
            at=datetime.now(UTC),
            mode=self._mode,
            status="ok",
            parts=[_part(part) for part in (own.parts if own else [])],
            refusals=[_refusal(refusal) for refusal in (own.refusals if own else [])],
            queues=look and _queues(look),
            running=sorted(running, key=lambda job: -job.age_s)[:MAX_RUNNING],
            processes=[_process(*process) for process in processes],
            last_hour=minutes,
            failures_by_reason=_reasons(look),
            openai=look and self._openai(look, processes),
            spend_today=look and _spend(look),
            pose_pool=self._pose_pool_now(),
        )
        now.status = "ok" if is_well(now) else "degraded"
        now.problems = find_problems(now)
        return now

    async def _look(self) -> Look | None:
        async with self._looking:
            if self._looked_at is None or time.monotonic() - self._looked_at > REMEMBER_S:
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        self._last = await self._looker.look()
                except (RedisError, OSError, TimeoutError) as error:
                    log.debug("no look into redis", error=str(error))
                    self._last = None
                self._looked_at = time.monotonic()
            return self._last

    def _processes(self, look: Look | None) -> list[tuple[str, float, Report]]:
        """Those alive that left a report; this one as it is now, even while Redis is away or its lease is lost."""
        found = {
            process.worker_id: (process.worker_id, process.beat_age_s, process.report)
            for process in (look.processes if look else [])
            if process.report is not None
        }
        if self._own is not None:
            worker_id, report = self._own
            present = report()
            # One that runs jobs and has no lease any more must not look well.
            without_lease_s = LEASE_S if look is not None and present.capacity else 0.0
            beat_age_s = found[worker_id][1] if worker_id in found else without_lease_s
            found[worker_id] = (worker_id, beat_age_s, present)
        return [found[worker_id] for worker_id in sorted(found)]

    def _is_own(self, worker: str) -> bool:
        return self._own is not None and worker == self._own[0]

    def _openai(self, look: Look, processes: Sequence[tuple[str, float, Report]]) -> OpenAINow:
        took: Counter[int] = Counter()
        for counts in look.hour.values():
            for name, count in counts.items():
                kind, _, place = name.partition(":")
                if kind == "took" and place.isdecimal():
                    took[int(place)] += count
        return OpenAINow(
            calls=sum(counts.get("calls", 0) for counts in look.hour.values()),
            p50_s=percentile_s(took, 0.5),
            p95_s=percentile_s(took, 0.95),
            requests_per_minute=self._requests_per_minute,
            used_last_minute=sum(report.calls_last_minute for _, _, report in processes),
            next_slot_in_s=look.next_slot_in_s,
        )

    def _pose_pool_now(self) -> PosePoolNow | None:
        pool = self._pose_pool
        if pool is None:
            return None
        return PosePoolNow(
            processes=pool.processes,
            warm=pool.warm,
            waiting=pool.waiting,
            expected_wait_s=round(pool.expected_wait_s, 2),
        )


def _queues(look: Look) -> QueuesNow:
    return QueuesNow(
        tasks=look.tasks,
        oldest_task_s=look.oldest_task_s,
        taken=look.taken,
        jobs=look.jobs,
        running=look.running,
        dead_letters=look.dead_letters,
        refunds=look.refunds,
        refunds_by_hand=look.refunds_by_hand,
        oldest_refund_s=look.oldest_refund_s,
    )


def _hour(look: Look | None) -> list[Minute]:
    if look is None:
        return [Minute(at=at) for at in last_minutes(datetime.now(UTC), HOUR)]
    return [
        Minute(
            at=at,
            completed=counts.get("completed", 0),
            failed=counts.get("failed", 0),
            put_back=counts.get("put_back", 0),
            refunded=counts.get("refunded", 0),
            openai_calls=counts.get("calls", 0),
            openai_s=counts.get("call_ms", 0) / 1000,
            cost_usd=dollars(counts.get("cost_micro", 0)),
        )
        for at, counts in look.hour.items()
    ]


def _reasons(look: Look | None) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for counts in look.hour.values() if look else []:
        for name, count in counts.items():
            kind, _, reason = name.partition(":")
            if kind == "reason":
                reasons[reason] += count
    return dict(reasons.most_common())


def _spend(look: Look) -> SpendNow:
    return SpendNow(
        cost_usd=dollars(look.day.get("cost_micro", 0)) or Decimal(0),
        pictures=look.day.get("pictures", 0),
        unknown_cost=look.day.get("unknown_cost", 0),
    )


def _process(worker: str, beat_age_s: float, report: Report) -> ProcessNow:
    return ProcessNow(
        worker=worker,
        host=report.host,
        pid=report.pid,
        version=report.version,
        capacity=report.capacity,
        busy=report.busy,
        beat_age_s=beat_age_s,
        loop_lag_s=report.loop_lag_s,
        memory_mb=report.memory_mb,
        parts=[_part(part) for part in report.parts],
        refusals=[_refusal(refusal) for refusal in report.refusals],
        image_models=[ImageModelNow(name=model.name, last_day=model.last_day) for model in report.image_models],
    )


def _part(part: ReportedPart) -> PartNow:
    return PartNow(name=part.name, state=part.state, restarts=part.restarts, error=part.error)


def _refusal(refusal: ReportedRefusal) -> RefusalNow:
    return RefusalNow(dependency=refusal.dependency, words=refusal.words, since_s=refusal.since_s)


def _running(worker: str, beat_age_s: float, job: ReportedJob) -> RunningJob:
    return RunningJob(
        session_id=job.session_id,
        request_id=job.request_id,
        channel=job.channel,
        worker=worker,
        step=job.step,
        step_s=round(job.step_s + beat_age_s, 1),
        age_s=round(job.age_s + beat_age_s, 1),
        attempt=job.attempt,
    )
