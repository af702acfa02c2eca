"""The job worker: arq's, with a lease for every job.

It keeps what arq does well (bounded concurrency, time limits, retries with a due time, its command line) and replaces
what loses work or costs commands:

- it takes jobs with one script that also writes down who runs them (`keys.RUNNING`), where arq needs six commands a job
  and notices a dead worker only after its job time-out;
- it waits to be woken instead of polling twice a second.
"""

import asyncio
import inspect
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from signal import Signals
from typing import Any

import arq.cli
import arq.worker
import structlog
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.worker import Retry, Worker, func
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon.redis import LONGEST_BLOCK_S
from wearon.stop_signals import StopSignals, Wish
from wearon.tryon import keys
from wearon.tryon.cancellation import heed_cancellation
from wearon.tryon.job_queue import (
    GENERATE,
    REJECT,
    Attempt,
    JobFunction,
    PutBack,
    from_json,
    now_ms,
    serialize_job_with_progress,
    to_json,
)

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

TAKE_JOBS = """
-- KEYS: queue, running, workers   ARGV: now (ms), how many at most, worker id
local taken = {}
local clock = redis.call('TIME')
local lease_ends = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[3]) or 0)
if lease_ends <= clock[1] * 1000 + math.floor(clock[2] / 1000) then
  return taken -- without a lease, the next beat of anybody would give these jobs to others
end
local offset = 0
while #taken < 2 * tonumber(ARGV[2]) do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', offset, 100)
  for i = 1, #due, 2 do
    if #taken < 2 * tonumber(ARGV[2]) and redis.call('HSETNX', KEYS[2], due[i], ARGV[3]) == 1 then
      taken[#taken + 1] = due[i]
      taken[#taken + 1] = due[i + 1]
    end
  end
  if #due < 200 then break end
  offset = offset + 100
end
return taken
"""

RELEASE_JOB = """
-- KEYS: running   ARGV: job id, worker id
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""

RELEASE_STRAYS = """
-- KEYS: running   ARGV: worker id, ids of the jobs that it really runs
local really = {}
for i = 2, #ARGV do really[ARGV[i]] = true end
local written = redis.call('HGETALL', KEYS[1])
local strays = 0
for i = 1, #written, 2 do
  if written[i + 1] == ARGV[1] and not really[written[i]] then
    redis.call('HDEL', KEYS[1], written[i])
    strays = strays + 1
  end
end
return strays
"""


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
        self._take = self.pool.register_script(TAKE_JOBS)
        self._release = self.pool.register_script(RELEASE_JOB)
        self._release_strays = self.pool.register_script(RELEASE_STRAYS)
        self._books = asyncio.Lock()
        """Held while what is written beside our name changes: a job that was just taken must not look like a stray."""
        self.due_again_in_s: dict[str, float] = {}
        """Jobs that are being put back, and for how long."""
        self.unwritten: dict[str, Attempt] = {}
        """By job id: what its next start must know and Redis was not there to be told."""
        self._strays_possible = True
        """An answer of Redis was lost: what is written beside our name may not be what runs here."""

    @property
    def free_slots(self) -> int:
        """How many more jobs could start now."""
        return self.max_jobs - self.job_counter if self.allow_pick_jobs else 0

    async def main(self) -> None:
        """Run until cancelled; Redis may go away and come back meanwhile."""
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        pause_s = RECONNECT_S[0]
        while True:
            heed_cancellation()
            self.wake_up.clear()
            try:
                await self._poll_iteration()
            except (RedisError, OSError) as error:
                self._strays_possible = True  # jobs may have been taken without our hearing of it
                log.warning("job queue out of reach", error=str(error), retry_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RECONNECT_S[1])
                continue
            pause_s = RECONNECT_S[0]
            if self.burst and not self.tasks and not await self.pool.zcard(self.queue_name):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(FALLBACK_POLL_S):
                    await self.wake_up.wait()

    async def record_health(self) -> None:
        """Leave arq's key out: a lease says the same, ends sooner, and is renewed anyway (`wearon.worker`)."""

    async def listen_for_wake_ups(self, blocking: Redis) -> None:
        """Wait for tokens from a consumer on another machine, for ever, on a connection of its own."""
        while True:
            heed_cancellation()
            try:
                if await blocking.blpop([keys.WAKE], timeout=int(LONGEST_BLOCK_S)):
                    self.wake_up.set()
            except (RedisError, OSError):
                await asyncio.sleep(RECONNECT_S[1])

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
        async with self._books:
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
        with suppress(RedisError, OSError):  # then the end of the lease does it
            async with self._books:
                await self._let_go_of_strays()
        return len(running)

    async def close(self) -> None:
        """arq's end of its command line; a job that ended badly must not keep it from giving the lease back."""
        if self.tasks:  # arq has cancelled them, once
            await asyncio.wait(self.tasks.values(), timeout=CANCEL_AGAIN_S)
        await self.cancel_jobs()
        self.tasks.clear()
        await super().close()

    async def _let_go_of_strays(self) -> None:
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]
                if task.cancelled() or task.exception():
                    # Redis went away under arq's own book-keeping: the job is still ours on paper.
                    self._strays_possible = True
        if self._strays_possible:
            strays = await self._release_strays(keys=[keys.RUNNING], args=[self.worker_id, *self.tasks])
            self._strays_possible = False
            if strays:
                log.warning("jobs that were taken or ended without an answer of Redis are free again", count=strays)

    async def _poll_iteration(self) -> None:
        async with self._books:
            await self._let_go_of_strays()
            if self.free_slots > 0:
                await self._take_jobs()
        await self.heart_beat()

    async def _take_jobs(self) -> None:
        taken = await self._take(
            keys=[self.queue_name, keys.RUNNING, keys.WORKERS],
            args=[now_ms(), self.free_slots, self.worker_id],
        )
        for job_id, score in zip(taken[::2], taken[1::2], strict=True):
            self._start(job_id.decode(), int(float(score)))

    def _start(self, job_id: str, score: int) -> None:
        self.job_counter += 1
        task = self.loop.create_task(self.run_job(job_id, score))
        task.add_done_callback(lambda _: self._job_done())
        self.tasks[job_id] = task

    def _job_done(self) -> None:
        self.job_counter -= 1
        self.wake_up.set()
        self.on_job_finished()

    async def finish_job(self, job_id: str, *args: Any, **kwargs: Any) -> None:
        """arq's book-keeping, then ours: nobody runs this job any more."""
        await super().finish_job(job_id, *args, **kwargs)
        await self._release(keys=[keys.RUNNING], args=[job_id, self.worker_id])
        delay_s = self.due_again_in_s.pop(job_id, None)
        if delay_s is not None:
            # From now on, not from when it was put back: a wake-up before it is due would be in vain.
            self.loop.call_later(delay_s + 0.01, self.wake_up.set)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """The same for a job that arq itself gives up: it is broken or has lost its data."""
        log.error("job dropped by arq: its data is missing or unreadable", job_id=job_id)
        await super().finish_failed_job(job_id, result_data)
        await self._release(keys=[keys.RUNNING], args=[job_id, self.worker_id])


