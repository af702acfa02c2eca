"""The job worker: takes jobs from Redis, runs each as a task of its own, and writes down how it ended.

One script takes jobs and notes who runs them, one ends a job, and between the two Redis is asked nothing; a worker
waits to be woken. A job that cannot be run is settled through the session that its id names, and one of a newer version
is left to a newer worker.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.dependencies import Dependencies
from wearon.events import Events
from wearon.observability.tracing import Tracing
from wearon.queue import keys
from wearon.queue.held_jobs import STARTS_KEPT_S, HeldJobs, JobTakenElsewhere, TakenJob, job_id_bytes, job_id_text
from wearon.queue.job_document import BadJob, Job, NewerJob, read_job, rejection_of_job, session_of_job
from wearon.queue.jobs import REJECT, Attempt, JobFunction, Retry, write_job
from wearon.queue.lease import HeartbeatWritten
from wearon.queue.limits import NO_LIMITS, Limits
from wearon.queue.newer_jobs import LEAVE_TO_NEWER_S, NewerJobs
from wearon.queue.pauses import PROBE_S, PUT_ASIDE_S
from wearon.queue.task import trace_of_session
from wearon.redis.backoff import run_forever
from wearon.redis.cancellation import to_its_end
from wearon.redis.clients import LONGEST_BLOCK_S
from wearon.redis.scripts import load_script

log = structlog.get_logger()

FALLBACK_POLL_S = 10.0
"""How often a worker looks into the queue without being woken, which a heartbeat does too when there is a job to take;
at 10 s it costs six commands an idle minute."""

REJECTS_AT_ONCE = 4
"""Sessions that are rejected beside the slots: a failure and a refund ask no model, so they wait for no picture."""

RECONNECT_S = (0.25, 4.0)
"""First and longest pause while Redis is away: work goes on within 10 s of its return, without hammering it."""

PAUSE_AFTER_ERROR_S = 5.0
"""Before a job whose function raised (Redis went away under it) is run again."""

CANCEL_AGAIN_S = 2.0
"""How long a cancelled job may take to write down what it must before it is cancelled once more."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """An event: an attempt has ended here, so a slot is free."""

    job_id: str


@dataclass(frozen=True, slots=True)
class _Again:
    """The job is run again after `delay_s`, here or elsewhere."""

    delay_s: float
    job: bytes = b""
    """The document to write in its place; empty: it stays as it lies there."""
    counts: bool = True
    """Whether this was an attempt."""


class _NothingLeft(Exception):
    """A burst has done all jobs."""


def new_worker_id() -> str:
    """A name for this process: its machine, so that `arq --check` finds it, and a part that is never used again."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class JobWorker:
    """Runs up to `slots` jobs at once, for as long as this process has a lease.

    `handlers` are what GENERATE and REJECT stand for. A handler ends its job within `job_timeout_s` itself; beyond it
    the job is run again. A job that began `deadline_s` ago is taken although its tenant is paused. `must_keep` says
    whether only this process has what was paid for a session: then no other gets its job.
    """

    def __init__(
        self,
        redis: Redis,
        held: HeldJobs,
        handlers: Mapping[str, JobFunction],
        *,
        slots: int,
        job_timeout_s: float,
        deadline_s: float,
        must_keep: Callable[[str], bool],
        events: Events,
        tracing: Tracing,
        dependencies: Dependencies,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.slots = slots
        self._redis = redis
        self._held = held
        self._handlers = handlers
        self._job_timeout_s = job_timeout_s
        self._deadline_s = deadline_s
        self._must_keep = must_keep
        self._events = events
        self._tracing = tracing
        self._limits = limits
        self._newer_jobs = NewerJobs(dependencies)
        self._take = redis.register_script(load_script("queue", "take"))
        self._end = redis.register_script(load_script("queue", "end"))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running = 0
        self._rejecting = 0
        self._takes_jobs = True
        self._being_taken = asyncio.Lock()
        self._wake_up = asyncio.Event()
        events.subscribe(HeartbeatWritten, self._see_heartbeat)
        events.subscribe(JobTakenElsewhere, self._stop_job)

    @property
    def running(self) -> int:
        """How many jobs have a slot here."""
        return self._running

    @property
    def free_slots(self) -> int:
        """How many more jobs could start now."""
        return self.slots - self._running if self._takes_jobs else 0

    def wake_up(self) -> None:
        """Look for jobs now."""
        self._wake_up.set()

    async def run(self, *, burst: bool = False) -> None:
        """Run jobs until cancelled; Redis may go away and come back. A `burst` ends when no job is left."""
        with suppress(_NothingLeft):
            await run_forever(
                lambda: self._poll(burst=burst), self._wait, trouble="job queue out of reach", pauses_s=RECONNECT_S
            )

    async def listen_for_wake_ups(self, blocking: Redis) -> None:
        """Wait for a consumer on another machine to wake this worker, until cancelled, on a connection of its own."""

        async def listen() -> None:
            if await blocking.blpop([keys.WAKE], timeout=int(LONGEST_BLOCK_S)):
                self.wake_up()

        await run_forever(listen, trouble="nobody can wake this worker", pauses_s=RECONNECT_S)

    async def drain(self, grace_s: float) -> int:
        """Take no more jobs, let the running ones finish for `grace_s`, cancel the rest; returns how many that were.

        A cancelled job stays in the queue, where the next worker takes it.
        """
        self._takes_jobs = False
        async with self._being_taken:
            pass  # a take that was under way has come back, and its jobs are running
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_s)
        running = [task for task in self._tasks.values() if not task.done()]
        left = set(running)
        while left:
            for task in left:
                task.cancel()
            # Again, because one may have been lost (see `heed_cancellation`).
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
        return len(running)

    async def _poll(self, *, burst: bool) -> None:
        self._wake_up.clear()
        async with self._being_taken:
            if self._takes_jobs:
                await self._take_jobs()
        self._newer_jobs.look()
        if burst and not self._tasks and not await self._redis.zcard(keys.JOBS):
            raise _NothingLeft

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FALLBACK_POLL_S):
                await self._wake_up.wait()

    async def _take_jobs(self) -> None:
        self._held.begin_take()
        try:
            now_ms, *taken = await self._take(
                keys=[keys.JOBS, keys.RUNNING, keys.WORKERS, keys.PAUSES, keys.CAPACITY_SUM],
                args=[
                    self.free_slots,
                    self._held.worker_id,
                    keys.JOB,
                    keys.STARTS,
                    STARTS_KEPT_S,
                    round(self._deadline_s * 1000),
                    round(PROBE_S * 1000),
                    round(PUT_ASIDE_S * 1000),
                    self._limits.store_at_once,
                    self._limits.weights,
                    REJECTS_AT_ONCE - self._rejecting,
                ],
            )
            for job_id, token, starts, document in zip(*(taken[start::4] for start in range(4)), strict=True):
                job = TakenJob(job_id_text(job_id), token.decode(), int(starts), document, now_ms / 1000)
                if job.job_id in self._tasks:
                    self._held.taken_again(job)
                    self.wake_up()  # the slot that was asked for is still free
                else:
                    self._start(job)
        finally:
            self._held.end_take()

    def _start(self, job: TakenJob) -> None:
        self._count(job, 1)
        self._held.add(job)
        task = self._tasks[job.job_id] = asyncio.create_task(self._run(job))
        task.add_done_callback(lambda _: self._free_slot(job, task))

    def _count(self, job: TakenJob, by: int) -> None:
        if job.only_rejects:
            self._rejecting += by
        else:
            self._running += by

    def _free_slot(self, job: TakenJob, task: asyncio.Task[None]) -> None:
        self._count(job, -1)
        self._held.remove(job)  # also when it was cancelled before it began
        if self._tasks.get(job.job_id) is task:  # it may have been taken again by now
            del self._tasks[job.job_id]
        self.wake_up()

    def _see_heartbeat(self, heartbeat: HeartbeatWritten) -> None:
        if heartbeat.jobs_to_take:
            self.wake_up()

    def _stop_job(self, lost: JobTakenElsewhere) -> None:
        if task := self._tasks.get(lost.job.job_id):
            task.cancel()

    async def _run(self, job: TakenJob) -> None:
        """One attempt of a job, and its end in Redis."""
        call: Job | None = None
        again: _Again | None = _Again(LEAVE_TO_NEWER_S, counts=False)
        try:
            call = self._call_for(job)
            if call is not None:
                retry = await self._call(call)
                while retry is not None and self._must_keep(session_of_job(job.job_id)):
                    log.warning("job is kept: only this process has what was paid for it", delay_s=retry.delay_s)
                    await asyncio.sleep(retry.delay_s)
                    retry = await self._call(call)
                again = None if retry is None else self._again(job, call, retry)
        except asyncio.CancelledError:
            log.info("job handed back", job_id=job.job_id)
            again = self._again(job, call, Retry(0.0)) if call else _Again(0.0)
        except Exception:
            log.exception("job could not be begun, it is run again", job_id=job.job_id)
            again = _Again(PAUSE_AFTER_ERROR_S)
        if not job.taken_elsewhere:
            await to_its_end(self._write_end(job, again))
        await self._events.publish(JobEnded(job.job_id))

    async def _call(self, call: Job) -> Retry | None:
        """Call the job's function, within the trace of the task or of its session."""
        trace = self._tracing.entry(
            call.function,
            SpanKind.CONSUMER,
            request_id=str(call.payload.get("request_id") or ""),
            traceparent=call.payload.get("traceparent"),
            trace_id=trace_of_session(call.payload.get("session_id")),
        )
        limit = asyncio.timeout(self._job_timeout_s)
        try:
            with trace:
                async with limit:
                    return await self._handlers[call.function](call.payload, call.attempt)
        except Exception:
            # An error that was not expected ends no session, and neither does this time limit, which lies behind the
            # pipeline's own.
            log.exception("job function failed, it is run again")
            return Retry(0.0 if limit.expired() else PAUSE_AFTER_ERROR_S)

    def _call_for(self, job: TakenJob) -> Job | None:
        """None: the job is left to a newer worker."""
        found = read_job(job.document, job.starts, job.taken_at)
        if isinstance(found, NewerJob):
            if self._newer_jobs.leave(job.job_id, found.why):
                return None
            found = BadJob(f"{found.why}, and no newer worker has taken it")
        if isinstance(found, Job):
            return replace(found, attempt=self._attempt(job, found.attempt))
        log.error("job cannot be run: its session is failed", job_id=job.job_id, why=found.why)
        attempt = Attempt(job.taken_at, number=job.starts, started_at=job.taken_at)
        return Job(REJECT, rejection_of_job(job.job_id, found, job.document), attempt)

    def _attempt(self, job: TakenJob, attempt: Attempt) -> Attempt:
        """What earlier attempts wrote down, or what only this process remembers of a later one."""
        remembered = self._held.unwritten.pop(job.job_id, attempt)
        if remembered.retried > attempt.retried:
            attempt = replace(
                attempt,
                first_started_at=remembered.first_started_at,
                rate_limited=remembered.rate_limited,
                retried=remembered.retried,
                unanswered=remembered.unanswered,
            )
        return attempt if attempt.first_started_at else replace(attempt, first_started_at=job.taken_at)

    def _again(self, job: TakenJob, call: Job, retry: Retry) -> _Again:
        if call.enqueued_ms is None:
            return _Again(retry.delay_s)
        later = self._held.unwritten[job.job_id] = replace(
            call.attempt,
            retried=call.attempt.retried + 1,
            rate_limited=call.attempt.rate_limited + int(retry.rate_limited),
            unanswered=max(call.attempt.unanswered, retry.unanswered),
        )
        return _Again(retry.delay_s, write_job(call.function, call.payload, later, call.enqueued_ms))

    async def _write_end(self, job: TakenJob, again: _Again | None) -> None:
        """This worker runs the job no more. When Redis is away, a later heartbeat finds it beside our name."""
        name = job_id_bytes(job.job_id)
        arguments: Sequence[str | bytes | int] = [
            self._held.worker_id,
            name,
            job.token,
            "again" if again else "done",
            round(again.delay_s * 1000) if again else 0,
            again.job if again else b"",
            int(again.counts if again else True),
            job.starts,
        ]
        try:
            with self._held.ending(job):
                job_keys = keys.JOB.encode() + name, keys.STARTS.encode() + name
                await self._end(keys=[keys.RUNNING, keys.JOBS, *job_keys, keys.REFUNDS], args=arguments)
        except (RedisError, OSError) as error:
            log.warning("end of a job could not be written down", job_id=job.job_id, error=str(error))
            return
        self._held.unwritten.pop(job.job_id, None)
        if again:
            # From now on, not from when it was decided: a wake-up before it is due would be in vain.
            asyncio.get_running_loop().call_later(again.delay_s + 0.01, self.wake_up)
