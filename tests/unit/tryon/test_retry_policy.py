"""What becomes of a job, for everything that can go wrong with it."""

import time
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from wearon.platform.base import PlatformRefused, PlatformUnavailable, SessionUnreadable
from wearon.processes.child import ProcessDied
from wearon.queue.jobs import Attempt, Retry
from wearon.tryon import retry_policy
from wearon.tryon.image_model import (
    GenerationError,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    NotAsked,
    QuotaExhausted,
    RateLimited,
    ServiceUnavailable,
)
from wearon.tryon.input_images import InputImageError
from wearon.tryon.retry_policy import (
    INTERNAL_MESSAGE,
    MINUTE_PAUSE_S,
    MODERATION_MESSAGE,
    OUTAGE_PAUSE_S,
    REFUSED_PAUSE_S,
    Fail,
    RetryPolicy,
)

POLICY = RetryPolicy(max_rate_limited=3, deadline_s=500.0)


def attempt(*, age_s: float = 0.0, rate_limited: int = 0) -> Attempt:
    return Attempt(first_started_at=time.time() - age_s, rate_limited=rate_limited)


def subclasses(base: type[GenerationError]) -> Iterator[type[GenerationError]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


PASSING = [KeyRejected, QuotaExhausted, ModelUnavailable, ServiceUnavailable, NotAsked]
FINAL = [
    GenerationError,
    *(found for found in subclasses(GenerationError) if found not in {Moderated, RateLimited, *PASSING}),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: error.__name__)
def test_what_is_about_the_request_or_paid_is_the_end(error: type[GenerationError]) -> None:
    verdict = POLICY.decide(error("because"), attempt())
    assert verdict == Fail(INTERNAL_MESSAGE, f"{error.__name__}: because")


def test_the_tree_of_generation_errors_is_walked_and_not_empty() -> None:
    assert len(FINAL) >= 3


@pytest.mark.parametrize("error", PASSING, ids=lambda error: error.__name__)
def test_a_refusal_about_us_fails_nobody_until_the_shoppers_deadline(error: type[GenerationError]) -> None:
    for age_s in (0.0, 490.0):
        verdicts = [POLICY.decide(error("because"), attempt(age_s=age_s)) for _ in range(20)]
        shortest_s, longest_s = REFUSED_PAUSE_S
        assert all(isinstance(verdict, Retry) and not verdict.rate_limited for verdict in verdicts)
        assert all(shortest_s <= verdict.delay_s <= longest_s for verdict in verdicts if isinstance(verdict, Retry))
        assert len(set(verdicts)) > 10
    assert POLICY.decide(error("because"), attempt(age_s=499)) == Fail(INTERNAL_MESSAGE, f"{error.__name__}: because")


def test_a_request_that_may_have_been_paid_is_not_sent_for_ever() -> None:
    assert isinstance(POLICY.decide(ServiceUnavailable("reset", may_be_paid=True), attempt()), Fail)


@pytest.mark.parametrize("error", [NotAsked("away"), ServiceUnavailable("503"), RateLimited("429", 1.0)], ids=repr)
def test_what_may_be_paid_already_is_remembered_for_the_next_run(error: GenerationError) -> None:
    error.unanswered = 3
    verdict = POLICY.decide(error, attempt())
    assert isinstance(verdict, Retry)
    assert verdict.unanswered == 3


def test_a_moderated_shopper_is_told_so() -> None:
    verdict = POLICY.decide(Moderated("safety: violence"), attempt())
    assert verdict == Fail(MODERATION_MESSAGE, "moderation: safety: violence")
    assert MODERATION_MESSAGE == (
        "Your image was flagged by the safety filter. Please use different images that comply with content guidelines."
    )


OUTAGES = [
    PlatformUnavailable("away"),
    PlatformRefused("no right"),
    RedisConnectionError("away"),
    RedisTimeoutError("slow"),
    RedisError("odd"),
    InputImageError("person: could not connect", again_later=True),
    ProcessDied("its process died (exit code -9)"),
    MemoryError(),
    OSError(24, "Too many open files"),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
class TestOutages:
    @pytest.mark.parametrize("age_s", [0.0, 494.0])
    def test_nobody_fails_before_the_shoppers_deadline(self, error: Exception, age_s: float) -> None:
        assert POLICY.decide(error, attempt(age_s=age_s)) == Retry(OUTAGE_PAUSE_S)

    @pytest.mark.parametrize("age_s", [496.0, 1_000_000.0])
    def test_beyond_it_what_is_not_paid_for_fails(self, error: Exception, age_s: float) -> None:
        verdict = POLICY.decide(error, attempt(age_s=age_s))
        assert isinstance(verdict, Fail)
        assert verdict.message == INTERNAL_MESSAGE
        assert verdict.reason.startswith("past the deadline: ")
        assert verdict.reason.endswith(str(error))

    @pytest.mark.parametrize("age_s", [0.0, 499.0, 1_000_000.0])
    def test_what_is_paid_for_waits_for_as_long_as_it_takes(self, error: Exception, age_s: float) -> None:
        assert POLICY.decide(error, attempt(age_s=age_s), paid=True) == Retry(OUTAGE_PAUSE_S)

    def test_a_job_that_was_never_started_has_no_age(self, error: Exception) -> None:
        assert POLICY.decide(error, Attempt(first_started_at=0)) == Retry(OUTAGE_PAUSE_S)


def test_a_paid_answer_is_not_given_up_because_reading_it_took_too_long() -> None:
    assert POLICY.decide(TimeoutError(), attempt(), paid=True) == Retry(OUTAGE_PAUSE_S)


def test_a_picture_that_cannot_be_used_is_the_end() -> None:
    verdict = POLICY.decide(InputImageError("garment: not a picture", again_later=False), attempt())
    assert verdict == Fail(INTERNAL_MESSAGE, "picture: garment: not a picture")


def test_a_generation_past_its_deadline_is_the_end() -> None:
    assert POLICY.decide(TimeoutError(), attempt()) == Fail(
        INTERNAL_MESSAGE, "the generation took longer than its deadline"
    )


@pytest.mark.parametrize(
    "error", [SessionUnreadable("no status"), RuntimeError("a bug"), KeyError("x"), OSError(5, "a disk")]
)
def test_anything_else_is_the_end_with_nothing_internal_for_the_shopper(error: Exception) -> None:
    assert POLICY.decide(error, attempt()) == Fail(INTERNAL_MESSAGE, f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("asked_s", [0.0, 1.0, 59.5])
def test_a_rate_limit_is_waited_out_for_a_little_longer_than_asked(asked_s: float) -> None:
    for _ in range(50):
        verdict = POLICY.decide(RateLimited("429", asked_s), attempt(rate_limited=2))
        assert isinstance(verdict, Retry)
        assert verdict.rate_limited
        assert asked_s < verdict.delay_s <= asked_s + 0.5


def test_jobs_that_were_refused_together_do_not_come_back_together() -> None:
    verdicts = [POLICY.decide(RateLimited("429", 1.0), attempt()) for _ in range(20)]
    assert len(set(verdicts)) > 10


@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_without_a_word_of_when_a_limit_of_a_minute_is_outlasted(earlier: int) -> None:
    for _ in range(50):
        verdict = POLICY.decide(RateLimited("429"), attempt(rate_limited=earlier))
        assert isinstance(verdict, Retry)
        assert 60 < verdict.delay_s <= MINUTE_PAUSE_S[1]


@pytest.mark.parametrize("retry_after_s", [None, 0.1])
def test_rate_limits_end_when_there_were_too_many(retry_after_s: float | None) -> None:
    error = RateLimited("slow down", retry_after_s)
    assert isinstance(POLICY.decide(error, attempt(rate_limited=2)), Retry)
    assert POLICY.decide(error, attempt(rate_limited=3)) == Fail(INTERNAL_MESSAGE, "rate limited 4 times: slow down")


def test_with_no_retries_allowed_the_first_rate_limit_is_the_end() -> None:
    assert isinstance(RetryPolicy(0, 500.0).decide(RateLimited("429", 1.0), attempt()), Fail)


@pytest.mark.parametrize(("retry_after_s", "age_s"), [(None, 450.0), (60.0, 450.0), (86_400.0, 0.0)])
def test_a_rate_limit_that_ends_past_the_deadline_is_not_waited_for(retry_after_s: float | None, age_s: float) -> None:
    verdict = POLICY.decide(RateLimited("429", retry_after_s), attempt(age_s=age_s))
    assert verdict == Fail(INTERNAL_MESSAGE, "rate limited past the deadline: 429")


def test_the_audit_knows_every_message_as_ours() -> None:
    messages = {text for name, text in vars(retry_policy).items() if name.endswith("_MESSAGE")}
    assert messages == retry_policy.SHOPPER_MESSAGES
