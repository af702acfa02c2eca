"""`GET /metrics`: what this process has counted, and the fleet as Redis shows it, for Prometheus.

In production it is there only behind a token (`wearon.api.roles`). A scrape costs one Redis command: the snapshot for
the status, which is remembered for a second. What a process has counted itself costs none.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wearon.api.dependencies import Services
from wearon.api.health import live
from wearon.api.middleware import BearerToken, HeadAsGet
from wearon.api.roles import Access
from wearon.api.token import Tokens
from wearon.metrics import Metrics
from wearon.operations.incidents import KINDS
from wearon.operations.models import FleetStatus, Queues
from wearon.queue.pauses import FLEET, PauseKind
from wearon.supervisor import ComponentState

router = APIRouter()

QUEUES = ("tasks", "taken", "jobs", "running", "dead_letters", "refunds", "refunds_by_hand")
"""Places in Redis that are counted: fields of Queues."""


@router.get("/metrics", include_in_schema=False)
async def metrics(services: Services) -> Response:
    """This process's own metrics, and the status of the fleet."""
    return await _answer(services.metrics, await services.status.read())


def create_metrics_app(metrics: Metrics, access: Access) -> FastAPI:
    """Make the app of a process without the API: its own metrics only, without a Redis command."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/metrics")
    async def own() -> Response:
        return await _answer(metrics, None)

    for path in ("/health/live", "/health/live/"):
        app.get(path)(live)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BearerToken, tokens=Tokens(access, metrics))
    return app


async def _answer(metrics: Metrics, fleet: FleetStatus | None) -> Response:
    # Some 600 lines take 5 to 15 ms, for which the event loop must not stand still.
    text = await asyncio.to_thread(_text, metrics, fleet)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _text(metrics: Metrics, fleet: FleetStatus | None) -> bytes:
    text = generate_latest(metrics.registry)
    return text if fleet is None else text + generate_latest(StatusCollector(fleet))


class StatusCollector(Collector):
    """The status of the fleet as gauges. Every API process shows the same fleet: take the maximum over them."""

    def __init__(self, fleet: FleetStatus) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        yield _gauge("wearon_redis_up", "Whether Redis answers", self._fleet.queues is not None)
        yield from self._incidents()
        yield from self._components()
        yield from self._pose_pool()
        if self._fleet.queues is not None:
            yield from _queues(self._fleet.queues)
            yield from self._pauses()
            yield from self._of_the_fleet()

    def _incidents(self) -> Iterable[Metric]:
        now = Counter(incident.code for incident in self._fleet.incidents)
        gauge = GaugeMetricFamily("wearon_incidents", "Incidents at this moment", labels=["code", "severity"])
        for code, kind in KINDS.items():
            gauge.add_metric([code, kind.severity.value], now[code])
        yield gauge

    def _components(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("wearon_part_up", "Whether a part of this process runs", labels=["part"])
        restarts = CounterMetricFamily("wearon_part_restarts", "How often a part was started again", labels=["part"])
        for component in self._fleet.parts:
            up.add_metric([component.name], float(component.state == ComponentState.RUNNING))
            restarts.add_metric([component.name], component.restarts)
        yield up
        yield restarts

    def _pose_pool(self) -> Iterable[Metric]:
        pool = self._fleet.pose_pool
        if pool is not None:
            yield _gauge("wearon_pose_processes", "Pose processes that there should be", pool.processes)
            yield _gauge("wearon_pose_processes_warm", "Pose processes that can work", pool.warm)
            yield _gauge("wearon_pose_waiting", "Pictures that wait for a pose process", pool.waiting)

    def _pauses(self) -> Iterable[Metric]:
        kinds = GaugeMetricFamily("wearon_paused", "Whether the fleet starts no jobs, by its pause", labels=["kind"])
        of_the_fleet = {pause.kind for pause in self._fleet.pauses if pause.tenant == FLEET}
        for kind in PauseKind:
            kinds.add_metric([kind], float(kind in of_the_fleet))
        yield kinds
        tenants = sum(pause.tenant != FLEET for pause in self._fleet.pauses)
        yield _gauge("wearon_paused_tenants", "Stores, and b2c, whose jobs are not started", tenants)

    def _of_the_fleet(self) -> Iterable[Metric]:
        processes = self._fleet.processes
        yield _gauge("wearon_fleet_processes", "Processes with a lease", len(processes))
        yield _gauge("wearon_fleet_slots", "Jobs that the fleet runs at most", sum(p.capacity for p in processes))
        yield _gauge("wearon_fleet_busy_slots", "Jobs that the fleet runs", sum(p.busy for p in processes))
        yield _gauge(
            "wearon_fleet_event_loop_lag_seconds",
            "How late the latest event loop of the fleet was at most between its last two beats",
            max((process.loop_lag_s for process in processes), default=0.0),
        )
        if self._fleet.spend_today is not None:
            yield _gauge(
                "wearon_fleet_spend_today_dollars",
                "US dollars paid for pictures since midnight UTC",
                float(self._fleet.spend_today.cost_usd),
            )
        if self._fleet.openai is not None:
            yield _gauge(
                "wearon_fleet_rate_limit_next_slot_seconds",
                "How long a request to the image model that came now would wait for the fleet's limit",
                self._fleet.openai.next_slot_in_s,
            )


def _queues(queues: Queues) -> Iterable[Metric]:
    depths = GaugeMetricFamily("wearon_queue_depth", "Entries in Redis, by place", labels=["queue"])
    for queue in QUEUES:
        depths.add_metric([queue], getattr(queues, queue))
    yield depths
    lines = GaugeMetricFamily("wearon_waiting", "Jobs that wait for their tenant's turn", labels=["tenant"])
    for tenant, jobs in queues.longest_lines.items():
        lines.add_metric([tenant], jobs)
    lines.add_metric(["other"], queues.in_lines - sum(queues.longest_lines.values()))
    yield lines
    yield _gauge(
        "wearon_task_oldest_age_seconds",
        "Age of the task that has waited longest, in the producers' list or in its tenant's line",
        queues.oldest_task_s or 0.0,
    )
    yield _gauge(
        "wearon_refund_oldest_age_seconds",
        "Age of the oldest refund that is outstanding; alarm above 30",
        queues.oldest_refund_s or 0.0,
    )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
