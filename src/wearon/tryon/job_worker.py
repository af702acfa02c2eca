"""The job worker: arq's command line and shutdown around jobs of our own.

arq takes six commands a job, notices a dead worker only after its job time-out, polls twice a second, goes by the
machine's clock, and deletes a job that it cannot read. Here one script takes jobs and writes down who runs them, one
ends a job, and between them nothing is asked; a worker waits to be woken. A job that cannot be run is settled through
the session that its id names, and one of a newer version is left to a newer worker.
"""

import asyncio
import inspect
import json
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from signal import Signals
from typing import Any

import arq.cli
import arq.worker
import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.redis import LONGEST_BLOCK_S
from wearon.stop_signals import StopSignals, Wish
from wearon.tryon import keys
from wearon.tryon.backoff import Backoff
from wearon.tryon.cancellation import heed_cancellation
from wearon.tryon.held_jobs import STARTS_KEPT_S, HeldJobs, TakenJob, job_id_bytes, job_id_text
from wearon.tryon.job_document import BadJob, Job, NewerJob, read_job, rejection
from wearon.tryon.job_queue import GENERATE, REJECT, Attempt, JobFunction, to_json, write_job
from wearon.tryon.job_scripts import END, TAKE
from wearon.tryon.newer_jobs import LEAVE_TO_NEWER_S, NewerJobs

log = structlog.get_logger()

FALLBACK_POLL_S = 10.0
"""How often a worker looks into the queue without being woken, which every beat does too when there is a job to take;
at 10 s it costs six commands an idle minute."""

RECONNECT_S = (0.25, 4.0)
"""First and longest pause while Redis is away: work goes on within 10 s of its return, without hammering it."""

PAUSE_AFTER_ERROR_S = 5.0
"""Before a job whose function raised (Redis went away under it) is run again."""

CANCEL_AGAIN_S = 2.0
"""How long a cancelled job may take to write down what it must before it is cancelled once more."""

JOB_WORKER = "job_worker"
JOB_FUNCTIONS = "job_functions"
"""Keys of arq's context: the JobWorker, and the mapping from GENERATE and REJECT to what does them."""


@dataclass(frozen=True, slots=True)
class _Done:
    """The job goes."""


@dataclass(frozen=True, slots=True)
class _Again:
    """The job is run again in so many seconds, here or elsewhere."""

    delay_s: float
    job: bytes = b""
    """As it is to be run then; empty: as it lies there."""
    counts: bool = True
    """Whether this was a start."""


