"""`arq wearon.worker.WorkerSettings`: the same jobs under arq's own command line, for further machines.

arq reads the class at the end and builds the worker from it; settings, starting and stopping are `serve`'s, without
consumer and API.
"""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import structlog
from redis.exceptions import RedisError

from wearon.app.base import (
    connect_redis,
    find_redis_url,
    make_metrics,
    open_base,
    open_telemetry,
    recall_url,
    settle_memory,
)
from wearon.app.serve import Components, open_jobs, open_pose_pool, start_metrics
from wearon.app.wiring import WATCHER, job_timeout_s
from wearon.observability.logging import configure_logs
from wearon.queue import keys
from wearon.queue.arq_command_line import JOB_WORKER, command_line_settings, replace_arqs_worker
from wearon.redis.clients import connect, without_password
from wearon.redis.health import RedisHealth
from wearon.settings import Settings, SettingsError, load_settings
from wearon.supervisor import Supervisor

log = structlog.get_logger()

JOBS_ONLY = Components(consumer=False, api=False)
"""arq itself runs the worker."""

STACK = "exit_stack"
"""Key of arq's context: what must be closed when the worker stops."""


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise SystemExit(str(error)) from None


def _redis_url(settings: Settings) -> str:
    """The queue's URL; local mode's embedded server belongs to `wearon serve`, which must be running."""
    url = settings.redis_url or asyncio.run(find_redis_url(settings))
    if url is None:
        raise SystemExit("No local Redis is running: start `wearon serve` first, or set REDIS_URL.")
    return url


async def start(ctx: dict[str, Any]) -> None:
    """arq's on_startup: build what `serve` builds, and watch over it."""
    # arq has just set up its own
    configure_logs(SETTINGS.log_level, SETTINGS.log_format, SETTINGS.secrets, for_good=True)
    stack = ctx[STACK] = AsyncExitStack()
    telemetry = await open_telemetry(stack, SETTINGS, METRICS, REDIS_WATCH)
    supervisor = Supervisor()
    supervisor.start("loop_watch", telemetry.loop_watch.run, needed=False)
    pose_pool = open_pose_pool(stack, supervisor, SETTINGS, JOBS_ONLY, telemetry)
    base = await open_base(
        stack, SETTINGS, telemetry, redis=ctx["redis"], public_url=recall_url(SETTINGS), pose_pool=pose_pool
    )
    jobs = await open_jobs(stack, supervisor, base, JOBS_ONLY, REDIS_URL)
    ctx[JOB_WORKER] = jobs.worker
    start_metrics(stack, supervisor, SETTINGS, METRICS)

    async def stop_in_order() -> None:
        await supervisor.stop_all()
        try:
            await jobs.lease.release()
        except (RedisError, OSError) as error:
            log.warning("lease not given back: others wait until it ends", error=str(error))

    stack.push_async_callback(stop_in_order)
    settle_memory()
    log.info("started", mode=SETTINGS.wearon_mode.value, redis=without_password(REDIS_URL))


async def stop(ctx: dict[str, Any]) -> None:
    """arq's on_shutdown: the jobs have been drained."""
    await ctx[STACK].aclose()
    log.info("stopped")


def check_health(_settings: object) -> int:
    """arq's --check, for a container's health check: 0 when a worker of this machine has a lease."""
    configure_logs(SETTINGS.log_level, SETTINGS.log_format, SETTINGS.secrets)
    try:
        workers = asyncio.run(_living_workers())
    except (RedisError, OSError) as error:
        log.error("redis is out of reach", redis=without_password(REDIS_URL), error=str(error))
        return 1
    here = [worker for worker in workers if worker.startswith(f"{socket.gethostname()}:")]
    if not here:
        log.error("no worker of this machine has a lease", elsewhere=len(workers))
        return 1
    log.info("healthy", workers=here)
    return 0


async def _living_workers() -> list[str]:
    """Ids of the job workers whose lease has not ended by Redis' clock."""
    client = connect(REDIS_URL, name="wearon-check")
    try:
        async with client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
            (seconds, microseconds), leases = await pipe.execute()
    finally:
        await client.aclose()
    now_ms = seconds * 1000 + microseconds // 1000
    living = [worker.decode() for worker, ends_ms in leases if ends_ms > now_ms]
    return [worker for worker in living if not worker.startswith(WATCHER)]


SETTINGS = _settings()
REDIS_URL = _redis_url(SETTINGS)
METRICS = make_metrics(SETTINGS)
REDIS_WATCH = RedisHealth()
replace_arqs_worker(check_health)


class WorkerSettings:
    """What arq's command line reads: attributes with the names of its worker's arguments."""

    on_startup = start
    on_shutdown = stop
    job_completion_wait = int(SETTINGS.shutdown_grace_s)


_REDIS = connect_redis(REDIS_URL, "worker", METRICS, REDIS_WATCH)
for _name, _value in command_line_settings(_REDIS, SETTINGS.worker_concurrency, job_timeout_s(SETTINGS)).items():
    setattr(WorkerSettings, _name, _value)