async def generate(ctx: dict[str, Any], payload: dict[str, Any], progress: dict[str, Any]) -> None:
    """arq job: make a picture."""
    await _run(ctx, GENERATE, payload, progress)


async def reject(ctx: dict[str, Any], payload: dict[str, Any], progress: dict[str, Any]) -> None:
    """arq job: settle the session of a document that is no task."""
    await _run(ctx, REJECT, payload, progress)


async def _run(ctx: dict[str, Any], function: str, payload: dict[str, Any], progress: dict[str, Any]) -> None:
    """Call the job function; when it is put back or cancelled, write down what the next start must know."""
    worker: JobWorker = ctx[JOB_WORKER]
    written = _attempt(progress, ctx["job_try"], ctx["enqueue_time"].timestamp())
    attempt = _newer(written, worker.unwritten.pop(ctx["job_id"], written))
    if not attempt.first_started_at:
        attempt = replace(attempt, first_started_at=time.time())
    handler: JobFunction = ctx[JOB_FUNCTIONS][function]

    async def remember(*, rate_limited: bool) -> None:
        later = replace(attempt, put_back=attempt.put_back + 1, rate_limited=attempt.rate_limited + int(rate_limited))
        job = serialize_job_with_progress(function, payload, later, int(ctx["enqueue_time"].timestamp() * 1000))
        try:
            await worker.pool.set(job_key_prefix + ctx["job_id"], job, xx=True)
        except (RedisError, OSError):
            # When another process goes on with the job, this start counts as a crash there.
            worker.unwritten[ctx["job_id"]] = later

    try:
        answer = await handler(payload, attempt)
    except asyncio.CancelledError:
        await asyncio.shield(remember(rate_limited=False))
        # Not CancelledError: if it was arq's time limit that struck, that would be the end of the job.
        raise Retry from None
    except Exception:
        # arq would delete the job. Whatever this was, it is not the end of somebody's session.
        log.exception("job function failed, it is run again", job_id=ctx["job_id"])
        answer = PutBack(PAUSE_AFTER_ERROR_S)
    if answer is not None:
        await remember(rate_limited=answer.rate_limited)
        worker.due_again_in_s[ctx["job_id"]] = answer.delay_s
        raise Retry(defer=answer.delay_s)


def use_job_worker_in_arqs_command_line(check_health: Callable[[object], int]) -> None:
    """Let the `arq` command build a JobWorker, and call `check_health` for --check.

    It takes whatever has these names, and offers no other choice.
    """
    arq.worker.Worker = JobWorker
    arq.cli.check_health = check_health  # type: ignore[attr-defined, assignment] # where its command looks


def worker_arguments(redis: Redis, concurrency: int, job_timeout_s: float) -> dict[str, Any]:
    """What both ways of starting a worker hand to arq, each with its reason."""
    return {
        "functions": [func(generate), func(reject)],
        "queue_name": keys.JOBS,
        "redis_pool": arq_redis(redis),
        "max_jobs": concurrency,
        # The pipeline ends a job itself before this; arq would fail it without telling anyone.
        "job_timeout": job_timeout_s,
        # arq drops a job over `max_tries` without telling anyone; the pipeline counts starts itself.
        "max_tries": 1_000_000,
        # A kept result would block the same session's next hand-over.
        "keep_result": 0,
        "job_serializer": to_json,
        "job_deserializer": from_json,
        "log_results": False,
    }


def arq_redis(redis: Redis) -> ArqRedis:
    """arq's client on the connections that we already have."""
    return ArqRedis(
        pool_or_conn=redis.connection_pool,
        job_serializer=to_json,
        job_deserializer=from_json,
        default_queue_name=keys.JOBS,
    )


def _newer(written: Attempt, remembered: Attempt) -> Attempt:
    """What was written down, or what only this process remembers, whichever is of a later start."""
    if remembered.put_back <= written.put_back:
        return written
    return replace(remembered, number=written.number)


def _attempt(progress: dict[str, Any], number: int, handed_over_at: float) -> Attempt:
    """What an earlier start wrote down, perhaps a newer version of this worker: what we do not know is left out."""
    known = {field.name for field in fields(Attempt)}
    arqs = {"number": number, "handed_over_at": handed_over_at}
    return Attempt(**{name: value for name, value in progress.items() if name in known} | arqs)
