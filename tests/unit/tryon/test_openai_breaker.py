"""A key that is refused: who asks again meanwhile, and what is said of it."""

import pytest

from wearon.dependencies import Dependencies
from wearon.tryon.generator import (
    BadAnswer,
    GenerationError,
    KeyRejected,
    Moderated,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from wearon.tryon.openai_breaker import PROBE_S, RefusalBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dependencies() -> Dependencies:
    return Dependencies()


@pytest.fixture
def breaker(clock: Clock, dependencies: Dependencies) -> RefusalBreaker:
    return RefusalBreaker(dependencies, clock)


def words(dependencies: Dependencies) -> list[str]:
    return [refusal.words for refusal in dependencies.refusals]


def test_a_refused_key_is_asked_for_again_by_one_job_at_a_time(breaker: RefusalBreaker, clock: Clock) -> None:
    breaker.check()
    breaker.failed(KeyRejected("status 401"))
    with pytest.raises(KeyRejected, match="status 401"):
        breaker.check()
    for _ in range(3):
        clock.now += PROBE_S
        breaker.check()
        with pytest.raises(KeyRejected):
            breaker.check()


def test_once_the_key_is_taken_everybody_may_ask(breaker: RefusalBreaker) -> None:
    breaker.failed(KeyRejected("status 401"))
    breaker.answered()
    breaker.check()
    breaker.check()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyRejected("401"), "OpenAI refuses our key"),
        (QuotaExhausted("429"), "OpenAI has no money left to our account"),
    ],
)
def test_what_is_about_us_is_said_until_a_picture_comes(
    breaker: RefusalBreaker, dependencies: Dependencies, error: GenerationError, said: str
) -> None:
    breaker.failed(error)
    assert words(dependencies) == [said]
    breaker.answered()
    assert words(dependencies) == []


def test_a_single_request_without_an_answer_is_not_worth_saying(
    breaker: RefusalBreaker, dependencies: Dependencies
) -> None:
    breaker.failed(ServiceUnavailable("503"))
    assert words(dependencies) == []
    breaker.failed(ServiceUnavailable("503"))
    assert words(dependencies) == ["OpenAI does not answer"]
    breaker.check()


@pytest.mark.parametrize("kind", [Moderated, RateLimited, RequestRefused, BadAnswer])
def test_an_answer_about_the_request_shows_that_the_key_is_taken(
    breaker: RefusalBreaker, dependencies: Dependencies, kind: type[GenerationError]
) -> None:
    breaker.failed(KeyRejected("401"))
    breaker.failed(kind("no"))
    breaker.check()
    assert words(dependencies) == []
