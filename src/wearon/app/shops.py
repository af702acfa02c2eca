"""What shops keep here and tell us: charts and feedback, for the routes of the API."""

from redis.asyncio import Redis

from wearon.api.dependencies import Shops
from wearon.api.feedback import A_SECOND, AT_ONCE
from wearon.feedback.estimate_id import EstimateIds
from wearon.feedback.store import FeedbackStore
from wearon.local.platform import SIGNING_KEY
from wearon.local.signed_folder import load_or_create_key
from wearon.queue.audit_log import AuditLog
from wearon.redis.allowance import Allowance
from wearon.settings import Mode, Settings
from wearon.shop_charts.cache import ChartCache
from wearon.shop_charts.store import ChartStore


def make_shops(settings: Settings, redis: Redis, audit_log: AuditLog) -> Shops:
    """Nothing of it asks Redis before a request does."""
    charts = ChartStore(redis, audit_log)
    return Shops(
        charts=charts,
        chart_cache=ChartCache(charts),
        estimate_ids=EstimateIds(_secret(settings)),
        feedback=FeedbackStore(redis),
        feedback_allowance=Allowance(A_SECOND, AT_ONCE),
    )


def _secret(settings: Settings) -> bytes:
    """A secret that only the fleet's processes have: production's key, or that of local mode's folder."""
    key = settings.supabase_service_role_key
    if settings.wearon_mode is Mode.PRODUCTION and key is not None:
        return key.get_secret_value().encode()
    return load_or_create_key(settings.wearon_home / SIGNING_KEY)
