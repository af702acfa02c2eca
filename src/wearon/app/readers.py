"""What people read: the status of the fleet, the histories of sessions, and their list."""

from redis.asyncio import Redis

from wearon.events import Events
from wearon.observability.redaction import Redaction
from wearon.observability.tracing import Tracing
from wearon.operations.history import HistoryStore
from wearon.operations.report import Reporter
from wearon.operations.session_history import SessionHistories
from wearon.operations.session_index import SessionIndex
from wearon.operations.session_search import SessionSearch
from wearon.operations.snapshot import SnapshotReader
from wearon.operations.status import StatusReader
from wearon.operations.waiting_sessions import WaitingSessions
from wearon.platform.base import Platform
from wearon.pose.pool import PosePool
from wearon.queue.audit_log import AuditLog
from wearon.refunds.outbox import RefundOutbox
from wearon.settings import Settings


def make_history_store(settings: Settings, redis: Redis, worker_id: str = "") -> HistoryStore:
    """The histories of the sessions; `worker_id` is named in what is written."""
    return HistoryStore(redis, worker_id, kept_hours=settings.journal_hours, redaction=Redaction(settings.secrets))


def recorded_events(settings: Settings, redis: Redis, writer: str) -> Events:
    """Events that go to the histories of the sessions; `writer` is named there."""
    events = Events()
    make_history_store(settings, redis, writer).subscribe(events)
    return events


def operators_outbox(settings: Settings, redis: Redis, platform: Platform) -> RefundOutbox:
    """The refund outbox for what operators do, which stands in the histories of the sessions."""
    return RefundOutbox(redis, platform, recorded_events(settings, redis, "operator"), Tracing())


def make_audit_log(settings: Settings, redis: Redis) -> AuditLog:
    """What operators did: read, and added to."""
    return AuditLog(redis, Redaction(settings.secrets))


def make_status_reader(
    settings: Settings, redis: Redis, *, own: Reporter | None = None, pose_pool: PosePool | None = None
) -> StatusReader:
    """Reads the status of the fleet; without `own` for a process that does no work itself."""
    return StatusReader(
        SnapshotReader(redis),
        mode=settings.wearon_mode.value,
        requests_per_minute=settings.openai_requests_per_minute,
        own=own,
        pose_pool=pose_pool,
    )


def make_sessions(
    settings: Settings, redis: Redis, platform: Platform, status: StatusReader
) -> tuple[SessionHistories, SessionSearch]:
    """Reads the histories of sessions, and lists sessions; `status` knows which are running."""
    store = make_history_store(settings, redis)
    histories = SessionHistories(redis, platform, store, Redaction(settings.secrets), status)
    return histories, SessionSearch(SessionIndex(redis), WaitingSessions(redis), histories, status)
