"""Builds the components of a process on its base (`wearon.app.base`), for `serve` and for arq's command line alike.

Everything is made here once and handed on; whatever must be closed goes onto the exit stack in the order of making.
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from wearon.app.base import Base
from wearon.app.image_model import open_last_days
from wearon.app.pipeline import open_pipeline
from wearon.app.readers import make_audit_log, make_history_store, make_sessions, make_status_reader, recorded_events
from wearon.local.platform import LocalPlatform
from wearon.local.producer import LocalProducer
from wearon.operations.actions.cancel import Cancellations
from wearon.operations.actions.dead_letters import DeadLetterActions
from wearon.operations.actions.pause import PauseActions
from wearon.operations.actions.refunds import RefundActions
from wearon.operations.incident_keeper import IncidentKeeper
from wearon.operations.job_metrics import JobMetrics
from wearon.operations.report import Reporter
from wearon.operations.status import StatusReader
from wearon.queue.consumer import Consumer
from wearon.queue.dead_letters import DeadLetters
from wearon.queue.held_jobs import HeldJobs
from wearon.queue.jobs import JobFunction, JobQueue
from wearon.queue.lease import HEARTBEAT_S, LEASE_S, Lease
from wearon.queue.lease_keeper import LeaseKeeper
from wearon.queue.lease_renewal import Kept
from wearon.queue.limits import Limits
from wearon.queue.pauses import Pauses
from wearon.queue.worker import JobWorker, new_worker_id
from wearon.queue.worker_files import WorkerFiles
from wearon.refunds.outbox import RefundOutbox
from wearon.resources.descriptors import Budget
from wearon.settings import Settings
from wearon.supervisor import Supervisor
from wearon.tryon.openai.last_days import LastDays
from wearon.tryon.pipeline import LEAST_RUN_S
from wearon.tryon.reconciler import Reconciler
from wearon.tryon.sessions import Sessions
from wearon.tryon.spool import Spool

if TYPE_CHECKING:
    from wearon.api.dependencies import ApiServices

JOB_TIMEOUT_MARGIN_S = 60.0
"""The worker's time limit lies this far behind the pipeline's, which is the one that must end a job."""

WATCHER = "watcher:"
"""Begins the id of a process that runs no jobs; a worker's begins with its machine's name."""


@dataclass(frozen=True, slots=True)
class JobSide:
    """All that moves tasks: present in a process that consumes tasks, runs jobs, or both."""

    lease: Lease
    reconciler: Reconciler
    status: StatusReader
    incidents: IncidentKeeper
    worker: JobWorker | None
    consumer: Consumer | None
    last_days: LastDays | None
    """None: no job runs here, or no model is asked."""


def job_timeout_s(settings: Settings) -> float:
    """The time limit of a job that does not end itself."""
    return max(settings.generation_deadline_s, LEAST_RUN_S) + JOB_TIMEOUT_MARGIN_S


async def open_job_side(
    stack: AsyncExitStack,
    base: Base,
    supervisor: Supervisor,
    redis_url: str,
    *,
    runs_jobs: bool,
    consumer_redis: Redis | None,
    budget: Budget | None = None,
) -> JobSide:
    """Make worker, consumer, lease and reconciler. No `consumer_redis`: no consumer."""
    settings, redis, events, telemetry = base.settings, base.redis, base.events, base.telemetry
    worker_id = new_worker_id() if runs_jobs else f"{WATCHER}{secrets.token_hex(6)}"
    JobMetrics(telemetry.metrics, events)
    make_history_store(settings, redis, worker_id).subscribe(events)
    last_days = open_last_days(stack, base) if runs_jobs else None
    capacity = settings.worker_concurrency if runs_jobs else 0
    reporter = _make_reporter(base, supervisor, worker_id, capacity, last_days, budget)
    held = HeldJobs(redis, worker_id, events) if runs_jobs else None
    files = WorkerFiles(settings.spool_folder, worker_id)
    lease = Lease(
        redis,
        worker_id,
        capacity,
        events=events,
        health=telemetry.redis_health,
        report=reporter.beat,
        held=held,
        keeper=_open_keeper(stack, redis_url, worker_id) if runs_jobs else None,
        files=files,
    )
    dead_letters = DeadLetters(redis, events)
    outbox = RefundOutbox(redis, base.platform, events, telemetry.tracing, files)
    spool = Spool(settings.spool_folder, telemetry.dependencies)
    worker = deliver = None
    if held is not None:
        sessions = Sessions(base.platform, outbox, dead_letters, lease.confirm, base.runs)
        functions, deliver = await open_pipeline(stack, base, sessions, spool, worker_id)
        worker = _make_worker(base, held, functions, spool)
    queue = JobQueue(redis, _limits(settings))
    reconciler = Reconciler(redis, base.platform, queue, outbox, spool, events, deliver)
    consumer = None
    if consumer_redis is not None:
        consumer = Consumer(redis, consumer_redis, queue, dead_letters, worker, events)
    status = make_status_reader(settings, redis, own=reporter, pose_pool=base.pose_pool)
    incidents = IncidentKeeper(redis, status, reporter, lease)
    return JobSide(lease, reconciler, status, incidents, worker, consumer, last_days)


def _open_keeper(stack: AsyncExitStack, redis_url: str, worker_id: str) -> LeaseKeeper:
    """Keeps the lease of a process that runs jobs while its loop stands still."""
    keeper = LeaseKeeper(Kept(redis_url, worker_id, os.getpid(), LEASE_S, HEARTBEAT_S))
    stack.callback(keeper.close)
    return keeper


def _limits(settings: Settings) -> Limits:
    return Limits(settings.store_concurrency, settings.store_daily_limit, settings.b2c_weight, settings.store_weights)


def _make_worker(base: Base, held: HeldJobs, functions: Mapping[str, JobFunction], spool: Spool) -> JobWorker:
    telemetry = base.telemetry
    worker = JobWorker(
        base.redis,
        held,
        functions,
        slots=base.settings.worker_concurrency,
        job_timeout_s=job_timeout_s(base.settings),
        deadline_s=base.settings.generation_deadline_s,
        must_keep=spool.holds_alone,
        events=base.events,
        tracing=telemetry.tracing,
        dependencies=telemetry.dependencies,
        limits=_limits(base.settings),
    )
    telemetry.metrics.slots.set(worker.slots)
    telemetry.metrics.in_flight.set_function(lambda: worker.running)
    return worker


def _make_reporter(
    base: Base,
    supervisor: Supervisor,
    worker_id: str,
    capacity: int,
    last_days: LastDays | None,
    budget: Budget | None,
) -> Reporter:
    """What this process reports with every heartbeat, and to its own status."""
    telemetry = base.telemetry
    return Reporter(
        worker_id,
        base.live_view,
        capacity,
        components=lambda: supervisor.components,
        refusals=lambda: telemetry.dependencies.refusals,
        last_refused=lambda: telemetry.dependencies.last_refused,
        answered_again=lambda: telemetry.dependencies.answered_again,
        take_ended=telemetry.dependencies.take_ended,
        last_days=lambda: last_days.known if last_days else {},
        take_longest_lag=telemetry.loop_watch.take_longest,
        silent_s=telemetry.redis_health.silent_s,
        budget=budget,
    )


def make_api_services(base: Base, status: StatusReader, public_url: str) -> "ApiServices":
    """What the routes of the API depend on. The process must have a pose pool."""
    # Here: FastAPI is a third of the time that a command starts in.
    from wearon.api.dependencies import ApiServices
    from wearon.app.shops import make_shops

    settings, redis, platform = base.settings, base.redis, base.platform
    assert base.pose_pool is not None
    local = platform if isinstance(platform, LocalPlatform) else None
    from_console = recorded_events(settings, redis, "console")
    sessions, search = make_sessions(settings, redis, platform, status)
    outbox = RefundOutbox(redis, platform, from_console, base.telemetry.tracing)
    audit_log = make_audit_log(settings, redis)
    return ApiServices(
        mode=settings.wearon_mode.value,
        fetcher=base.fetcher,
        pose_pool=base.pose_pool,
        status=status,
        wait_for_change=base.live_view.wait_for_change,
        sessions=sessions,
        search=search,
        dead_letters=DeadLetterActions(DeadLetters(redis, from_console), platform, audit_log),
        refunds=RefundActions(outbox, audit_log),
        cancellations=Cancellations(redis, platform, outbox, audit_log),
        pauses=PauseActions(Pauses(redis), audit_log),
        audit_log=audit_log,
        shops=make_shops(settings, redis, audit_log),
        picture_origin=public_url if local else str(settings.supabase_origin),
        metrics=base.telemetry.metrics,
        tracing=base.telemetry.tracing,
        local_platform=local,
        producer=LocalProducer(local, redis) if local else None,
    )
