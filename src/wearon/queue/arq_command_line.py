"""What the `arq` command runs: its signals and options around a JobWorker. The only module that imports arq.

arq's own worker takes six commands a job, notices a dead worker only after its job time-out, polls twice a second, goes
by the machine's clock, and deletes a job that it cannot read. So none of it runs jobs here.
"""

import asyncio
import inspect
import json
from collections.abc import Callable
from signal import Signals
from typing import Any

import arq.cli
import arq.worker
import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import Redis

from wearon.queue import keys
from wearon.queue.jobs import GENERATE, to_json
from wearon.queue.worker import JobWorker
from wearon.signals import StopSignals, Wish

log = structlog.get_logger()

JOB_WORKER = "job_worker"
"""Key of arq's context under which its `on_startup` puts the JobWorker."""


class CommandLineWorker(Worker):
    """Runs and stops the JobWorker that `on_startup` has made."""

    __signature__ = inspect.signature(Worker)  # arq's command line passes what the signature names

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stop_signals = StopSignals()
        self._stopping: asyncio.Task[None] | None = None

    async def main(self) -> None:
        """Run until cancelled, or in a burst until no job is left."""
        self.ctx["redis"] = self.pool
        if self.on_startup:
            await self.on_startup(self.ctx)
        worker: JobWorker = self.ctx[JOB_WORKER]
        await worker.run(burst=self.burst)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """arq's handler: the first signal drains, the second ends it at once."""
        match self._stop_signals.next():
            case Wish.STOP:
                log.info("stopping", signal=signum.name)
                self._stopping = self.loop.create_task(self._drain_and_stop())
            case Wish.END_AT_ONCE:
                log.warning("second signal: ended at once", signal=signum.name)
                self.handle_sig(signum)

    async def close(self) -> None:
        """arq's end of its command line: what still runs goes back to the queue before the lease is released."""
        if self._stopping is not None:
            self._stopping.cancel()
        await self._drain(0)
        await super().close()

    async def _drain_and_stop(self) -> None:
        await self._drain(self._job_completion_wait)
        if self.main_task is not None:
            self.main_task.cancel()

    async def _drain(self, grace_s: float) -> None:
        worker: JobWorker | None = self.ctx.get(JOB_WORKER)  # None: stopped before it was made
        if worker is not None:
            log.info("jobs drained", handed_back=await worker.drain(grace_s))


def replace_arqs_worker(check_health: Callable[[object], int]) -> None:
    """Let the `arq` command build a CommandLineWorker, and call `check_health` for --check.

    It takes whatever has these names, and offers no other choice.
    """
    arq.worker.Worker = CommandLineWorker  # type: ignore[misc]
    arq.cli.check_health = check_health  # type: ignore[attr-defined, assignment] # where its command looks


def command_line_settings(redis: Redis, concurrency: int, job_timeout_s: float) -> dict[str, Any]:
    """The settings for arq's command line, each with its reason."""
    return {
        # arq's worker must know a function.
        "functions": [func(_never, name=GENERATE)],
        "queue_name": keys.JOBS,
        "redis_pool": arq_redis(redis),
        "max_jobs": concurrency,
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


async def _never(ctx: dict[str, Any]) -> None:
    """No job calls it."""
