"""The status of the fleet: a snapshot of Redis and the own state of the process that answers.

It costs one Redis command a second at most, however many callers ask, because a snapshot is remembered for that long;
while it is not read it costs none.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from redis.exceptions import RedisError

from wearon.dependencies import Dependency, Refusal, RefusalKind
from wearon.operations.counters import last_minutes, percentile_s
from wearon.operations.incident_memory import Memory
from wearon.operations.incidents import find_incidents, is_well, with_cost
from wearon.operations.models import Descriptors, FleetStatus, ImageModelUse, Minute, PosePoolStatus, Report, RunningJob
from wearon.operations.report import Reporter
from wearon.operations.snapshot import HOUR, Snapshot, SnapshotReader
from wearon.pose.pool import PosePool
from wearon.queue.lease import HEARTBEAT_S, LEASE_S

log = structlog.get_logger()

REMEMBER_S = 1.0
"""Callers within this time get the same snapshot, so that several watchers cost what one costs."""

READ_S = 1.0
"""A Redis that takes longer is as good as away for a job's start, and a health check must not hang on it."""

SILENT_S = 2 * HEARTBEAT_S
"""A process that has not written to Redis for two heartbeats is not well, even if it can read there."""

MAX_RUNNING = 200
"""Jobs shown one by one, the longest running first; `queues.running` counts them all."""


class StatusReader:
    """Reads the status. `own` reports of this process; None for a command line, which does no work itself."""

    def __init__(
        self,
        snapshots: SnapshotReader,
        *,
        mode: str,
        requests_per_minute: int,
        own: Reporter | None = None,
        pose_pool: PosePool | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._mode = mode
        self._requests_per_minute = requests_per_minute
        self._own = own
        self._pose_pool = pose_pool
        self._snapshot: Snapshot | None = None
        self._late = False
        self._descriptors: Descriptors | None = None
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def read(self) -> FleetStatus:
        """Never fails because Redis is away; what concerns this process is as of now."""
        snapshot = await self._read_snapshot()
        own = self._own.report() if self._own else None
        processes = _with_own(snapshot, own)
        fleet = FleetStatus(
            at=datetime.now(UTC),
            mode=self._mode,
            status="ok",
            parts=own.parts if own else [],
            refusals=[*(own.refusals if own else []), *self._unreported(snapshot, own)],
            queues=snapshot and snapshot.queues,
            pauses=snapshot.pauses if snapshot else [],
            near_cron=snapshot.near_cron if snapshot else [],
            running=_running(processes, own)[:MAX_RUNNING],
            processes=list(processes.values()),
            last_hour=snapshot.last_hour if snapshot else _empty_hour(),
            failures_by_reason=snapshot.failures_by_reason if snapshot else {},
            openai=snapshot and self._image_model_use(snapshot, processes),
            spend_today=snapshot and snapshot.spend_today,
            books=snapshot and snapshot.books,
            retention=snapshot and snapshot.retention,
            pose_pool=self._pose_pool_status(),
            descriptors=self._descriptors,
        )
        memory = Memory.read(snapshot.incidents if snapshot else {})
        active, fleet.recovered = memory.recall(find_incidents(fleet), fleet.at)
        fleet.incidents = [with_cost(incident, fleet) for incident in active]
        fleet.problems = [incident.title for incident in fleet.incidents]
        fleet.status = "ok" if is_well(fleet.incidents) else "degraded"
        return fleet

    async def running(self) -> Sequence[RunningJob]:
        """All jobs that the processes report, the longest running first; as `read`, it asks Redis once a second."""
        snapshot = await self._read_snapshot()
        own = self._own.report() if self._own else None
        return _running(_with_own(snapshot, own), own)

    @property
    def remembered(self) -> Mapping[str, bytes] | None:
        """What the newest snapshot held of incidents; None while Redis does not answer."""
        return self._snapshot.incidents if self._snapshot else None

    async def _read_snapshot(self) -> Snapshot | None:
        async with self._reading:
            if self._read_at is None or time.monotonic() - self._read_at > REMEMBER_S:
                try:
                    async with asyncio.timeout(READ_S):
                        self._snapshot = await self._snapshots.read()
                    self._late = False
                except (RedisError, OSError, TimeoutError) as error:
                    log.debug("no look into redis", error=str(error))
                    self._snapshot, self._late = None, isinstance(error, TimeoutError)
                self._descriptors = self._own.descriptors() if self._own else None
                self._read_at = time.monotonic()
            return self._snapshot

    def _unreported(self, snapshot: Snapshot | None, own: Report | None) -> Iterator[Refusal]:
        """What is wrong with Redis although no command of this process was refused."""
        silent_s = self._own.silent_s() if self._own else 0.0
        if silent_s > SILENT_S:
            yield _redis_away("nothing could be written to Redis", round(silent_s, 1))
        if self._late:
            yield _redis_away(f"Redis has not answered within {READ_S:g} s", 0.0)
        known = " ".join(refusal.words for refusal in own.refusals) if own else ""
        unknown = {words for key, words in snapshot.refused.items() if key not in known} if snapshot else set()
        for words in sorted(unknown):
            if words not in known:
                yield Refusal(dependency=Dependency.REDIS, words=words, since_s=0.0)

    def _image_model_use(self, snapshot: Snapshot, processes: Mapping[str, Report]) -> ImageModelUse:
        return ImageModelUse(
            calls=snapshot.calls,
            p50_s=percentile_s(snapshot.durations, 0.5),
            p95_s=percentile_s(snapshot.durations, 0.95),
            requests_per_minute=self._requests_per_minute,
            used_last_minute=sum(process.calls_last_minute for process in processes.values()),
            next_slot_in_s=snapshot.next_slot_in_s,
        )

    def _pose_pool_status(self) -> PosePoolStatus | None:
        pool = self._pose_pool
        if pool is None:
            return None
        return PosePoolStatus(
            processes=pool.processes,
            warm=pool.warm,
            waiting=pool.waiting,
            expected_wait_s=round(pool.expected_wait_s, 2),
        )


def _redis_away(words: str, since_s: float) -> Refusal:
    return Refusal(dependency=Dependency.REDIS, kind=RefusalKind.AWAY, words=words, since_s=since_s)


def _with_own(snapshot: Snapshot | None, own: Report | None) -> dict[str, Report]:
    """The living processes by worker id; this one as it is now, even while Redis is away or its lease is lost."""
    found = dict(snapshot.processes) if snapshot else {}
    if own is not None:
        if own.worker in found:
            own.beat_age_s = found[own.worker].beat_age_s
        elif snapshot is not None and own.capacity:
            own.beat_age_s = LEASE_S  # a worker without a lease must not look well
        found[own.worker] = own
    return dict(sorted(found.items()))


def _running(processes: Mapping[str, Report], own: Report | None) -> list[RunningJob]:
    running = [
        job.after(0.0 if process is own else process.beat_age_s, worker)
        for worker, process in processes.items()
        for job in process.jobs
    ]
    return sorted(running, key=lambda job: -job.age_s)


def _empty_hour() -> list[Minute]:
    return [Minute(at=at) for at in last_minutes(datetime.now(UTC), HOUR)]
