"""What the routes depend on: made once when the process starts, and handed to each route that names `Services`."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from wearon.api.roles import Role
from wearon.feedback.estimate_id import EstimateIds
from wearon.feedback.store import FeedbackStore
from wearon.local.platform import LocalPlatform
from wearon.local.producer import LocalProducer
from wearon.metrics import Metrics
from wearon.net.fetch import PictureFetcher
from wearon.observability.tracing import Tracing
from wearon.operations.actions.cancel import Cancellations
from wearon.operations.actions.dead_letters import DeadLetterActions
from wearon.operations.actions.pause import PauseActions
from wearon.operations.actions.refunds import RefundActions
from wearon.operations.session_history import SessionHistories
from wearon.operations.session_search import SessionSearch
from wearon.operations.status import StatusReader
from wearon.pose.pool import PosePool
from wearon.queue.audit_log import Actor, AuditLog
from wearon.redis.allowance import Allowance
from wearon.shop_charts.cache import ChartCache
from wearon.shop_charts.store import ChartStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Shops:
    """What shops keep here and tell us."""

    charts: ChartStore
    chart_cache: ChartCache
    """What estimates ask for charts."""
    estimate_ids: EstimateIds
    feedback: FeedbackStore
    feedback_allowance: Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """Everything that a route may use, in one place."""

    mode: str
    fetcher: PictureFetcher
    pose_pool: PosePool
    status: StatusReader
    wait_for_change: Callable[[], Coroutine[Any, Any, None]]
    """Returns when the state of this process has changed."""
    sessions: SessionHistories
    search: SessionSearch
    dead_letters: DeadLetterActions
    refunds: RefundActions
    cancellations: Cancellations
    pauses: PauseActions
    audit_log: AuditLog
    shops: Shops
    picture_origin: str
    """scheme://host[:port] of signed pictures: the only foreign host whose pictures the console's page may show."""
    metrics: Metrics
    tracing: Tracing
    local_platform: LocalPlatform | None = None
    """Local mode only: it serves the pictures behind signed URLs."""
    producer: LocalProducer | None = None
    """Local mode only: it makes the try-on studio's tasks."""


# What FastAPI is handed as plain functions it calls in threads, in no certain order: these only look something up.


async def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


Services = Annotated[ApiServices, Depends(_services)]


async def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


TheActor = Annotated[Actor, Depends(_actor)]
"""Who calls a route that is for operators, for the audit log: its guard has looked."""


async def _role(request: Request) -> Role:
    role: Role = request.state.role
    return role


TheRole = Annotated[Role, Depends(_role)]
"""Of who calls a route of the console: its guard has looked (`wearon.api.console.access`)."""