class JobWorker(Worker):
    """arq's worker with a wake-up, one script to take jobs, and a name written beside every job that it runs.

    Made directly by `serve`, and by arq's own command line through `wearon.worker`.
    """

    __signature__ = inspect.signature(Worker)  # arq's command line passes what the signature names

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ctx[JOB_WORKER] = self
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._stop_signals = StopSignals()
        self.wake_up = asyncio.Event()
        self.on_job_finished: Callable[[], None] = lambda: None
        self._take = self.pool.register_script(TAKE)
        self._end = self.pool.register_script(END)
        self.held = HeldJobs(self.pool, self.worker_id, self._stop_job)
        self._being_taken = asyncio.Lock()
        self._somebody_elses: set[asyncio.Task[None]] = set()
        self.newer_jobs = NewerJobs()

    @property
    def free_slots(self) -> int:
        """How many more jobs could start now."""
        return self.max_jobs - self.job_counter if self.allow_pick_jobs else 0

    async def main(self) -> None:
        """Run until cancelled; Redis may go away and come back meanwhile."""
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        backoff = Backoff("job queue out of reach", *RECONNECT_S)
        while True:
            heed_cancellation()
            self.wake_up.clear()
            try:
                await self._poll_iteration()
                if self.burst and not self.tasks and not await self.pool.zcard(self.queue_name):
                    return
            except (RedisError, OSError) as error:
                await backoff.pause(error)
                continue
            backoff.succeeded()
            with suppress(TimeoutError):
                async with asyncio.timeout(FALLBACK_POLL_S):
                    await self.wake_up.wait()

    async def record_health(self) -> None:
        """Leave arq's key out: a lease says the same, ends sooner, and is renewed anyway (`wearon.worker`)."""

    async def listen_for_wake_ups(self, blocking: Redis) -> None:
        """Wait for tokens from a consumer on another machine, for ever, on a connection of its own."""
        backoff = Backoff("nobody can wake this worker", *RECONNECT_S)
        while True:
            heed_cancellation()
            try:
                woken = await blocking.blpop([keys.WAKE], timeout=int(LONGEST_BLOCK_S))
            except (RedisError, OSError) as error:
                await backoff.pause(error)
                continue
            backoff.succeeded()
            if woken:
                self.wake_up.set()

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """arq's handler for its command line: the first signal drains, the second ends it at once."""
        match self._stop_signals.next():
            case Wish.STOP:
                log.info("stopping", signal=signum.name)
                super().handle_sig_wait_for_completion(signum)
            case Wish.END_AT_ONCE:
                log.warning("second signal: ended at once", signal=signum.name)
                self.handle_sig(signum)

    async def drain(self, grace_s: float) -> int:
        """Take no more jobs, let the running ones finish for `grace_s`, cancel the rest; returns how many that were.

        A cancelled job stays in the queue and is run by whoever takes it next.
        """
        self.allow_pick_jobs = False
        async with self._being_taken:
            pass  # a take that was under way has come back, and its jobs are running
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=grace_s)
        return await self.cancel_jobs()

    async def cancel_jobs(self) -> int:
        """Stop every running job where it is; each stays in the queue. Returns how many there were."""
        running = [task for task in self.tasks.values() if not task.done()]
        left = set(running)
        while left:
            for task in left:
                task.cancel()
            # Again, because one may have been lost (see `heed_cancellation`).
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
        return len(running)

    async def close(self) -> None:
        """arq's end of its command line; a job that ended badly must not keep it from giving the lease back."""
        if self.tasks:  # arq has cancelled them, once
            await asyncio.wait(self.tasks.values(), timeout=CANCEL_AGAIN_S)
        await self.cancel_jobs()
        self.tasks.clear()
        await super().close()

    async def _poll_iteration(self) -> None:
        async with self._being_taken:
            if self.free_slots > 0:
                await self._take_jobs()
        self.newer_jobs.look()
        await self.heart_beat()

    async def _take_jobs(self) -> None:
        self.held.begin_take()
        try:
            now_ms, *taken = await self._take(
                keys=[self.queue_name, keys.RUNNING, keys.WORKERS],
                args=[self.free_slots, self.worker_id, keys.JOB, keys.STARTS, STARTS_KEPT_S],
            )
            for job_id, token, starts, document in zip(*(taken[start::4] for start in range(4)), strict=True):
                job = TakenJob(job_id_text(job_id), token.decode(), int(starts), document, now_ms / 1000)
                if job.job_id in self.tasks:
                    self.held.taken_again(job)
                    self.wake_up.set()  # the slot that was asked for is still free
                else:
                    self._start(job)
        finally:
            self.held.end_take()

    def _start(self, job: TakenJob) -> None:
        self.job_counter += 1
        self.held.add(job)
        task = self.loop.create_task(self._run(job))
        task.add_done_callback(lambda _: self._job_done(job, task))
        self.tasks[job.job_id] = task

    def _job_done(self, job: TakenJob, task: asyncio.Task[None]) -> None:
        self.job_counter -= 1
        self.held.ending(job)  # also when it was cancelled before it began
        self._somebody_elses.discard(task)
        if self.tasks.get(job.job_id) is task:  # it may have been taken again by now
            del self.tasks[job.job_id]
        self.wake_up.set()
        self.on_job_finished()

    def _stop_job(self, job_id: str) -> None:
        """Somebody else has it: it is stopped here, and its end is none of our business."""
        if task := self.tasks.get(job_id):
            self._somebody_elses.add(task)
            task.cancel()

    async def _run(self, job: TakenJob) -> None:
        """One start of a job, and its end in Redis."""
        outcome: _Done | _Again = _Again(0.0)
        try:
            outcome = await self._outcome(job)
        except asyncio.CancelledError:
            log.info("job handed back", job_id=job.job_id)
        except Exception:
            log.exception("job could not be begun, it is run again", job_id=job.job_id)
            outcome = _Again(PAUSE_AFTER_ERROR_S)
        if asyncio.current_task() in self._somebody_elses:
            return
        ending = asyncio.create_task(self._write_end(job, outcome))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait({ending})

    async def _outcome(self, job: TakenJob) -> _Done | _Again:
        document = read_job(job.document)
        if isinstance(document, NewerJob):
            if self.newer_jobs.leave(job.job_id, document.why):
                return _Again(LEAVE_TO_NEWER_S, counts=False)
            document = BadJob(f"{document.why}, and no newer worker has taken it")
        if isinstance(document, BadJob):
            return await self._settle(job, document)
        attempt = self._attempt(job, document)

        def as_it_is_run_again(later: Attempt) -> bytes:
            self.held.unwritten[job.job_id] = later
            return write_job(document.function, document.payload, later, document.enqueued_ms)

        return await self._call(document.function, document.payload, attempt, as_it_is_run_again)

    async def _settle(self, job: TakenJob, bad: BadJob) -> _Done | _Again:
        payload = rejection(job.job_id, bad)
        if payload is None:
            log.error("job that cannot be run is dropped: it names no session", job_id=job.job_id, why=bad.why)
            return _Done()
        log.error("job cannot be run: its session is failed", job_id=job.job_id, why=bad.why)
        attempt = Attempt(job.taken_at, number=job.starts, started_at=job.taken_at)
        return await self._call(REJECT, payload, attempt, lambda _: b"")

    async def _call(
        self, function: str, payload: dict[str, Any], attempt: Attempt, run_again: Callable[[Attempt], bytes]
    ) -> _Done | _Again:
        """Call the job function. `run_again` makes the job of what the next start must know."""
        handler: JobFunction = self.ctx[JOB_FUNCTIONS][function]
        later = replace(attempt, put_back=attempt.put_back + 1)
        limit = asyncio.timeout(self.job_timeout_s)
        try:
            async with limit:
                answer = await handler(payload, attempt)
        except asyncio.CancelledError:
            return _Again(0.0, run_again(later))
        except Exception:
            # Whatever this was, it is not the end of somebody's session. Nor is this time limit, which lies behind the
            # pipeline's own.
            log.exception("job function failed, it is run again")
            return _Again(0.0 if limit.expired() else PAUSE_AFTER_ERROR_S, run_again(later))
        if answer is None:
            return _Done()
        return _Again(
            answer.delay_s, run_again(replace(later, rate_limited=later.rate_limited + int(answer.rate_limited)))
        )

    def _attempt(self, job: TakenJob, document: Job) -> Attempt:
        """What earlier starts wrote down, or what only this process remembers, whichever is of a later start."""
        enqueued_at = document.enqueued_ms / 1000 or None
        attempt = _attempt(document.progress, job.starts, enqueued_at, job.taken_at)
        remembered = self.held.unwritten.pop(job.job_id, attempt)
        if remembered.put_back > attempt.put_back:
            attempt = replace(
                attempt,
                first_started_at=remembered.first_started_at,
                rate_limited=remembered.rate_limited,
                put_back=remembered.put_back,
            )
        return attempt if attempt.first_started_at else replace(attempt, first_started_at=job.taken_at)

    async def _write_end(self, job: TakenJob, outcome: _Done | _Again) -> None:
        """Nobody runs this job any more. When Redis cannot be told, a heartbeat finds it beside our name."""
        self.held.ending(job)
        again = outcome if isinstance(outcome, _Again) else None
        name = job_id_bytes(job.job_id)
        arguments: Sequence[str | bytes | int] = [
            self.worker_id,
            name,
            job.token,
            "again" if again else "done",
            round(again.delay_s * 1000) if again else 0,
            again.job if again else b"",
            int(again.counts if again else True),
        ]
        try:
            await self._end(
                keys=[keys.RUNNING, self.queue_name, keys.JOB.encode() + name, keys.STARTS.encode() + name],
                args=arguments,
            )
        except (RedisError, OSError) as error:
            log.warning("end of a job could not be written down", job_id=job.job_id, error=str(error))
            return
        self.held.unwritten.pop(job.job_id, None)
        if again:
            self.jobs_retried += 1
            # From now on, not from when it was put back: a wake-up before it is due would be in vain.
            self.loop.call_later(again.delay_s + 0.01, self.wake_up.set)
        else:
            self.jobs_complete += 1


