"""`wearon serve`: consumer, worker, API, lease and reconciler on one event loop, started and stopped in order.

`wiring` makes the components, the supervisor keeps them running, and this module says in which order they stop: take
nothing new, let running jobs finish, leave the rest in the queue, release the lease, close the API, close the
connections. A second signal ends the process at once; nothing is lost by that either.
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

from wearon.api.app import create_app
from wearon.api.connection import PunctualConnection
from wearon.api.console.mount import close_console
from wearon.api.crowd import Crowd
from wearon.api.dependencies import ApiServices
from wearon.api.metrics import create_metrics_app
from wearon.api.roles import Door
from wearon.app.access import make_access
from wearon.app.base import (
    Base,
    Telemetry,
    make_metrics,
    open_base,
    open_redis,
    open_redis_url,
    open_telemetry,
    settle_memory,
)
from wearon.app.housekeeping import start_housekeeping
from wearon.app.wiring import JobSide, make_api_services, open_job_side
from wearon.local import url as local_url
from wearon.local.home import claim
from wearon.metrics import Metrics
from wearon.net.listening import listen, url_at, url_of
from wearon.observability.tracing import TracingError
from wearon.pose.pool import PosePool
from wearon.redis.clients import without_password
from wearon.resources import descriptors
from wearon.settings import Mode, Settings
from wearon.signals import StopSignals, Wish
from wearon.supervisor import Supervisor

log = structlog.get_logger()

API_CLOSE_S = 5
"""For answers that are under way when the API closes: an estimate takes at most that long."""


class ServeError(Exception):
    """The process cannot start; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Components:
    """Which components this process has."""

    consumer: bool = True
    worker: bool = True
    api: bool = True


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started process can be reached."""

    redis_url: str
    public_url: str


def run(settings: Settings, components: Components, announce: Callable[[Addresses], None] = lambda _: None) -> None:
    """Serve until a signal comes, after calling `announce` once all is started. Raises ServeError, ComponentGaveUp."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, components, announce))


async def serve(settings: Settings, components: Components, announce: Callable[[Addresses], None]) -> None:
    """Serve on a running loop until a signal comes."""
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        supervisor = Supervisor()
        budget = descriptors.divide(descriptors.raise_limit(), settings.worker_concurrency)
        telemetry = await _open_telemetry(stack, settings)
        supervisor.start("loop_watch", telemetry.loop_watch.run, needed=False)
        listening = open_port(stack, settings.host, settings.port) if components.api else None
        addresses = Addresses(await _open_redis_url(stack, supervisor, settings), _public_url(settings, listening))
        base = await open_base(
            stack,
            settings,
            telemetry,
            redis=open_redis(stack, addresses.redis_url, "worker", telemetry),
            public_url=addresses.public_url,
            pose_pool=open_pose_pool(stack, supervisor, settings, components, telemetry),
        )
        jobs = await open_jobs(stack, supervisor, base, components, addresses.redis_url, budget)
        if jobs.worker is not None:
            supervisor.start("worker", jobs.worker.run)
        if listening is not None:
            crowd = Crowd(budget.http, telemetry.metrics)
            services = make_api_services(base, jobs.status, addresses.public_url)
            supervisor.start("api", lambda: _serve_api(settings, services, listening, crowd))
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
        await asyncio.sleep(0)  # the components begin, and the API builds its routes
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
    """The URL of local mode's pictures: on this machine, at our own API or that of the process beside us."""
    if listening is not None:
        return url_of(listening)
    if settings.port:
        return url_at(settings.host, settings.port)
    return local_url.recall(settings.wearon_home) or url_at(settings.host, Settings.model_fields["port"].default)


async def _open_redis_url(stack: AsyncExitStack, supervisor: Supervisor, settings: Settings) -> str:
    """In local mode this is the first that is written below `WEARON_HOME`."""
    try:
        if settings.wearon_mode is Mode.LOCAL:
            claim(settings.wearon_home)
        return await open_redis_url(stack, supervisor, settings)
    except OSError as error:
        raise ServeError(f"WEARON_HOME={settings.wearon_home} cannot be used: {error.strerror or error}") from error


