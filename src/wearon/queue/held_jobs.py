"""The jobs that run here, compared with those that Redis lists beside our name.

The two drift apart: an answer of Redis is lost, a failover forgets the last second, Redis loses all its data, or
another worker has found our lease expired. Each heartbeat tells what Redis lists, and each difference is put right:

- listed and not running here: no worker runs it. It is released, so that one takes it;
- running here and not listed: another worker has taken it, then it is stopped here; or Redis has forgotten it, then it
  is written down again, and a call that is under way and paid for goes on.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis

from wearon.events import Events
from wearon.queue import keys
from wearon.queue.jobs import REJECTS, Attempt
from wearon.redis.scripts import load_script

log = structlog.get_logger()

STARTS_KEPT_S = 24 * 3600
"""The number of a job's attempts outlives any pause between two of them."""


@dataclass(slots=True, eq=False)
class TakenJob:
    """A job as Redis gave it to us."""

    job_id: str
    token: str
    """What its place in the queue looks like until the next take (`wearon.queue.jobs`)."""
    starts: int
    document: bytes
    taken_at: float
    """By the clock of the Redis server (epoch)."""
    taken_elsewhere: bool = False
    """Another worker has it now: how it ends here is written nowhere."""
    part_of_sum: int = field(init=False)
    """What it adds to the sum of its worker's jobs, as `part_of_sum` of the scripts makes it."""

    @property
    def only_rejects(self) -> bool:
        """Whether it only fails and refunds a session: so its name says, in the scripts too."""
        return self.job_id.startswith(REJECTS)

    def __post_init__(self) -> None:
        self.part_of_sum = int(hashlib.sha1(job_id_bytes(self.job_id), usedforsecurity=False).hexdigest()[:10], 16)


@dataclass(frozen=True, slots=True)
class JobTakenElsewhere:
    """An event: a job that runs here is another worker's now."""

    job: TakenJob


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ran here when a heartbeat was sent."""

    running: frozenset[str]
    sum: int
    """What they add up to (`TakenJob.part_of_sum`): Redis keeps it too, so that a heartbeat need not list them."""
    takes: int


class HeldJobs:
    """The jobs that this worker runs."""

    def __init__(self, redis: Redis, worker_id: str, events: Events) -> None:
        self.worker_id = worker_id
        self._events = events
        self._release = redis.register_script(load_script("queue", "release"))
        self._restore = redis.register_script(load_script("queue", "restore"))
        self.unwritten: dict[str, Attempt] = {}
        """By job id: what its next attempt must know, for as long as Redis was not there to write it down."""
        self._running: dict[str, TakenJob] = {}
        self._ending: set[str] = set()
        self._takes = 0
        self._taking = False

    def begin_take(self) -> None:
        """Redis may write jobs beside our name from now on, of which we do not know yet."""
        self._takes += 1
        self._taking = True

    def end_take(self) -> None:
        """The answer has come, or is lost."""
        self._taking = False

    def add(self, job: TakenJob) -> None:
        """Note that the job runs here."""
        self._running[job.job_id] = job

    def taken_again(self, job: TakenJob) -> None:
        """Redis had forgotten that it runs here (a failover), and has given it to us once more."""
        if running := self._running.get(job.job_id):
            running.token = job.token
        # Else its end is just being written down: it is found beside our name, and released.

    def remove(self, job: TakenJob) -> None:
        """Note that the job does not run here any more."""
        if self._running.get(job.job_id) is job:
            del self._running[job.job_id]

    @contextmanager
    def ending(self, job: TakenJob) -> Iterator[None]:
        """While its end is being written down, it may be listed or not."""
        self.remove(job)
        self._ending.add(job.job_id)
        try:
            yield
        finally:
            self._ending.discard(job.job_id)

    def snapshot(self) -> Snapshot:
        """Before a heartbeat is sent."""
        jobs_sum = sum(job.part_of_sum for job in self._running.values())
        return Snapshot(frozenset(self._running), jobs_sum, -1 if self._taking else self._takes)

    async def compare(self, listed: Mapping[str, str], before: Snapshot, *, redis_forgot: bool) -> None:
        """Put right what differs. `listed`: the jobs beside our name and their places. Raises redis errors."""
        # What was taken while the heartbeat was on its way need not be listed. But what Redis has lost is missing from
        # this one answer only, and writing down once more what is written down is harmless.
        known = frozenset(self._running) if redis_forgot else before.running
        missing = [job for job_id in known if (job := self._running.get(job_id)) and not listed.get(job_id)]
        for job in missing:
            if self._running.get(job.job_id) is not job:
                continue  # it has ended while the others were written down
            await self._write_down_again(job, redis_forgot=redis_forgot)
        if before.takes != self._takes or self._taking:
            return  # what is listed may just be on its way to us
        for job_id, place in listed.items():
            if not (job_id in before.running or job_id in self._running or job_id in self._ending):
                await self._let_go(job_id, place)

    async def _write_down_again(self, job: TakenJob, *, redis_forgot: bool) -> None:
        name = job_id_bytes(job.job_id)
        ours = await self._restore(
            keys=_keys(job.job_id),
            args=[self.worker_id, name, job.token, job.document, job.starts, STARTS_KEPT_S, int(redis_forgot)],
        )
        if ours:
            log.warning("job that Redis had forgotten is written down again", job_id=job.job_id)
        elif job.job_id in self._running:
            log.error("lease lost: others may run these jobs now, so they are stopped here", jobs=[job.job_id])
            job.taken_elsewhere = True
            await self._events.publish(JobTakenElsewhere(job))

    async def _let_go(self, job_id: str, place: str) -> None:
        running, queue, _, starts = _keys(job_id)
        no_start = int(job_id not in self.unwritten)
        arguments: Sequence[str | bytes | int] = [self.worker_id, job_id_bytes(job_id), place, no_start]
        if await self._release(keys=[running, queue, starts], args=arguments):
            log.warning("job was written beside our name and does not run here: it is free again", job_id=job_id)


def _keys(job_id: str) -> list[str | bytes]:
    name = job_id_bytes(job_id)
    return [keys.RUNNING, keys.JOBS, keys.JOB.encode() + name, keys.STARTS.encode() + name]


def job_id_bytes(job_id: str) -> bytes:
    """The job id as it lies in Redis, where it may be anything."""
    return job_id.encode(errors="surrogateescape")


def job_id_text(job_id: bytes) -> str:
    """The job id as the worker and its log name it."""
    return job_id.decode(errors="surrogateescape")
