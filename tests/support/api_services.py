"""What the API's routes depend on, as far as a test names it."""

from dataclasses import fields
from typing import Any

from redis.asyncio import Redis

from support.job_side import new_audit_log
from wearon.api.dependencies import ApiServices, Shops
from wearon.feedback.estimate_id import EstimateIds
from wearon.feedback.store import FeedbackStore
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.operations.snapshot import SnapshotReader
from wearon.operations.status import StatusReader
from wearon.redis.allowance import Allowance
from wearon.redis.clients import connect
from wearon.shop_charts.cache import ChartCache
from wearon.shop_charts.store import ChartStore


def api_services(**given: Any) -> ApiServices:
    """The given ones; without `redis` that is away, and of everything else there is nothing."""
    names = [field.name for field in fields(ApiServices)]
    nothing: dict[str, Any] = dict.fromkeys(names)
    pool = given.get("pose_pool")
    redis = given.pop("redis", None) or connect("redis://127.0.0.1:1/0", name="nobody-there")
    charts = ChartStore(redis, new_audit_log(redis))
    defaults: dict[str, Any] = {
        "mode": "local",
        "picture_origin": "",
        "metrics": Metrics(),
        "tracing": Tracing(),
        "status": status_reader(redis, pose_pool=pool),
        "shops": Shops(
            charts=charts,
            chart_cache=ChartCache(charts),
            estimate_ids=EstimateIds(b"secret"),
            feedback=FeedbackStore(redis),
            feedback_allowance=given.pop("feedback_allowance", Allowance(5, 50)),
        ),
    }
    return ApiServices(**{**nothing, **defaults, **given})


def status_reader(redis: Redis, **own: Any) -> StatusReader:
    """A reader of that Redis; without `own` it belongs to a command line."""
    return StatusReader(SnapshotReader(redis), **{"mode": "production", "requests_per_minute": 300, **own})
