"""`wearon serve`: consumer, worker, API and housekeeping on one event loop, started and stopped in order.

This is the composition root: `assembly` makes the parts, the supervisor keeps them running, and here stands in which
order they stop. Stopping: take nothing new, let running jobs finish, hand the rest back, give the lease back, close
the API, close the connections. A second signal ends the process at once; nothing is lost by that either.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import RedisError

from wearon import descriptors, local_url
from wearon.api.app import create_app
from wearon.api.connection import PunctualConnection
from wearon.api.console.mount import close_console
from wearon.api.crowd import Crowd
from wearon.api.health import Health
from wearon.api.metrics import create_metrics_app
from wearon.api.parts import ApiParts
from wearon.assembly import (
    Base,
    JobSide,
    Telemetry,
    make_console,
    make_metrics,
    make_overview,
    make_reporter,
    make_worker,
    open_base,
    open_job_side,
    open_redis,
    open_redis_url,
    open_telemetry,
    settle_memory,
)
from wearon.metrics import Metrics
from wearon.net.listening import BACKLOG, listen, url_at, url_of
from wearon.platform import LocalPlatform
from wearon.pose.pool import PosePool
from wearon.redis import without_password
from wearon.settings import Mode, Settings
from wearon.stop_signals import StopSignals, Wish
from wearon.supervisor import Supervisor
from wearon.tracing.tracing import TracingError
from wearon.tryon.reports import Reporter

log = structlog.get_logger()

API_CLOSE_S = 5
"""For answers that are under way when the API closes: an estimate takes at most that long."""


class ServeError(Exception):
    """The process cannot start; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which parts this process has."""

    consumer: bool = True
    worker: bool = True
    api: bool = True


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started process can be reached."""

    redis_url: str
    public_url: str


