"""`GET /metrics`: what `/health` counts, in Prometheus' form, so that late money can raise an alarm.

In production it is there only behind `API_TOKEN`.
"""

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wearon.api.health import HealthReport
from wearon.api.parts import ApiParts
from wearon.supervisor import PartState

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The report of this moment as gauges."""
    parts: ApiParts = request.app.state.parts
    registry = CollectorRegistry()
    registry.register(ReportCollector(await parts.health.report()))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class ReportCollector(Collector):
    """One report as metrics."""

    def __init__(self, report: HealthReport) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        report = self._report
        yield _gauge("wearon_redis_up", "Whether Redis answers", report.redis_connected)
        parts = GaugeMetricFamily("wearon_part_up", "Whether a part of this process runs", labels=["part"])
        for name, part in report.parts.items():
            parts.add_metric([name], float(part.state is PartState.RUNNING))
        yield parts
        if report.queues is None:
            return
        depths = GaugeMetricFamily("wearon_queue_depth", "Entries in Redis, by place", labels=["queue"])
        for queue in ("tasks", "taken", "jobs", "dead_letters", "refunds", "refunds_by_hand"):
            depths.add_metric([queue], getattr(report.queues, queue))
        yield depths
        yield _gauge(
            "wearon_refund_oldest_age_seconds",
            "Age of the oldest credit that is still to be given back; alarm above 30",
            report.queues.oldest_refund_s or 0.0,
        )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
