"""What a failed run means: run again later, or the end. One pure function; the pipeline acts on its answer.

    about the pictures or the prompt     moderation, a picture that cannot be used: the end
    about this one session               its row refuses what we write (`About.SESSION`): the end
    about us or what lies between        an outage, or a lack of memory, processes or descriptors: put back
        not paid yet                     until the shopper's deadline; then the end, with one refund
        paid for                         for as long as it takes: the picture waits in the spool

There is one deadline, the same for an outage and for a refusal: `Patience.deadline_s` after the first start.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import RedisError

from wearon.child_process import ProcessFailed
from wearon.platform.base import About, PlatformError, PlatformRefused
from wearon.shortage import is_shortage
from wearon.tryon.generator import (
    GenerationError,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    RateLimited,
    ServiceUnavailable,
)
from wearon.tryon.job_queue import Attempt, PutBack
from wearon.tryon.photos import PhotoError

MODERATION_MESSAGE = (
    "Your image was flagged by the safety filter. Please use different images that comply with content guidelines."
)
INTERNAL_MESSAGE = "Internal error during generation"
"""What the shopper reads (the contract's words)."""

OUTAGE_PAUSE_S = 5.0
"""Before a job looks again for a platform or a Redis that was away: work goes on within 10 s of its return."""

REFUSED_PAUSE_S = (4.0, 8.0)
"""Before a job asks the image model again that refused our key or did not answer: drawn evenly, so that the jobs do not
come back together, and short enough for work to go on within 10 s of its return."""

MINUTE_PAUSE_S = (61.0, 66.0)
"""After a 429 that did not say how long to wait: the limits are those of a minute."""


class DiedTooOften(Exception):
    """The worker has died again and again while it had this job, so it is taken for the cause."""


class Reason(StrEnum):
    """Why a run did not complete: a closed list, for counting."""

    MODERATION = "moderation"
    RATE_LIMIT = "rate_limit"
    PICTURE = "picture"
    """An input picture cannot be had or used."""
    OPENAI = "openai"
    PLATFORM = "platform"
    """Supabase or Redis."""
    DEADLINE = "deadline"
    TASK = "task"
    """The document was no task."""
    CRASHES = "crashes"
    INTERNAL = "internal"

    @classmethod
    def of(cls, error: BaseException) -> "Reason":
        """The reason that an error stands for."""
        return next((reason for kind, reason in _REASONS if isinstance(error, kind)), cls.INTERNAL)


_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (Moderated, Reason.MODERATION),
    (RateLimited, Reason.RATE_LIMIT),
    (GenerationError, Reason.OPENAI),
    (PhotoError, Reason.PICTURE),
    (PlatformError, Reason.PLATFORM),
    (RedisError, Reason.PLATFORM),
    (DiedTooOften, Reason.CRASHES),
    (TimeoutError, Reason.DEADLINE),
)
"""The first that fits."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The session fails: `message` for the shopper, `reason` for the operator."""

    message: str
    reason: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job is worth trying."""

    max_rate_limited: int
    """Times a job is put back for a 429 (`OPENAI_MAX_RETRIES`)."""
    deadline_s: float
    """From the first start; the platform's cron gives up on a b2c session after 10 minutes."""


def judge(error: BaseException, attempt: Attempt, patience: Patience, *, paid: bool = False) -> PutBack | GiveUp:
    """Decide what becomes of a job whose run ended with `error`. `paid`: its picture or answer is in the spool."""
    match error:
        case Moderated():
            return GiveUp(MODERATION_MESSAGE, f"moderation: {error.reason}")
        case RateLimited():
            return _after_rate_limit(error, attempt, patience)
        case GenerationError():
            return _after_refusal(error, attempt, patience)
        case PlatformRefused(about=About.SESSION):
            return GiveUp(INTERNAL_MESSAGE, f"{type(error).__name__}: {error}")
        case _ if _is_outage(error):
            return _after_outage(error, attempt, patience, paid=paid)
        case PhotoError():
            return GiveUp(INTERNAL_MESSAGE, f"picture: {error}")
        case DiedTooOften():
            return GiveUp(INTERNAL_MESSAGE, str(error))
        case TimeoutError() if paid:
            return PutBack(OUTAGE_PAUSE_S)  # the answer is here, only the picture in it is not
        case TimeoutError():
            return GiveUp(INTERNAL_MESSAGE, "the generation took longer than its deadline")
        case _:
            return GiveUp(INTERNAL_MESSAGE, f"{type(error).__name__}: {error}")


def _after_refusal(error: GenerationError, attempt: Attempt, patience: Patience) -> PutBack | GiveUp:
    """What is about us or about the service passes. What may be paid has had all the requests that it may cost."""
    passes = isinstance(error, KeyRejected | ModelUnavailable) or (
        isinstance(error, ServiceUnavailable) and not error.may_be_paid
    )
    delay_s = random.uniform(*REFUSED_PAUSE_S)  # noqa: S311
    if passes and attempt.age_s + delay_s < patience.deadline_s:
        return PutBack(delay_s)
    return GiveUp(INTERNAL_MESSAGE, f"{type(error).__name__}: {error.reason}")


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, PhotoError):
        return error.again_later
    return isinstance(error, PlatformError | RedisError | ProcessFailed) or is_shortage(error)


def _after_outage(error: BaseException, attempt: Attempt, patience: Patience, *, paid: bool) -> PutBack | GiveUp:
    """Not the shopper's fault and not the picture's."""
    if paid or attempt.age_s + OUTAGE_PAUSE_S < patience.deadline_s:
        return PutBack(OUTAGE_PAUSE_S)
    what = "picture" if isinstance(error, PhotoError) else type(error).__name__
    return GiveUp(INTERNAL_MESSAGE, f"past the deadline: {what}: {error}")


def _after_rate_limit(error: RateLimited, attempt: Attempt, patience: Patience) -> PutBack | GiveUp:
    if attempt.rate_limited >= patience.max_rate_limited:
        return GiveUp(INTERNAL_MESSAGE, f"rate limited {attempt.rate_limited + 1} times: {error.reason}")
    if error.retry_after_s is not None:
        # A little later than asked, and not all jobs at once.
        delay_s = error.retry_after_s + random.uniform(0.05, 0.5)  # noqa: S311
    else:
        delay_s = random.uniform(*MINUTE_PAUSE_S)  # noqa: S311
    if attempt.age_s + delay_s > patience.deadline_s:
        return GiveUp(INTERNAL_MESSAGE, f"rate limited past the deadline: {error.reason}")
    return PutBack(delay_s, rate_limited=True)
