"""`GET /health`: what works, part by part. Always 200: the process is there and says how it is."""

import asyncio
import time
from collections.abc import Callable, Sequence

from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.dependencies import Dependencies, Dependency, Refusal
from wearon.descriptors import Budget, open_now
from wearon.pose.pool import PosePool
from wearon.redis_errors import RedisUnavailable
from wearon.supervisor import Part, PartState
from wearon.tryon import keys
from wearon.tryon.leases import BEAT_S
from wearon.tryon.refund_intents import LATE_S, oldest_age_s

REDIS_PATIENCE_S = 1.0
"""A Redis that takes longer is as good as away for a job's start, and a health check must not hang on it."""

SILENT_S = 2 * BEAT_S
"""A process that has not written to Redis for two heartbeats is not well, whatever it may read there."""

REMEMBER_S = 2.0
"""Several watchers cost no more Redis commands than one."""


class PartHealth(BaseModel):
    """One part of the process."""

    state: PartState
    restarts: int
    error: str | None = None


class PosePoolHealth(BaseModel):
    """The processes that estimate poses."""

    processes: int
    warm: int
    waiting: int


class RefusalHealth(BaseModel):
    """What a service refuses this process."""

    dependency: str
    words: str
    since_s: float


class DescriptorsHealth(BaseModel):
    """Open files and connections, and how they are shared out."""

    limit: int
    open: int | None
    paid_work: int
    downloads: int
    http: int


class QueueDepths(BaseModel):
    """What lies where in Redis."""

    tasks: int
    taken: int
    jobs: int
    dead_letters: int
    refunds: int
    refunds_by_hand: int
    oldest_refund_s: float | None = None
    """Age of the oldest outstanding refund; one older than 30 s is late, and the report degraded."""


class HealthReport(BaseModel):
    """The answer of `/health`."""

    status: str
    model_loaded: bool
    redis_connected: bool
    mode: str
    parts: dict[str, PartHealth]
    pose_pool: PosePoolHealth | None
    queues: QueueDepths | None
    refusals: list[RefusalHealth] = []
    """Empty when no service that is needed refuses anything."""
    descriptors: DescriptorsHealth | None = None


class Health:
    """Gathers the report."""

    def __init__(
        self,
        mode: str,
        parts: Callable[[], Sequence[Part]],
        pose_pool: PosePool | None,
        redis: Redis,
        dependencies: Dependencies | None = None,
        silent_s: Callable[[], float] = lambda: 0.0,
        budget: Budget | None = None,
    ) -> None:
        """`silent_s` says for how long this process has not written to Redis; one that need not, never says more than
        nothing.
        """
        self._mode = mode
        self._parts = parts
        self._pose_pool = pose_pool
        self._redis = redis
        self._dependencies = dependencies or Dependencies()
        self._silent_s = silent_s
        self._budget = budget
        self._depths: QueueDepths | None = None
        self._late = False
        self._looked_at: float | None = None
        self._open: int | None = None
        self._looking = asyncio.Lock()

    async def report(self) -> HealthReport:
        """What works at this moment (Redis: at most 2 s ago)."""
        depths = await self._queue_depths()
        parts = {
            part.name: PartHealth(state=part.state, restarts=part.restarts, error=part.error) for part in self._parts()
        }
        pool = self._pose_pool
        model_loaded = pool is not None and pool.ready
        refusals = [*self._dependencies.refusals, *self._silence()]
        all_well = (
            not refusals
            and (self._budget is None or self._budget.enough)
            and depths is not None
            and (depths.oldest_refund_s or 0.0) <= LATE_S
            and all(part.state is PartState.RUNNING for part in parts.values())
            and (pool is None or pool.warm == pool.processes)
        )
        return HealthReport(
            status="ok" if all_well else "degraded",
            model_loaded=model_loaded,
            redis_connected=depths is not None,
            mode=self._mode,
            parts=parts,
            pose_pool=pool and PosePoolHealth(processes=pool.processes, warm=pool.warm, waiting=pool.waiting),
            queues=depths,
            refusals=[
                RefusalHealth(dependency=refusal.dependency, words=refusal.words, since_s=refusal.since_s)
                for refusal in refusals
            ],
            descriptors=self._descriptors(),
        )

    def _descriptors(self) -> DescriptorsHealth | None:
        budget = self._budget
        if budget is None:
            return None
        return DescriptorsHealth(
            limit=budget.limit,
            open=self._open,
            paid_work=budget.paid_work,
            downloads=budget.downloads,
            http=budget.http,
        )

    def _silence(self) -> list[Refusal]:
        """What is wrong with Redis although it has refused nothing."""
        found = []
        silent_s = self._silent_s()
        if silent_s > SILENT_S:
            found.append(Refusal(Dependency.REDIS, "nothing could be written to Redis", round(silent_s, 1)))
        if self._late:
            found.append(Refusal(Dependency.REDIS, f"Redis has not answered within {REDIS_PATIENCE_S:g} s", 0.0))
        return found

    async def _queue_depths(self) -> QueueDepths | None:
        async with self._looking:
            if self._looked_at is None or time.monotonic() - self._looked_at > REMEMBER_S:
                try:
                    async with asyncio.timeout(REDIS_PATIENCE_S):
                        self._depths = await self._count()
                    self._late = False
                except (RedisError, OSError, TimeoutError) as error:
                    self._depths, self._late = None, isinstance(error, TimeoutError)
                self._looked_at = time.monotonic()
                self._open = open_now()
            return self._depths

    async def _count(self) -> QueueDepths:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.llen(keys.TASKS)
            pipe.llen(keys.TAKEN)
            pipe.zcard(keys.JOBS)
            pipe.llen(keys.DEAD_LETTERS)
            pipe.hlen(keys.REFUNDS)
            pipe.hlen(keys.REFUNDS_BY_HAND)
            answers = await pipe.execute(raise_on_error=False)
        if unavailable := next((answer for answer in answers if isinstance(answer, RedisUnavailable)), None):
            raise unavailable
        # A key that holds something else counts as empty: what is wrong with it is among the refusals.
        tasks, taken, jobs, dead_letters, refunds, by_hand = (
            0 if isinstance(answer, RedisError) else answer for answer in answers
        )
        # Asked for only when there are any, which is seldom.
        intents = await self._redis.hvals(keys.REFUNDS) if refunds else []  # type: ignore[misc]
        return QueueDepths(
            tasks=tasks,
            taken=taken,
            jobs=jobs,
            dead_letters=dead_letters,
            refunds=refunds,
            refunds_by_hand=by_hand,
            oldest_refund_s=oldest_age_s(intents),
        )
