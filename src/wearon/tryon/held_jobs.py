"""The jobs that run here, compared with those that Redis lists beside our name.

The two drift apart: an answer of Redis is lost, a failover forgets the last second, Redis loses all its data, or
others have found our lease ended. Each heartbeat tells what Redis lists, and here each difference is put right:

- listed and not running here: nobody runs it. It is released, so that somebody takes it;
- running here and not listed: somebody else has taken it, then it is stopped here; or Redis has forgotten it, then it
  is written down again, and a call that is under way and paid for goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from wearon.tryon import keys
from wearon.tryon.job_queue import Attempt
from wearon.tryon.job_scripts import RELEASE, RESTORE

log = structlog.get_logger()

STARTS_KEPT_S = 24 * 3600
"""The number of a job's starts outlives any pause between two of them."""


@dataclass(slots=True, eq=False)
class TakenJob:
    """A job as Redis gave it to us."""

    job_id: str
    token: str
    """What its place in the queue looks like for as long as nobody else takes it (`job_scripts`)."""
    starts: int
    document: bytes
    taken_at: float
    """By the clock of the Redis server (epoch)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ran here when a heartbeat was sent."""

    running: frozenset[str]
    takes: int


class HeldJobs:
    """What this worker runs. `stop` is called with the id of a job that somebody else has."""

    def __init__(self, redis: Redis, worker_id: str, stop: Callable[[str], None]) -> None:
        self._worker_id = worker_id
        self._stop = stop
        self._release = redis.register_script(RELEASE)
        self._restore = redis.register_script(RESTORE)
        self.unwritten: dict[str, Attempt] = {}
        """By job id: what its next start must know and Redis was not there to be told."""
        self._running: dict[str, TakenJob] = {}
        self._takes = 0
        self._taking = False

    def begin_take(self) -> None:
        """Jobs may be written beside our name from now on without our knowing of them yet."""
        self._takes += 1
        self._taking = True

    def end_take(self) -> None:
        """The answer has come, or is lost."""
        self._taking = False

    def add(self, job: TakenJob) -> None:
        """It runs here."""
        self._running[job.job_id] = job

    def taken_again(self, job: TakenJob) -> None:
        """Redis had forgotten that it runs here (a failover), and has given it to us once more."""
        if running := self._running.get(job.job_id):
            running.token = job.token
        # Else its end is just being written down: it is found beside our name, and released.

    def ending(self, job: TakenJob) -> None:
        """Its end is being written down: it may be listed or not."""
        if self._running.get(job.job_id) is job:
            del self._running[job.job_id]

    def snapshot(self) -> Snapshot:
        """Before a heartbeat is sent."""
        return Snapshot(frozenset(self._running), -1 if self._taking else self._takes)

    async def compare(self, listed: Mapping[str, str], before: Snapshot, *, redis_forgot: bool) -> None:
        """Put right what differs. `listed`: the jobs beside our name and their places. Raises redis errors."""
        # What was taken while the beat was on its way need not be listed. But what Redis has lost, it loses in the
        # sight of this one beat, and writing down once more what is written down is harmless.
        known = frozenset(self._running) if redis_forgot else before.running
        missing = [job for job_id in known if (job := self._running.get(job_id)) and not listed.get(job_id)]
        for job in missing:
            await self._write_down_again(job, redis_forgot=redis_forgot)
        if before.takes != self._takes or self._taking:
            return  # what is listed may just be on its way to us
        for job_id, place in listed.items():
            if job_id not in before.running and job_id not in self._running:
                await self._let_go(job_id, place)

    async def _write_down_again(self, job: TakenJob, *, redis_forgot: bool) -> None:
        name = job_id_bytes(job.job_id)
        ours = await self._restore(
            keys=_keys(job.job_id),
            args=[self._worker_id, name, job.token, job.document, job.starts, STARTS_KEPT_S, int(redis_forgot)],
        )
        if ours:
            log.warning("job that Redis had forgotten is written down again", job_id=job.job_id)
        elif job.job_id in self._running:
            log.error("lease lost: others may run these jobs now, so they are stopped here", jobs=[job.job_id])
            self._stop(job.job_id)

    async def _let_go(self, job_id: str, place: str) -> None:
        running, queue, _, starts = _keys(job_id)
        no_start = int(job_id not in self.unwritten)
        arguments: Sequence[str | bytes | int] = [self._worker_id, job_id_bytes(job_id), place, no_start]
        if await self._release(keys=[running, queue, starts], args=arguments):
            log.warning("job was written beside our name and does not run here: it is free again", job_id=job_id)


def _keys(job_id: str) -> list[str | bytes]:
    name = job_id_bytes(job_id)
    return [keys.RUNNING, keys.JOBS, keys.JOB.encode() + name, keys.STARTS.encode() + name]


def job_id_bytes(job_id: str) -> bytes:
    """As it lies in Redis, where it may be anything."""
    return job_id.encode(errors="surrogateescape")


def job_id_text(job_id: bytes) -> str:
    """The other way round."""
    return job_id.decode(errors="surrogateescape")