def run(settings: Settings, roles: Roles, announce: Callable[[Addresses], None] = lambda _: None) -> None:
    """Serve until a signal comes. Raises ServeError or PartGaveUp; `announce` is called when everything is started."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, roles, announce))


async def serve(settings: Settings, roles: Roles, announce: Callable[[Addresses], None]) -> None:
    """The same on a running loop."""
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        supervisor = Supervisor()
        budget = descriptors.divide(descriptors.raise_limit(), settings.worker_concurrency)
        telemetry = await _open_telemetry(stack, settings)
        supervisor.start("loop_watch", telemetry.loop_watch.run, needed=False)
        listening = open_port(stack, settings.host, settings.port) if roles.api else None
        addresses = Addresses(await _open_redis_url(stack, supervisor, settings), _public_url(settings, listening))
        base = await open_base(
            stack,
            settings,
            telemetry,
            redis=open_redis(stack, addresses.redis_url, "worker", telemetry),
            public_url=addresses.public_url,
            pose_pool=_open_pose_pool(stack, supervisor, settings, roles, telemetry),
        )
        jobs = await _open_jobs(stack, supervisor, base, roles, addresses.redis_url)
        reporter = make_reporter(base, supervisor, jobs)
        if listening is not None:
            crowd = Crowd(budget.http, telemetry.metrics)
            parts = _api_parts(base, supervisor, jobs, reporter, addresses.public_url, budget)
            supervisor.start("api", lambda: _serve_api(settings, parts, listening, crowd))
        else:
            start_metrics(stack, supervisor, settings, telemetry.metrics)
        stack.push_async_callback(_stop_in_order, supervisor, jobs, settings.shutdown_grace_s)
        log.info(
            "started",
            mode=settings.wearon_mode.value,
            url=addresses.public_url,
            redis=without_password(addresses.redis_url),
            descriptors=budget.limit,
            connections=budget.http,
        )
        if not budget.enough:
            log.warning("too few descriptors: raise ulimit -n", limit=budget.limit, needed=budget.needed)
        if settings.wearon_mode is Mode.LOCAL and listening is not None:
            local_url.remember(settings.wearon_home, addresses.public_url)
        announce(addresses)
        await asyncio.sleep(0)  # the parts begin, and the API builds its routes
        settle_memory()
        await _until(stop, supervisor)


def _stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process on the spot."""
    stop = asyncio.Event()
    signals = StopSignals()

    def on_signal(number: signal.Signals) -> None:
        match signals.next():
            case Wish.STOP:
                log.info("stopping", signal=number.name)
                stop.set()
            case Wish.END_AT_ONCE:
                log.warning("second signal: ended at once", signal=number.name)
                os._exit(128 + number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


async def _open_telemetry(stack: AsyncExitStack, settings: Settings) -> Telemetry:
    try:
        return await open_telemetry(stack, settings, make_metrics(settings))
    except TracingError as error:
        raise ServeError(str(error)) from error


def open_port(stack: AsyncExitStack, host: str, port: int) -> socket.socket:
    """Bind the port before anything is started, so that a port in use is one clear line. Raises ServeError."""
    try:
        listening = listen(host, port)
    except OSError as error:
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    stack.callback(listening.close)
    return listening


def _public_url(settings: Settings, listening: socket.socket | None) -> str:
    """Where local mode's pictures are reached: on this machine, at our own API or that of the process beside us."""
    if listening is not None:
        return url_of(listening)
    if settings.port:
        return url_at(settings.host, settings.port)
    return local_url.recall(settings.wearon_home) or url_at(settings.host, Settings.model_fields["port"].default)


async def _open_redis_url(stack: AsyncExitStack, supervisor: Supervisor, settings: Settings) -> str:
    """In local mode this is the first that is written below `WEARON_HOME`."""
    try:
        return await open_redis_url(stack, supervisor, settings)
    except OSError as error:
        raise ServeError(f"WEARON_HOME={settings.wearon_home} cannot be used: {error.strerror or error}") from error


def _open_pose_pool(
    stack: AsyncExitStack, supervisor: Supervisor, settings: Settings, roles: Roles, telemetry: Telemetry
) -> PosePool | None:
    """For the API's estimates, and for local mode's previews. Raises ServeError when its model is not there."""
    if not roles.api and not (roles.worker and settings.wearon_mode is Mode.LOCAL):
        return None
    if settings.pose_model_path is not None and not settings.pose_model_path.is_file():
        raise ServeError(f"POSE_MODEL_PATH: there is no file {settings.pose_model_path}")
    pool = PosePool(settings.pose_model_path, settings.pose_processes, metrics=telemetry.metrics)
    stack.callback(pool.close)
    # Not for the jobs of production, and where it is, they are put back meanwhile: /health says so.
    supervisor.start("pose_pool", lambda: keep_warm(pool), needed=False)
    return pool


async def keep_warm(pool: PosePool) -> None:
    """A part: start the processes, which then look after themselves. Raises PoseUnavailable."""
    await pool.start()
    await asyncio.Event().wait()


async def _open_jobs(
    stack: AsyncExitStack, supervisor: Supervisor, base: Base, roles: Roles, redis_url: str
) -> JobSide:
    """Make what moves tasks, and start as much of it as this process is for."""

    def blocking(name: str) -> Redis:
        return open_redis(stack, redis_url, name, base.telemetry, blocking=True)

    jobs = await open_job_side(
        stack,
        base,
        redis_url,
        worker=make_worker(base.settings, base.redis) if roles.worker else None,
        consumer_redis=blocking("consumer") if roles.consumer else None,
    )
    worker = jobs.worker
    if worker is not None or jobs.consumer is not None:
        supervisor.start("lease", jobs.lease.run)
        supervisor.start("housekeeping", jobs.housekeeping.run)
    if jobs.last_days is not None:
        supervisor.start("image_models", jobs.last_days.run, needed=False)
    if worker is not None:
        supervisor.start("worker", worker.main)
    if jobs.consumer is not None:
        supervisor.start("consumer", jobs.consumer.run)
    elif worker is not None:
        waker = blocking("waker")
        supervisor.start("waker", lambda: worker.listen_for_wake_ups(waker))
    return jobs


def _api_parts(
    base: Base,
    supervisor: Supervisor,
    jobs: JobSide,
    reporter: Reporter,
    public_url: str,
    budget: descriptors.Budget,
) -> ApiParts:
    assert base.pose_pool is not None
    overview = make_overview(
        base.settings,
        base.redis,
        base.platform,
        progress=base.progress,
        own=(jobs.lease.worker_id, reporter.report),
        pose_pool=base.pose_pool,
    )
    return ApiParts(
        Health(
            base.settings.wearon_mode.value,
            lambda: supervisor.parts,
            base.pose_pool,
            base.redis,
            base.telemetry.dependencies,
            jobs.lease.silent_s,
            budget,
        ),
        base.fetcher,
        base.pose_pool,
        base.platform if isinstance(base.platform, LocalPlatform) else None,
        overview,
        make_console(base.settings, base.redis, base.platform, overview, public_url),
        metrics=base.telemetry.metrics,
        tracing=base.telemetry.tracing,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are handled in one place, here above."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def _serve_api(settings: Settings, parts: ApiParts, listening: socket.socket, crowd: Crowd) -> None:
    app = create_app(parts, api_token=_token(settings), cors_origins=settings.cors_origins)
    await _serve(app, settings, listening, crowd)


def start_metrics(stack: AsyncExitStack, supervisor: Supervisor, settings: Settings, metrics: Metrics) -> None:
    """`/metrics` of a process without the API, when it is wanted; in production never without a token."""
    if settings.metrics_port is None:
        return
    if settings.wearon_mode is Mode.PRODUCTION and settings.api_token is None:
        log.warning("metrics are not served: that needs API_TOKEN")
        return
    listening = open_port(stack, settings.host, settings.metrics_port)
    log.info("metrics are served", port=listening.getsockname()[1])
    supervisor.start(
        "metrics", lambda: _serve(create_metrics_app(metrics, _token(settings)), settings, listening), needed=False
    )


def _token(settings: Settings) -> str | None:
    return settings.api_token.get_secret_value() if settings.api_token else None


async def _serve(app: FastAPI, settings: Settings, listening: socket.socket, crowd: Crowd | None = None) -> None:
    crowd = crowd or Crowd(descriptors.LEAST_HTTP)
    config = uvicorn.Config(
        app,
        http=cast("Any", partial(PunctualConnection, crowd=crowd)),
        ws="none",  # there is no WebSocket here, and the bearer token is asked of HTTP requests only
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # nobody here asks for the client's address: no header may make one up
        backlog=BACKLOG,
        timeout_keep_alive=settings.http_keep_alive_s,
        timeout_graceful_shutdown=API_CLOSE_S,
    )
    server = _Server(config)
    # A duplicate, because uvicorn closes what it is given, and a restart needs the port again.
    serving = asyncio.create_task(server.serve(sockets=[listening.dup()]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        close_console(app)
        server.should_exit = True
        await serving
        raise


async def _until(stop: asyncio.Event, supervisor: Supervisor) -> None:
    """Return when asked to stop; raises PartGaveUp."""
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(supervisor.wait_until_one_gives_up())
    await asyncio.wait({stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if failing.done():
        await failing
    failing.cancel()


async def _stop_in_order(supervisor: Supervisor, jobs: JobSide, grace_s: float) -> None:
    await supervisor.stop("consumer")
    if jobs.worker is not None:
        handed_back = await jobs.worker.drain(grace_s)
        log.info("jobs drained", handed_back=handed_back)
    await supervisor.stop("worker")
    try:
        if jobs.consumer is not None:
            await jobs.consumer.recover()
        await supervisor.stop("lease")
        await jobs.lease.release()
    except (RedisError, OSError) as error:
        log.warning("lease not given back: others wait until it ends", error=str(error))
    await supervisor.stop_all()
    log.info("stopped")
