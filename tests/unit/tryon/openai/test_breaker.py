"""What OpenAI refuses us, and requests that it loses: what is said of them, and who asks again meanwhile."""

import pytest

from wearon.dependencies import Dependencies
from wearon.tryon.image_model import (
    BadAnswer,
    GenerationError,
    KeyRejected,
    Moderated,
    NotAsked,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from wearon.tryon.openai.breaker import AWAY_AFTER, PROBE_S, RefusalBreaker, Tries


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


async def nobody() -> bool:
    """Who answers what is free: not asked while nothing was lost."""
    raise AssertionError("it is not known that anything is wrong")


class Free:
    """What is asked for when requests are lost."""

    def __init__(self) -> None:
        self.answers = False
        self.looks = 0

    async def look(self) -> bool:
        self.looks += 1
        return self.answers


LOST = ServiceUnavailable("reset", may_be_paid=True)


def words(dependencies: Dependencies) -> list[str]:
    return [refusal.words for refusal in dependencies.refusals]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyRejected("401"), "OpenAI refuses our key"),
        (QuotaExhausted("429"), "OpenAI has no money left to our account"),
    ],
)
def test_what_is_about_us_is_said_until_a_picture_comes(
    breaker: RefusalBreaker, dependencies: Dependencies, clock: Clock, error: GenerationError, said: str
) -> None:
    breaker.failed(error, clock())
    assert words(dependencies) == [said]
    breaker.answered(clock())
    assert words(dependencies) == []


async def test_a_single_request_without_an_answer_is_not_worth_saying(
    breaker: RefusalBreaker, dependencies: Dependencies, clock: Clock
) -> None:
    breaker.failed(ServiceUnavailable("503"), clock())
    assert words(dependencies) == []
    breaker.failed(ServiceUnavailable("503"), clock())
    assert words(dependencies) == ["OpenAI does not answer"]
    await breaker.check(nobody)


@pytest.mark.parametrize("kind", [Moderated, RateLimited, RequestRefused, BadAnswer])
async def test_an_answer_about_the_request_shows_that_the_key_is_taken(
    breaker: RefusalBreaker, dependencies: Dependencies, clock: Clock, kind: type[GenerationError]
) -> None:
    breaker.failed(KeyRejected("401"), clock())
    breaker.failed(kind("no"), clock())
    await breaker.check(nobody)
    assert words(dependencies) == []


async def test_when_several_requests_were_lost_nothing_is_sent_until_somebody_answers(
    breaker: RefusalBreaker, dependencies: Dependencies, clock: Clock
) -> None:
    free = Free()
    for _ in range(AWAY_AFTER):
        await breaker.check(free.look)
        breaker.failed(LOST, clock())
    for looks in (1, 2, 3):
        for _ in range(5):
            with pytest.raises(NotAsked):
                await breaker.check(free.look)
        assert free.looks == looks, "one look for all jobs"
        clock.now += PROBE_S
    assert words(dependencies) == ["OpenAI does not answer"]
    free.answers = True
    for _ in range(5):
        await breaker.check(free.look)
    assert free.looks == 4


@pytest.mark.parametrize("between", [Moderated("no"), KeyRejected("401"), None], ids=repr)
async def test_requests_that_were_lost_between_answers_are_no_outage(
    breaker: RefusalBreaker, clock: Clock, between: GenerationError | None
) -> None:
    for _ in range(AWAY_AFTER - 1):
        breaker.failed(LOST, clock())
    breaker.failed(between, clock()) if between else breaker.answered(clock())
    breaker.failed(LOST, clock())
    clock.now += PROBE_S
    await breaker.check(nobody)


@pytest.mark.parametrize("late", [Moderated("no"), None], ids=repr)
async def test_an_answer_to_what_was_asked_before_the_outage_ends_none(
    breaker: RefusalBreaker, clock: Clock, late: GenerationError | None
) -> None:
    before = clock()
    for _ in range(AWAY_AFTER):
        clock.now += 1
        breaker.failed(LOST, clock())
        breaker.failed(late, before) if late else breaker.answered(before)
    with pytest.raises(NotAsked):
        await breaker.check(Free().look)


async def test_what_never_reached_the_service_does_not_show_it_to_be_there(
    breaker: RefusalBreaker, clock: Clock
) -> None:
    for _ in range(AWAY_AFTER):
        breaker.failed(LOST, clock())
        breaker.failed(ServiceUnavailable("ConnectError"), clock())
    with pytest.raises(NotAsked):
        await breaker.check(Free().look)


def test_what_may_be_paid_is_counted_over_all_runs() -> None:
    tries = Tries(4, unanswered=2)
    error = ServiceUnavailable("reset", may_be_paid=True)
    assert tries.may_go_on(ServiceUnavailable("503"))
    assert tries.may_go_on(error)
    assert error.unanswered == 3
    assert not tries.may_go_on(NotAsked("away"))
    assert not tries.may_go_on(error)
    assert (tries.are_used_up, error.unanswered) == (True, 4)
    moderated = Moderated("no")
    assert not tries.may_go_on(moderated)
    assert moderated.unanswered == 4
