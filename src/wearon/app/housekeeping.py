"""What a process does beside its jobs, when it moves tasks: lease, orphans, audit, retention, incidents, models."""

from typing import TYPE_CHECKING

from redis.asyncio import Redis

from wearon.app.base import Base
from wearon.app.readers import operators_outbox
from wearon.operations.audit.auditor import Auditor
from wearon.operations.retention.sweeper import Sweeper
from wearon.platform.base import Platform
from wearon.settings import Settings
from wearon.supervisor import Supervisor

if TYPE_CHECKING:
    from wearon.app.wiring import JobSide


def make_auditor(settings: Settings, redis: Redis, platform: Platform) -> Auditor:
    """Audits the books, and repairs them when it is asked to."""
    outbox = operators_outbox(settings, redis, platform)
    return Auditor(redis, platform, outbox, history_hours=settings.journal_hours)


def start_housekeeping(supervisor: Supervisor, base: Base, jobs: "JobSide") -> None:
    """Start all of it that the settings ask for."""
    settings, redis, platform = base.settings, base.redis, base.platform
    supervisor.start("lease", jobs.lease.run)
    supervisor.start("housekeeping", jobs.reconciler.run)
    supervisor.start("audit", make_auditor(settings, redis, platform).run, needed=False)
    if settings.retention_hours is not None:
        sweeper = Sweeper(redis, platform, base.telemetry.metrics, hours=settings.retention_hours)
        supervisor.start("retention", sweeper.run, needed=False)
    supervisor.start("incidents", jobs.incidents.run, needed=False)
    if jobs.last_days is not None:
        supervisor.start("image_models", jobs.last_days.run, needed=False)
