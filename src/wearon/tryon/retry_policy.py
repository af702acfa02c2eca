"""What follows from an error: Retry, or Fail. Pure rules; the pipeline acts on the decision.

    about the pictures or the prompt     moderation, a picture that cannot be used: Fail
    about this one session               its row refuses what we write (`About.SESSION`): Fail
    about us or what lies between        an outage, or a lack of memory, processes or descriptors: Retry
        not paid yet                     until the shopper's deadline; then Fail, with one refund
        paid for                         for as long as it takes: the picture waits in the spool

There is one deadline, the same for an outage and for a refusal: `RetryPolicy.deadline_s` after the first attempt.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import RedisError

from wearon.platform.base import About, BucketRefused, PlatformError, PlatformRefused
from wearon.processes.child import ProcessFailed
from wearon.queue.jobs import Attempt, Retry
from wearon.resources.shortage import is_shortage
from wearon.tryon.image_model import (
    GenerationError,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    QuotaExhausted,
    RateLimited,
    ServiceUnavailable,
)
from wearon.tryon.input_images import InputImageError

MODERATION_MESSAGE = (
    "Your image was flagged by the safety filter. Please use different images that comply with content guidelines."
)
INTERNAL_MESSAGE = "Internal error during generation"
CANCELLED_MESSAGE = "Cancelled"
"""What the shopper reads (the contract's words)."""

STORE_LIMIT_MESSAGE = "This store has reached its limit of try-ons for today. Please try again tomorrow."

SHOPPER_MESSAGES = frozenset({MODERATION_MESSAGE, INTERNAL_MESSAGE, CANCELLED_MESSAGE, STORE_LIMIT_MESSAGE})
"""All that we write into sessions that we fail: by these words the audit knows them from those that others failed."""

OUTAGE_PAUSE_S = 5.0
"""Before a job looks again for a platform or a Redis that was away: work goes on within 10 s of its return."""

REFUSED_PAUSE_S = (4.0, 8.0)
"""Before a job asks the image model again that refused our key or did not answer: drawn evenly, so that the jobs do not
come back together, and short enough for work to go on within 10 s of its return."""

MINUTE_PAUSE_S = (61.0, 66.0)
"""After a 429 that did not say how long to wait: the limits are those of a minute."""


class Refused(StrEnum):
    """What may be refused to the whole fleet until an operator acts: then the fleet pauses itself."""

    KEY = "key"
    QUOTA = "quota"
    MODEL = "model"
    """None of the configured image models can be used."""
    BUCKET = "bucket"

    @classmethod
    def by(cls, error: BaseException) -> "Refused | None":
        """What the error shows to be refused; None: it is about something else."""
        return next((refused for refused, (kind, _) in _REFUSALS.items() if isinstance(error, kind)), None)

    @property
    def words(self) -> str:
        """A clause for operators."""
        return _REFUSALS[self][1]


_REFUSALS: Mapping[Refused, tuple[type[Exception], str]] = {
    Refused.KEY: (KeyRejected, "OpenAI refuses our key"),
    Refused.QUOTA: (QuotaExhausted, "OpenAI has no money left to our account"),
    Refused.MODEL: (ModelUnavailable, "no image model can be used"),
    Refused.BUCKET: (BucketRefused, "Supabase's bucket takes no pictures"),
}


class PausedTooLong(Exception):
    """The job's tenant, or the fleet, is paused, and the job has begun too long ago to wait for the end of it."""


class DiedTooOften(Exception):
    """The worker has died again and again while it had this job: the job is probably the cause."""


class Reason(StrEnum):
    """Why an attempt did not complete: a closed list, for counting."""

    MODERATION = "moderation"
    RATE_LIMIT = "rate_limit"
    PICTURE = "picture"
    """An input picture cannot be fetched or used."""
    OPENAI = "openai"
    PLATFORM = "platform"
    """Supabase or Redis."""
    DEADLINE = "deadline"
    TASK = "task"
    """The document was no task."""
    STORE_LIMIT = "store_limit"
    """The store has had its tasks for the day."""
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
    (InputImageError, Reason.PICTURE),
    (PlatformError, Reason.PLATFORM),
    (RedisError, Reason.PLATFORM),
    (DiedTooOften, Reason.CRASHES),
    (TimeoutError, Reason.DEADLINE),
    (PausedTooLong, Reason.DEADLINE),
)
"""The first that fits."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The decision to fail the session: `message` for the shopper, `reason` for the operator."""

    message: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a job is worth trying."""

    max_rate_limited: int
    """Retries after a 429 (`OPENAI_MAX_RETRIES`)."""
    deadline_s: float
    """From the first attempt; the platform's cron gives up on a b2c session after 10 minutes."""

    def decide(self, error: BaseException, attempt: Attempt, *, paid: bool = False) -> Retry | Fail:
        """What follows from the `error` with which an attempt ended. `paid`: its picture or answer is in the spool."""
        match error:
            case Moderated():
                return Fail(MODERATION_MESSAGE, f"moderation: {error.reason}")
            case RateLimited():
                return self._after_rate_limit(error, attempt)
            case GenerationError():
                return self._after_refusal(error, attempt)
            case PlatformRefused(about=About.SESSION):
                return Fail(INTERNAL_MESSAGE, f"{type(error).__name__}: {error}")
            case _ if _is_outage(error):
                return self._after_outage(error, attempt, paid=paid)
            case InputImageError():
                return Fail(INTERNAL_MESSAGE, f"picture: {error}")
            case DiedTooOften() | PausedTooLong():
                return Fail(INTERNAL_MESSAGE, str(error))
            case TimeoutError() if paid:
                return Retry(OUTAGE_PAUSE_S)  # the answer is here, only the picture in it is not
            case TimeoutError():
                return Fail(INTERNAL_MESSAGE, "the generation took longer than its deadline")
            case _:
                return Fail(INTERNAL_MESSAGE, f"{type(error).__name__}: {error}")

    def _after_refusal(self, error: GenerationError, attempt: Attempt) -> Retry | Fail:
        """What is about us or about the service passes. What may be paid has had all the requests that it may cost."""
        passes = isinstance(error, KeyRejected | QuotaExhausted | ModelUnavailable) or (
            isinstance(error, ServiceUnavailable) and not error.may_be_paid
        )
        delay_s = random.uniform(*REFUSED_PAUSE_S)  # noqa: S311
        if passes and attempt.age_s + delay_s < self.deadline_s:
            return Retry(delay_s, unanswered=error.unanswered)
        return Fail(INTERNAL_MESSAGE, f"{type(error).__name__}: {error.reason}")

    def _after_outage(self, error: BaseException, attempt: Attempt, *, paid: bool) -> Retry | Fail:
        """Retry an outage until the deadline: it is the fault of neither the shopper nor the picture."""
        if paid or attempt.age_s + OUTAGE_PAUSE_S < self.deadline_s:
            return Retry(OUTAGE_PAUSE_S)
        what = "picture" if isinstance(error, InputImageError) else type(error).__name__
        return Fail(INTERNAL_MESSAGE, f"past the deadline: {what}: {error}")

    def _after_rate_limit(self, error: RateLimited, attempt: Attempt) -> Retry | Fail:
        if attempt.rate_limited >= self.max_rate_limited:
            return Fail(INTERNAL_MESSAGE, f"rate limited {attempt.rate_limited + 1} times: {error.reason}")
        if error.retry_after_s is not None:
            # A little later than asked, and not all jobs at once.
            delay_s = error.retry_after_s + random.uniform(0.05, 0.5)  # noqa: S311
        else:
            delay_s = random.uniform(*MINUTE_PAUSE_S)  # noqa: S311
        if attempt.age_s + delay_s > self.deadline_s:
            return Fail(INTERNAL_MESSAGE, f"rate limited past the deadline: {error.reason}")
        return Retry(delay_s, rate_limited=True, unanswered=error.unanswered)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, InputImageError):
        return error.again_later
    return isinstance(error, PlatformError | RedisError | ProcessFailed) or is_shortage(error)