async def _never(ctx: dict[str, Any]) -> None:
    """arq's worker must know a function; jobs are run by ours."""


def use_job_worker_in_arqs_command_line(check_health: Callable[[object], int]) -> None:
    """Let the `arq` command build a JobWorker, and call `check_health` for --check.

    It takes whatever has these names, and offers no other choice.
    """
    arq.worker.Worker = JobWorker
    arq.cli.check_health = check_health  # type: ignore[attr-defined, assignment] # where its command looks


def worker_arguments(redis: Redis, concurrency: int, job_timeout_s: float) -> dict[str, Any]:
    """What both ways of starting a worker hand to arq, each with its reason."""
    return {
        "functions": [func(_never, name=GENERATE)],
        "queue_name": keys.JOBS,
        "redis_pool": arq_redis(redis),
        "max_jobs": concurrency,
        # The pipeline ends a job itself before this.
        "job_timeout": job_timeout_s,
        "job_serializer": to_json,
        "job_deserializer": json.loads,
    }


def arq_redis(redis: Redis) -> ArqRedis:
    """arq's client on the connections that we already have."""
    return ArqRedis(
        pool_or_conn=redis.connection_pool,
        job_serializer=to_json,
        job_deserializer=json.loads,
        default_queue_name=keys.JOBS,
    )


def _attempt(progress: dict[str, Any], number: int, handed_over_at: float | None, started_at: float) -> Attempt:
    """What an earlier start wrote down, perhaps a newer version of this worker: what is no number there is left out."""
    numbers = {name: value for name, value in progress.items() if isinstance(value, int | float) and isfinite(value)}
    return Attempt(
        first_started_at=float(numbers.get("first_started_at", 0.0)),
        rate_limited=int(numbers.get("rate_limited", 0)),
        put_back=int(numbers.get("put_back", 0)),
        number=max(1, number),
        handed_over_at=handed_over_at,
        started_at=started_at,
    )
