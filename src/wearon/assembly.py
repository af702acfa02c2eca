"""Builds a process's parts from its settings, for `serve` and for arq's command line alike.

Everything is made here once and handed on; whatever must be closed goes onto the exit stack in the order of making.
"""

import gc
import os
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from redis.asyncio import Redis

from wearon import redis as redis_connections
from wearon.api.console.parts import ConsoleParts
from wearon.dependencies import Dependencies
from wearon.heap import keep_freed_memory
from wearon.image_model import open_generator, open_last_days
from wearon.local_redis import LocalRedis
from wearon.logs import Redaction
from wearon.metrics import LoopWatch, Metrics
from wearon.net.fetch import PictureFetcher
from wearon.net.origins import Origin
from wearon.net.tls import trusting
from wearon.overview.look import Looker
from wearon.overview.now import Present
from wearon.overview.overview import Overview
from wearon.overview.story import Stories
from wearon.pictures.pool import PicturePool
from wearon.platform import LocalPlatform, SupabasePlatform
from wearon.platform.base import Platform
from wearon.pose.pool import PosePool
from wearon.redis_watch import RedisWatch
from wearon.settings import Mode, Settings
from wearon.supervisor import Supervisor
from wearon.tracing import Tracing, open_tracing
from wearon.tryon.consumer import Consumer
from wearon.tryon.dead_letters import DeadLetters
from wearon.tryon.desk import LettersDesk, RefundsDesk
from wearon.tryon.failures import Patience
from wearon.tryon.job_queue import GENERATE, REJECT, JobQueue
from wearon.tryon.job_worker import JOB_FUNCTIONS, JobWorker, worker_arguments
from wearon.tryon.journal import Journal
from wearon.tryon.lease_keeper import LeaseKeeper
from wearon.tryon.lease_renewal import Kept
from wearon.tryon.leases import BEAT_S, LEASE_S, Lease
from wearon.tryon.openai_last_days import LastDays
from wearon.tryon.photos import Photos
from wearon.tryon.pipeline import LEAST_RUN_S, Pipeline
from wearon.tryon.producer import LocalProducer
from wearon.tryon.progress import Progress
from wearon.tryon.recorder import Recorder
from wearon.tryon.recovery import Housekeeping
from wearon.tryon.refunds import RefundOutbox
from wearon.tryon.reports import Report, ReportedPart, Reporter
from wearon.tryon.spool import Spool
from wearon.tryon.watch import JobMetrics, traced

JOB_TIMEOUT_MARGIN_S = 60.0
"""arq's own time limit lies this far behind the pipeline's, which is the one that must end a job."""

WATCHER = "watcher:"
"""Begins the id of a process that runs no jobs; a worker's begins with its machine's name."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a process counts and tells of itself."""

    metrics: Metrics
    tracing: Tracing
    loop_watch: LoopWatch
    redis_watch: RedisWatch
    """What all connections to Redis hear."""

    @property
    def dependencies(self) -> Dependencies:
        """What the services refuse: whoever talks to one reports here."""
        return self.redis_watch.dependencies


def make_metrics(settings: Settings) -> Metrics:
    """The one of this process."""
    return Metrics(version("wearon"), settings.wearon_mode.value)


async def open_telemetry(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, redis_watch: RedisWatch | None = None
) -> Telemetry:
    """Opened first, so closed last: the last spans are those of stopping. Raises TracingError."""
    tracing = open_tracing(settings.traces_url, settings.traces_headers, settings.otel_service_name, version("wearon"))
    return Telemetry(metrics, await stack.enter_async_context(tracing), LoopWatch(metrics), redis_watch or RedisWatch())


def settle_memory() -> None:
    """For a process that has started: keep what is freed, and pass over what will never be freed.

    Modules and what was built from them are 130,000 objects. Looking through them takes the garbage collector
    50-90 ms, several times a minute under load, and all that time the event loop stands still.
    """
    keep_freed_memory()
    gc.collect()
    gc.freeze()


