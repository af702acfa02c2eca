"""What every process is built on: telemetry, connections to Redis, platform and downloader, made from the settings.

Everything is made here once and handed on; whatever must be closed goes onto the exit stack in the order of making.
"""

import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from redis.asyncio import Redis

from wearon.dependencies import Dependencies
from wearon.events import Events
from wearon.local import url as local_url
from wearon.local.platform import LocalPlatform
from wearon.local.redis_server import LocalRedis
from wearon.metrics import LoopWatch, Metrics
from wearon.net.fetch import PictureFetcher
from wearon.net.listening import url_at
from wearon.net.origins import Origin
from wearon.net.tls import trusting
from wearon.observability.tracing import Tracing, open_tracing
from wearon.operations.live_view import LiveView
from wearon.platform.base import Platform
from wearon.platform.supabase import SupabasePlatform
from wearon.pose.pool import PosePool
from wearon.processes.heap import keep_freed_memory
from wearon.redis import clients as redis_connections
from wearon.redis.health import RedisHealth
from wearon.settings import Mode, Settings
from wearon.supervisor import Supervisor
from wearon.tryon.run import Runs


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a process counts and tells of itself."""

    metrics: Metrics
    tracing: Tracing
    loop_watch: LoopWatch
    redis_health: RedisHealth
    """What all connections to Redis report to."""

    @property
    def dependencies(self) -> Dependencies:
        """What the services refuse: all that talk to one report here."""
        return self.redis_health.dependencies


def make_metrics(settings: Settings) -> Metrics:
    """The one of this process."""
    return Metrics(version("wearon"), settings.wearon_mode.value)


async def open_telemetry(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, redis_health: RedisHealth | None = None
) -> Telemetry:
    """Opened first, so closed last: the last spans are those of stopping. Raises TracingError."""
    tracing = open_tracing(settings.traces_url, settings.traces_headers, settings.otel_service_name, version("wearon"))
    health = redis_health or RedisHealth()
    metrics.show_refusals(health.dependencies)
    return Telemetry(metrics, await stack.enter_async_context(tracing), LoopWatch(metrics), health)


def command_telemetry(settings: Settings) -> Telemetry:
    """Make the telemetry of a command, which ends before it could be scraped."""
    metrics = make_metrics(settings)
    return Telemetry(metrics, Tracing(), LoopWatch(metrics), RedisHealth())


def settle_memory() -> None:
    """Tune the memory of a process that has started: keep freed memory, and do not search lasting objects for garbage.

    Modules and what was built from them are 130,000 objects. Looking through them takes the garbage collector
    50-90 ms, several times a minute under load, and all that time the event loop stands still.
    """
    keep_freed_memory()
    gc.collect()
    gc.freeze()


def local_redis_folder(settings: Settings) -> Path:
    """Where the embedded Redis of the local mode keeps its data."""
    return settings.wearon_home / "redis"


async def find_redis_url(settings: Settings) -> str | None:
    """The queue's URL; in local mode without `REDIS_URL` that of the embedded server, None while none runs."""
    return settings.redis_url or await LocalRedis.find(local_redis_folder(settings))


def recall_url(settings: Settings) -> str:
    """Where the running `wearon serve` of this machine is reached, as far as is known."""
    return local_url.recall(settings.wearon_home) or url_at(settings.host, settings.port)


async def open_redis_url(stack: AsyncExitStack, supervisor: Supervisor, settings: Settings) -> str:
    """The queue's URL; in local mode without `REDIS_URL` the embedded server is started, or found, and kept running."""
    if settings.redis_url:
        return settings.redis_url
    local = await LocalRedis.start(local_redis_folder(settings), settings.local_redis_port)
    stack.push_async_callback(local.stop)
    supervisor.start("local_redis", local.keep)
    return local.url


def open_redis(stack: AsyncExitStack, url: str, name: str, telemetry: Telemetry, *, blocking: bool = False) -> Redis:
    """A client that connects when it is first used."""
    client = connect_redis(url, name, telemetry.metrics, telemetry.redis_health, blocking=blocking)
    stack.push_async_callback(client.aclose, close_connection_pool=True)
    return client


def connect_redis(url: str, name: str, metrics: Metrics, health: RedisHealth, *, blocking: bool = False) -> Redis:
    """A client that the caller closes, and that connects when it is first used."""

    def count(command: str) -> None:
        metrics.redis_commands.labels(command).inc()

    return redis_connections.connect(url, name=f"wearon-{name}", blocking=blocking, on_command=count, health=health)


async def open_platform(stack: AsyncExitStack, settings: Settings, public_url: str, telemetry: Telemetry) -> Platform:
    """Production's platform, or the local one, whose pictures are served at `public_url`."""
    platform: Platform
    if settings.wearon_mode is Mode.LOCAL:
        platform = await LocalPlatform.open(settings.wearon_home, public_url)
    else:
        assert settings.supabase_url
        assert settings.supabase_service_role_key
        platform = await SupabasePlatform.connect(
            settings.supabase_url,
            settings.supabase_service_role_key.get_secret_value(),
            metrics=telemetry.metrics,
            tracing=telemetry.tracing,
            dependencies=telemetry.dependencies,
            tls=trusting(settings.authorities),
        )
    stack.push_async_callback(platform.aclose)
    return platform


def open_fetcher(
    stack: AsyncExitStack,
    settings: Settings,
    public_url: str,
    telemetry: Telemetry,
    own_file: Callable[[str], Path | None] = lambda _url: None,
) -> PictureFetcher:
    """The guarded downloader; in local mode our own file server's pictures are trusted, or just read (`own_file`)."""
    ours = [Origin.parse(public_url)] if settings.wearon_mode is Mode.LOCAL else []
    fetcher = PictureFetcher(
        trusted_origins=[*settings.trusted_origins, *ours],
        own_file=own_file,
        trusted_tls=trusting(settings.authorities),
        metrics=telemetry.metrics,
        tracing=telemetry.tracing,
    )
    stack.push_async_callback(fetcher.aclose)
    return fetcher


@dataclass(frozen=True, slots=True)
class Base:
    """What every process has, whichever components it runs."""

    settings: Settings
    telemetry: Telemetry
    events: Events
    runs: Runs
    live_view: LiveView
    redis: Redis
    platform: Platform
    fetcher: PictureFetcher
    pose_pool: PosePool | None
    """None: it neither estimates sizes nor draws previews."""


async def open_base(
    stack: AsyncExitStack,
    settings: Settings,
    telemetry: Telemetry,
    *,
    redis: Redis,
    public_url: str,
    pose_pool: PosePool | None,
) -> Base:
    """Connect to the platform and to picture servers; `redis` and `pose_pool` are the caller's to close."""
    platform = await open_platform(stack, settings, public_url, telemetry)
    own_files = [platform.file_of] if isinstance(platform, LocalPlatform) else []
    fetcher = open_fetcher(stack, settings, public_url, telemetry, *own_files)
    events = Events()
    runs = Runs(events, telemetry.tracing)
    return Base(settings, telemetry, events, runs, LiveView(events), redis, platform, fetcher, pose_pool)
