"""Makes the auditor of the books, for processes that move tasks and for `wearon audit`."""

from redis.asyncio import Redis

from wearon.app.readers import make_history_store
from wearon.events import Events
from wearon.observability.tracing import Tracing
from wearon.operations.audit.auditor import Auditor
from wearon.platform.base import Platform
from wearon.refunds.outbox import RefundOutbox
from wearon.settings import Settings


def make_auditor(settings: Settings, redis: Redis, platform: Platform) -> Auditor:
    """Audits, and repairs when it is asked to."""
    events = Events()
    make_history_store(settings, redis, "operator").subscribe(events)
    outbox = RefundOutbox(redis, platform, events, Tracing())
    return Auditor(redis, platform, outbox, history_hours=settings.journal_hours)
