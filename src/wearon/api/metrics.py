"""`GET /metrics`: what this process has counted, and the fleet as Redis shows it, for Prometheus.

In production it is there only behind `API_TOKEN`. A scrape costs one Redis command: the look that the overview takes
anyway, remembered for a second. What a process has counted itself costs none.
"""

import asyncio
from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wearon.api.middleware import BearerToken, HeadAsGet
from wearon.api.parts import ApiParts
from wearon.api.token import ApiToken
from wearon.metrics import Metrics
from wearon.overview.models import Now, QueuesNow
from wearon.supervisor import PartState

router = APIRouter()

QUEUES = ("tasks", "taken", "jobs", "running", "dead_letters", "refunds", "refunds_by_hand")
"""Places in Redis that are counted: fields of QueuesNow."""


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """This process's own, and the overview of this moment."""
    parts: ApiParts = request.app.state.parts
    now = await parts.overview.now() if parts.overview is not None else None
    return await _answer(parts.metrics, now)


def create_metrics_app(metrics: Metrics, api_token: str | None) -> FastAPI:
    """For a process without the API: nothing but its own metrics, and no Redis command."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/metrics")
    async def own() -> Response:
        return await _answer(metrics, None)

    @app.get("/health/live/")
    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    app.add_middleware(HeadAsGet)
    if api_token:
        app.add_middleware(BearerToken, token=ApiToken(api_token, metrics=metrics))
    return app


async def _answer(metrics: Metrics, now: Now | None) -> Response:
    # Some 600 lines take 5 to 15 ms, which nobody else shall wait for.
    text = await asyncio.to_thread(_text, metrics, now)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _text(metrics: Metrics, now: Now | None) -> bytes:
    text = generate_latest(metrics.registry)
    if now is None:
        return text
    fleet = CollectorRegistry()
    fleet.register(NowCollector(now))
    return text + generate_latest(fleet)


class NowCollector(Collector):
    """The overview of one moment as gauges. Every API process shows the same fleet: take the maximum over them."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        yield _gauge("wearon_redis_up", "Whether Redis answers", self._now.queues is not None)
        yield from self._parts()
        yield from self._pose_pool()
        if self._now.queues is not None:
            yield from _queues(self._now.queues)
            yield from self._fleet()

    def _parts(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("wearon_part_up", "Whether a part of this process runs", labels=["part"])
        restarts = CounterMetricFamily("wearon_part_restarts", "How often a part was started again", labels=["part"])
        for part in self._now.parts:
            up.add_metric([part.name], float(part.state == PartState.RUNNING))
            restarts.add_metric([part.name], part.restarts)
        yield up
        yield restarts

    def _pose_pool(self) -> Iterable[Metric]:
        pool = self._now.pose_pool
        if pool is not None:
            yield _gauge("wearon_pose_processes", "Pose processes that there should be", pool.processes)
            yield _gauge("wearon_pose_processes_warm", "Pose processes that can work", pool.warm)
            yield _gauge("wearon_pose_waiting", "Pictures that wait for a pose process", pool.waiting)

    def _fleet(self) -> Iterable[Metric]:
        processes = self._now.processes
        yield _gauge("wearon_fleet_processes", "Processes with a lease", len(processes))
        yield _gauge("wearon_fleet_slots", "Jobs that the fleet runs at most", sum(p.capacity for p in processes))
        yield _gauge("wearon_fleet_busy_slots", "Jobs that the fleet runs", sum(p.busy for p in processes))
        yield _gauge(
            "wearon_fleet_event_loop_lag_seconds",
            "How late the latest event loop of the fleet was at most between its last two beats",
            max((process.loop_lag_s for process in processes), default=0.0),
        )
        if self._now.spend_today is not None:
            yield _gauge(
                "wearon_fleet_spend_today_dollars",
                "US dollars paid for pictures since midnight UTC",
                float(self._now.spend_today.cost_usd),
            )
        if self._now.openai is not None:
            yield _gauge(
                "wearon_fleet_rate_limit_next_slot_seconds",
                "How long a request to the image model that came now would wait for the fleet's limit",
                self._now.openai.next_slot_in_s,
            )


def _queues(queues: QueuesNow) -> Iterable[Metric]:
    depths = GaugeMetricFamily("wearon_queue_depth", "Entries in Redis, by place", labels=["queue"])
    for queue in QUEUES:
        depths.add_metric([queue], getattr(queues, queue))
    yield depths
    yield _gauge(
        "wearon_task_oldest_age_seconds",
        "Age of the task that is taken next from the producers' list",
        queues.oldest_task_s or 0.0,
    )
    yield _gauge(
        "wearon_refund_oldest_age_seconds",
        "Age of the oldest credit that is still to be given back; alarm above 30",
        queues.oldest_refund_s or 0.0,
    )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