def local_redis_folder(settings: Settings) -> Path:
    """Where the embedded Redis of the local mode keeps its data."""
    return settings.wearon_home / "redis"


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
    client = connect_redis(url, name, telemetry.metrics, telemetry.redis_watch, blocking=blocking)
    stack.push_async_callback(client.aclose, close_connection_pool=True)
    return client


def connect_redis(url: str, name: str, metrics: Metrics, watch: RedisWatch, *, blocking: bool = False) -> Redis:
    """The same, to be closed by whoever takes it."""

    def count(command: str) -> None:
        metrics.redis_commands.labels(command).inc()

    return redis_connections.connect(url, name=f"wearon-{name}", blocking=blocking, on_command=count, watch=watch)


async def open_platform(
    stack: AsyncExitStack, settings: Settings, public_url: str, telemetry: Telemetry | None = None
) -> Platform:
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
            metrics=telemetry.metrics if telemetry else None,
            tracing=telemetry.tracing if telemetry else None,
            dependencies=telemetry.dependencies if telemetry else None,
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
    """What a process has whichever of the parts it runs."""

    settings: Settings
    telemetry: Telemetry
    progress: Progress
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
    return Base(settings, telemetry, Progress(), redis, platform, fetcher, pose_pool)


@dataclass(frozen=True, slots=True)
class JobSide:
    """All that moves tasks: present in a process that consumes tasks, runs jobs, or both."""

    lease: Lease
    housekeeping: Housekeeping
    worker: JobWorker | None
    consumer: Consumer | None
    last_days: LastDays | None = None
    """None: no job runs here, or no model is asked."""


def make_worker(settings: Settings, redis: Redis) -> JobWorker:
    """A worker inside our own process: its signals and connections are ours to handle."""
    return JobWorker(**worker_settings(settings, redis), ctx={}, handle_signals=False)


def worker_settings(settings: Settings, redis: Redis) -> dict[str, object]:
    """arq's arguments, the same for both ways of starting a worker."""
    longest_run_s = max(settings.generation_deadline_s, LEAST_RUN_S)
    return worker_arguments(redis, settings.worker_concurrency, longest_run_s + JOB_TIMEOUT_MARGIN_S)


async def open_job_side(
    stack: AsyncExitStack, base: Base, redis_url: str, *, worker: JobWorker | None, consumer_redis: Redis | None
) -> JobSide:
    """Connect worker, consumer, lease and housekeeping with each other. No `consumer_redis`: no consumer."""
    settings, redis, telemetry = base.settings, base.redis, base.telemetry
    base.progress.listeners.append(JobMetrics(telemetry.metrics, telemetry.tracing))
    base.progress.around_step = telemetry.tracing.span
    lease = _open_lease(stack, base, redis_url, worker)
    queue = JobQueue(redis)
    recorder = Recorder(base.progress, make_journal(settings, redis, lease.worker_id))
    dead_letters = DeadLetters(redis, recorder.dead_letter_added)
    outbox = RefundOutbox(redis, base.platform, recorder.refund_moved, telemetry.tracing)
    spool = Spool(settings.spool_folder)
    housekeeping = Housekeeping(redis, base.platform, queue, outbox, spool)
    lease.on_beat.append(housekeeping.see_fleet)
    consumer = None
    if consumer_redis is not None:
        consumer = Consumer(redis, consumer_redis, queue, dead_letters, worker)
        lease.on_beat.append(consumer.see_fleet)
        if worker is not None:
            worker.on_job_finished = consumer.see_job_finished
    if worker is not None:
        pictures = await _open_pictures(stack, base)
        pipeline = Pipeline(
            platform=base.platform,
            photos=Photos(
                base.fetcher,
                pictures.prepare,
                telemetry.metrics,
                is_stored=lambda url: base.platform.stored_path(url) is not None,
            ),
            generator=open_generator(stack, base, pictures),
            spool=spool,
            outbox=outbox,
            dead_letters=dead_letters,
            confirm_lease=lease.confirm,
            patience=Patience(settings.openai_max_retries, settings.generation_deadline_s),
            recorder=recorder,
        )
        housekeeping.deliver = pipeline.deliver
        _put_to_work(worker, pipeline, lease, telemetry)
    return JobSide(lease, housekeeping, worker, consumer, open_last_days(stack, base) if worker else None)


