"""Workers and stores at the scripts of the queue, without jobs that run: what is taken, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from support.job_side import document, job_id, new_lease, untyped
from wearon.events import Events
from wearon.operations.actions.cancel import CANCELLED_REASON
from wearon.platform.base import Channel, SessionRef
from wearon.queue import keys
from wearon.queue.held_jobs import HeldJobs, JobTakenElsewhere, TakenJob
from wearon.queue.jobs import GENERATE, REJECTS, Enqueued, JobQueue
from wearon.queue.lease import KEYS as LEASE_KEYS
from wearon.queue.limits import NO_LIMITS, Limits
from wearon.redis.scripts import load_script
from wearon.refunds.intents import dump, new_intent
from wearon.tryon.retry_policy import CANCELLED_MESSAGE

DATA = Path(__file__).parent.parent / "data"
BEFORE_TURNS = DATA / "scripts_before_turns"
"""The scripts of the last version without lines (0.1), as it sent them."""

BEFORE_SUMS = DATA / "scripts_before_sums"
"""Those of the last version without sums of what a worker runs (0.3.0)."""

LONG = (540_000, 30_000, 5_000)
"""Deadline of a job, spacing of probes, how long paused jobs are put aside (ms)."""

USER = str(uuid4())


def script_before_sums(name: str) -> str:
    """A script of 0.3.0."""
    return (BEFORE_SUMS / "shared.lua").read_text() + (BEFORE_SUMS / f"{name}.lua").read_text()


def a_store() -> str:
    """A tenant."""
    return f"b2b:{uuid4()}"


def session_of(tenant: str) -> SessionRef:
    """A new session of the tenant."""
    channel, _, store = tenant.partition(":")
    return SessionRef(Channel(channel), store or USER, str(uuid4()))


def session_of_id(job: str) -> SessionRef:
    """The session of a job."""
    channel, owner, session = job.split(":")
    return SessionRef(Channel(channel), owner, session)


async def push(redis: Redis, tenant: str, count: int = 1, limits: Limits = NO_LIMITS) -> list[str]:
    """Enqueue tasks of a tenant, as the consumer does; returns their job ids."""
    refs = [session_of(tenant) for _ in range(count)]
    batch = [Enqueued(document(ref), job_id(ref), GENERATE, {}, refusal={"over_daily_limit": True}) for ref in refs]
    await untyped(redis).lpush(keys.PENDING, *(task.document for task in batch))
    await JobQueue(redis, limits).enqueue(batch, free_slots=count)
    return [task.job_id for task in batch]


async def cancel(redis: Redis, job: str, *, now: bool = False, script: str | None = None) -> bytes | None:
    """Cancel the session of a job, as the command does; the intent in the outbox, None when the job is let finish.

    `script` is that of another version.
    """
    ref = session_of_id(job)
    intent = new_intent(ref, "", CANCELLED_MESSAGE, CANCELLED_REASON)
    written: bytes | None = await redis.register_script(script or load_script("queue", "cancel"))(
        keys=[keys.JOBS, keys.RUNNING, keys.REFUNDS, keys.JOB + job, keys.STARTS + job],
        args=[job, intent.key, dump(intent), int(now), ref.owner_id, ""],
    )
    return written


async def push_again(redis: Redis, job: str) -> None:
    """Enqueue a task of a session that had one already."""
    ref = session_of_id(job)
    await untyped(redis).lpush(keys.PENDING, document(ref))
    await JobQueue(redis).enqueue([Enqueued(document(ref), job, GENERATE, {})], free_slots=1)


@dataclass
class ScriptedWorker:
    """Takes jobs and ends them, with a lease of its own."""

    redis: Redis
    name: str
    slots: int = 10
    limits: Limits = NO_LIMITS
    held: dict[str, str] = field(default_factory=dict)
    """Job id -> token."""
    starts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._running: dict[str, TakenJob] = {}
        self.stopped: list[str] = []
        """Those of the held jobs that a heartbeat has found taken away."""
        events = Events()
        events.subscribe(JobTakenElsewhere, lambda lost: self.stopped.append(lost.job.job_id))
        self._held = HeldJobs(self.redis, self.name, events)
        self._lease = new_lease(self.redis, self.name, self.slots, held=self._held)

    async def beat(self) -> None:
        """One heartbeat, which compares what is held with what Redis has beside this worker's name."""
        for job in self._running.values():
            self._held.remove(job)
        self._running = {job: TakenJob(job, token, self.starts[job], b"{}", 0.0) for job, token in self.held.items()}
        for running in self._running.values():
            self._held.add(running)
        await self._lease.renew()

    @property
    def sum(self) -> int:
        """What the held jobs add up to."""
        return sum(TakenJob(job, "", 1, b"", 0.0).part_of_sum for job in self.held)

    async def take(self, count: int | None = None) -> list[str]:
        """Take as many jobs as there are free slots, or so many; returns their ids."""
        room = self.slots - len(self.held) if count is None else count
        found = await self._run(
            "take",
            [keys.JOBS, keys.RUNNING, keys.WORKERS, keys.PAUSES, keys.CAPACITY_SUM],
            [room, self.name, keys.JOB, keys.STARTS, 3600, *LONG, self.limits.store_at_once, self.limits.weights, 4],
        )
        return self._keep(found[1:])

    async def end(self, job: str, *, again_in_ms: int | None = None) -> bool:
        """End a job, or put it back. False: it is not ours any more."""
        how = ["done", 0] if again_in_ms is None else ["again", again_in_ms]
        names = [keys.RUNNING, keys.JOBS, keys.JOB + job, keys.STARTS + job, keys.REFUNDS]
        return bool(
            await self._run("end", names, [self.name, job, self.held.pop(job), *how, "", 1, self.starts.pop(job)])
        )

    def _keep(self, found: Sequence[bytes]) -> list[str]:
        jobs = [job.decode() for job in found[::4]]
        self.held.update(zip(jobs, (token.decode() for token in found[1::4]), strict=True))
        self.starts.update(zip(jobs, map(int, found[2::4]), strict=True))
        return jobs

    def lose(self, job: str) -> "Lost":
        """It was taken from this worker, which does not know yet."""
        return Lost(self, job, self.held.pop(job), self.starts.pop(job))

    async def _run(self, name: str, names: list[str], arguments: list[Any]) -> Any:
        return await self.redis.register_script(load_script("queue", name))(keys=names, args=arguments)


