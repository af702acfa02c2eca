"""The cause of an attempt that did not complete: dependency, kind of error and step, as `supabase.away.upload`.

Incidents are grouped by it, and counted in Redis: every part comes from a closed list.
"""

from redis.exceptions import RedisError

from wearon.platform.base import About, PlatformError, PlatformRefused
from wearon.processes.child import ProcessFailed
from wearon.resources.shortage import is_shortage
from wearon.tryon.image_model import (
    BadAnswer,
    GenerationError,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    QuotaExhausted,
    RateLimited,
    ServiceUnavailable,
)
from wearon.tryon.input_images import InputImageError

_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (Moderated, "openai.moderated"),
    (RateLimited, "openai.rate_limited"),
    (QuotaExhausted, "openai.quota_used_up"),
    (KeyRejected, "openai.key_refused"),
    (ModelUnavailable, "openai.no_model"),
    (ServiceUnavailable, "openai.away"),
    (BadAnswer, "openai.bad_answer"),
    (GenerationError, "openai.refused"),
    (PlatformRefused, "supabase.refused"),
    (PlatformError, "supabase.away"),
    (RedisError, "redis.away"),
    (ProcessFailed, "machine.refused"),
)
"""The first that fits."""

EXPECTED = ("openai.moderated.", "pictures.unusable.", "worker.store_limit")
"""How causes begin that are about one shopper's pictures or a store's own limit, and so no incident by themselves."""


def cause_of(error: BaseException, step: str) -> str:
    """The cause of an error that ended an attempt in that step ('': before the first one)."""
    return f"{_origin_of(error)}.{step or 'start'}"


def _origin_of(error: BaseException) -> str:
    if isinstance(error, InputImageError):
        return "supabase.storage_away" if error.again_later else "pictures.unusable"
    if isinstance(error, PlatformRefused) and error.about is About.SESSION:
        return "session.refused"
    if is_shortage(error):
        return "machine.refused"
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "worker.internal")