def open_pose_pool(
    stack: AsyncExitStack, supervisor: Supervisor, settings: Settings, components: Components, telemetry: Telemetry
) -> PosePool | None:
    """Open the pose processes for the API's estimates and local mode's previews. Raises ServeError without a model."""
    if not components.api and not (components.worker and settings.wearon_mode is Mode.LOCAL):
        return None
    if settings.pose_model_path is not None and not settings.pose_model_path.is_file():
        raise ServeError(f"POSE_MODEL_PATH: there is no file {settings.pose_model_path}")
    pool = PosePool(settings.pose_model_path, settings.pose_processes, metrics=telemetry.metrics)
    stack.callback(pool.close)
    # Jobs of production do not need it. Those of local mode are retried while it is away, and /health says so.
    supervisor.start("pose_pool", lambda: _keep_warm(pool), needed=False)
    return pool


async def _keep_warm(pool: PosePool) -> None:
    """A component that starts the pose processes and waits. Raises PoseUnavailable."""
    await pool.start()
    await asyncio.Event().wait()


async def open_jobs(
    stack: AsyncExitStack,
    supervisor: Supervisor,
    base: Base,
    components: Components,
    redis_url: str,
    budget: descriptors.Budget | None = None,
) -> JobSide:
    """Make what moves tasks, and start as much of it as this process is for, but for the worker."""

    def blocking(name: str) -> Redis:
        return open_redis(stack, redis_url, name, base.telemetry, blocking=True)

    jobs = await open_job_side(
        stack,
        base,
        supervisor,
        redis_url,
        runs_jobs=components.worker,
        consumer_redis=blocking("consumer") if components.consumer else None,
        budget=budget,
    )
    worker = jobs.worker
    if worker is not None or jobs.consumer is not None:
        start_housekeeping(supervisor, base, jobs)
    if jobs.consumer is not None:
        supervisor.start("consumer", jobs.consumer.run)
    elif worker is not None:
        waker = blocking("waker")
        supervisor.start("waker", lambda: worker.listen_for_wake_ups(waker))
    return jobs


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are handled in one place, here above."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def _serve_api(settings: Settings, services: ApiServices, listening: socket.socket, crowd: Crowd) -> None:
    app = create_app(services, make_access(settings), cors_origins=settings.cors_origins)
    await _serve(app, settings, listening, crowd)


def start_metrics(stack: AsyncExitStack, supervisor: Supervisor, settings: Settings, metrics: Metrics) -> None:
    """`/metrics` of a process without the API, when it is wanted; in production never without a token."""
    if settings.metrics_port is None:
        return
    access = make_access(settings)
    if settings.wearon_mode is Mode.PRODUCTION and not access.holders(Door.METRICS):
        log.warning("metrics are not served: that needs METRICS_TOKEN, VIEWER_TOKEN or API_TOKEN")
        return
    listening = open_port(stack, settings.host, settings.metrics_port)
    log.info("metrics are served", port=listening.getsockname()[1])
    app, crowd = create_metrics_app(metrics, access), Crowd(descriptors.LEAST_HTTP, metrics)
    supervisor.start("metrics", lambda: _serve(app, settings, listening, crowd), needed=False)


async def _serve(app: FastAPI, settings: Settings, listening: socket.socket, crowd: Crowd) -> None:
    config = uvicorn.Config(
        app,
        http=cast("Any", partial(PunctualConnection, crowd=crowd)),
        ws="none",  # there is no WebSocket here, and the bearer token is asked of HTTP requests only
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # nothing here asks for the client's address: no header may make one up
        backlog=descriptors.BACKLOG,
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
    """Return when asked to stop; raises ComponentGaveUp."""
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