@dataclass(frozen=True)
class Lost:
    """A job that its worker goes on with although it was taken from it."""

    worker: ScriptedWorker
    job: str
    token: str
    start: int

    async def end(self, *, again_in_ms: int | None = None) -> bool:
        """What its worker does when it has ended: whether it is told that the job was its own."""
        self.worker.held[self.job], self.worker.starts[self.job] = self.token, self.start
        return await self.worker.end(self.job, again_in_ms=again_in_ms)


@dataclass
class WorkerBeforeSums(ScriptedWorker):
    """One of the last version that did not add up what a worker runs, and rejected a task in its store's turn."""

    async def push_refused(self, tenant: str) -> str:
        """Its consumer makes a REJECT job of a task, as of one over the limit of a day; the job's id."""
        ref = session_of(tenant)
        task, name = document(ref), REJECTS + job_id(ref)
        await untyped(self.redis).lpush(keys.PENDING, task)
        names = [keys.PENDING, keys.JOBS, keys.WAKE, keys.TASKS, keys.RUNNING, keys.CAPACITY_SUM, keys.REFUNDS]
        await self._run("enqueue", names, [keys.JOB, 0, 0, keys.ACCEPTED, task, name, "{}", ""])
        return name

    async def beat(self) -> None:
        times = [7_500, "data", 3_660_000, 30_000, 100]
        await self._run("heartbeat", [*LEASE_KEYS], [self.name, 12_000, self.slots, "", *times, ""])

    async def _run(self, name: str, names: list[str], arguments: list[Any]) -> Any:
        return await self.redis.register_script(script_before_sums(name))(keys=names, args=arguments)


@dataclass
class EarlierWorker(ScriptedWorker):
    """One of the version before there were lines."""

    async def beat(self) -> None:
        names = [keys.WORKERS, keys.CAPACITY, keys.RUNNING, keys.JOBS, keys.REFUNDS, keys.PENDING, keys.REPORTS]
        await self._run(
            "heartbeat", [*names, keys.DATA_ID], [self.name, 12_000, self.slots, "", 7_500, "data", 3_660_000]
        )

    async def take(self, count: int | None = None) -> list[str]:
        room = self.slots - len(self.held) if count is None else count
        found = await self._run(
            "take", [keys.JOBS, keys.RUNNING, keys.WORKERS], [room, self.name, keys.JOB, keys.STARTS, 3600]
        )
        return self._keep(found[1:])

    async def push(self, tenant: str) -> str:
        """Its consumer enqueues a task."""
        ref = session_of(tenant)
        task = document(ref)
        await untyped(self.redis).lpush(keys.PENDING, task)
        names = [keys.PENDING, keys.JOB + job_id(ref), keys.JOBS, keys.WAKE]
        await self._run("enqueue", names, [task, job_id(ref), "{}", 0])
        return job_id(ref)

    async def _run(self, name: str, names: list[str], arguments: list[Any]) -> Any:
        script = (BEFORE_TURNS / "shared.lua").read_text() + (BEFORE_TURNS / f"{name}.lua").read_text()
        return await self.redis.register_script(script)(keys=names, args=arguments)
