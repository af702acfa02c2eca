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

from wearon import local_url
from wearon.assembly import (
    WATCHER,
    connect_redis,
    local_redis_folder,
    make_metrics,
    make_reporter,
    open_base,
    open_job_side,
    open_redis,
    open_telemetry,
    settle_memory,
    worker_settings,
)
from wearon.local_redis import LocalRedis
from wearon.logs import configure_logs
from wearon.net.listening import url_at
from wearon.pose.pool import PosePool
from wearon.redis import connect, without_password
from wearon.redis_watch import RedisWatch
from wearon.serve import keep_warm, start_metrics
from wearon.settings import Mode, Settings, SettingsError, load_settings
from wearon.supervisor import Supervisor
from wearon.tryon import keys
from wearon.tryon.job_worker import JOB_WORKER, JobWorker, use_job_worker_in_arqs_command_line

log = structlog.get_logger()

STACK = "exit_stack"
"""Key of arq's context: what must be closed when the worker stops."""


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise SystemExit(str(error)) from None


def _redis_url(settings: Settings) -> str:
    """The queue's URL; local mode's embedded server belongs to `wearon serve`, which must be running."""
    url = settings.redis_url or asyncio.run(LocalRedis.find(local_redis_folder(settings)))
    if url is None:
        raise SystemExit("No local Redis is running: start `wearon serve` first, or set REDIS_URL.")
    return url


async def start(ctx: dict[str, Any]) -> None:
    """arq's on_startup: build what `serve` builds, and watch over it."""
    # arq has just set up its own
    configure_logs(SETTINGS.log_level, SETTINGS.log_format, SETTINGS.secrets, for_good=True)
    worker: JobWorker = ctx[JOB_WORKER]
    stack = ctx[STACK] = AsyncExitStack()
    public_url = local_url.recall(SETTINGS.wearon_home) or url_at(SETTINGS.host, SETTINGS.port)
    telemetry = await open_telemetry(stack, SETTINGS, METRICS, REDIS_WATCH)
    pose_pool = None
    if SETTINGS.wearon_mode is Mode.LOCAL:
        pose_pool = PosePool(SETTINGS.pose_model_path, SETTINGS.pose_processes, metrics=METRICS)
        stack.callback(pose_pool.close)
    base = await open_base(stack, SETTINGS, telemetry, redis=worker.pool, public_url=public_url, pose_pool=pose_pool)
    jobs = await open_job_side(stack, base, REDIS_URL, worker=worker, consumer_redis=None)
    waker = open_redis(stack, REDIS_URL, "waker", telemetry, blocking=True)
    supervisor = Supervisor()
    make_reporter(base, supervisor, jobs)
    supervisor.start("loop_watch", telemetry.loop_watch.run, needed=False)
    if pose_pool is not None:
        supervisor.start("pose_pool", lambda: keep_warm(pose_pool), needed=False)
    start_metrics(stack, supervisor, SETTINGS, METRICS)
    supervisor.start("lease", jobs.lease.run)
    supervisor.start("housekeeping", jobs.housekeeping.run)
    if jobs.last_days is not None:
        supervisor.start("image_models", jobs.last_days.run, needed=False)
    supervisor.start("waker", lambda: worker.listen_for_wake_ups(waker))

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
REDIS_WATCH = RedisWatch()
use_job_worker_in_arqs_command_line(check_health)


class WorkerSettings:
    """What arq's command line reads: attributes with the names of its worker's arguments."""

    on_startup = start
    on_shutdown = stop
    job_completion_wait = int(SETTINGS.shutdown_grace_s)


for _name, _value in worker_settings(SETTINGS, connect_redis(REDIS_URL, "worker", METRICS, REDIS_WATCH)).items():
    setattr(WorkerSettings, _name, _value)