def _open_lease(stack: AsyncExitStack, base: Base, redis_url: str, worker: JobWorker | None) -> Lease:
    """The lease of a process that runs jobs has a keeper, for while its loop stands still."""
    watch = base.telemetry.redis_watch
    if worker is None:
        return Lease(base.redis, f"{WATCHER}{secrets.token_hex(6)}", 0, watch=watch)
    keeper = LeaseKeeper(Kept(redis_url, worker.worker_id, os.getpid(), LEASE_S, BEAT_S))
    stack.callback(keeper.close)
    return Lease(base.redis, worker.worker_id, base.settings.worker_concurrency, keeper, held=worker.held, watch=watch)


async def _open_pictures(stack: AsyncExitStack, base: Base) -> PicturePool:
    pictures = PicturePool(base.settings.picture_processes, dependencies=base.telemetry.dependencies)
    stack.callback(pictures.close)
    await pictures.start()
    return pictures


def _put_to_work(worker: JobWorker, pipeline: Pipeline, lease: Lease, telemetry: Telemetry) -> None:
    """The worker's jobs are the pipeline's, for as long as the lease holds."""
    worker.newer_jobs.dependencies = telemetry.dependencies
    lease.on_jobs_freed = worker.wake_up.set
    worker.ctx[JOB_FUNCTIONS] = {
        GENERATE: traced(GENERATE, pipeline.generate, telemetry.tracing),
        REJECT: traced(REJECT, pipeline.reject, telemetry.tracing),
    }
    telemetry.metrics.slots.set(worker.max_jobs)
    telemetry.metrics.in_flight.set_function(lambda: worker.job_counter)


def make_journal(settings: Settings, redis: Redis, worker_id: str = "") -> Journal:
    """The sessions' stories; `worker_id` is named in what is written."""
    return Journal(redis, worker_id, kept_hours=settings.journal_hours, redaction=Redaction(settings.secrets))


def make_reporter(base: Base, supervisor: Supervisor, jobs: JobSide) -> Reporter:
    """What this process says of itself, with every beat of its lease and to its own overview."""

    def parts() -> list[ReportedPart]:
        return [
            ReportedPart(name=part.name, state=part.state.value, restarts=part.restarts, error=part.error)
            for part in supervisor.parts
        ]

    reporter = Reporter(
        base.progress,
        base.settings.worker_concurrency if jobs.worker else 0,
        parts=parts,
        refusals=lambda: base.telemetry.dependencies.refusals,
        last_days=lambda: jobs.last_days.known if jobs.last_days else {},
        take_longest_lag=base.telemetry.loop_watch.take_longest,
    )
    jobs.lease.report = reporter.beat
    return reporter


def make_overview(
    settings: Settings,
    redis: Redis,
    platform: Platform,
    *,
    progress: Progress | None = None,
    own: tuple[str, Callable[[], Report]] | None = None,
    pose_pool: PosePool | None = None,
) -> Overview:
    """What console and command line ask. Without `progress` and `own` (worker id and report): one that only looks."""
    present = Present(
        Looker(redis),
        mode=settings.wearon_mode.value,
        requests_per_minute=settings.openai_requests_per_minute,
        own=own,
        pose_pool=pose_pool,
    )
    stories = Stories(redis, platform, make_journal(settings, redis), Redaction(settings.secrets))
    return Overview(present, stories, progress)


def make_console(
    settings: Settings, redis: Redis, platform: Platform, overview: Overview, public_url: str
) -> ConsoleParts:
    """What the console shows and does."""
    local = platform if isinstance(platform, LocalPlatform) else None
    by_hand = Recorder(Progress(), make_journal(settings, redis, "console"))
    return ConsoleParts(
        mode=settings.wearon_mode.value,
        overview=overview,
        letters=LettersDesk(DeadLetters(redis)),
        refunds=RefundsDesk(RefundOutbox(redis, platform, by_hand.refund_moved)),
        picture_origin=public_url if local else str(settings.supabase_origin),
        producer=LocalProducer(local, redis) if local else None,
    )
