"""Makes what deletes old pictures, for processes that move tasks and for `wearon retention`."""

from redis.asyncio import Redis

from wearon.metrics import Metrics
from wearon.operations.retention.sweeper import Sweeper
from wearon.platform.base import Platform
from wearon.settings import Settings
from wearon.supervisor import Supervisor


def start_retention(
    supervisor: Supervisor, settings: Settings, redis: Redis, platform: Platform, metrics: Metrics
) -> None:
    """Delete old pictures in this process, if that is wanted."""
    if settings.retention_hours is not None:
        sweeper = Sweeper(redis, platform, metrics, hours=settings.retention_hours)
        supervisor.start("retention", sweeper.run, needed=False)
