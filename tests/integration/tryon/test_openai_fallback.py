"""Image models that go and come back, with the fleet's memory in a real Redis."""

import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date

import pytest
from PIL import Image
from redis.asyncio import Redis
from structlog.testing import capture_logs

from support.image_models import picture_of
from support.job_side import untyped
from support.openai_stub import OpenAIStub, server_error
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.queue import keys
from wearon.queue import rate_limiter as limiter
from wearon.queue.rate_limiter import RequestLimiter
from wearon.redis.clients import connect
from wearon.tryon.image_model import ImageRequest, ModelUnavailable
from wearon.tryon.openai.client import OpenAIImages, make_client
from wearon.tryon.openai.fallback import FleetModels
from wearon.tryon.openai.models import DEFAULT_FALLBACKS, DEFAULT_MODEL

FIRST, SECOND, THIRD = DEFAULT_MODEL, *DEFAULT_FALLBACKS
YESTERDAY = date(2026, 11, 23)


def photo() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 12), "red").save(data, "JPEG")
    return data.getvalue()


REQUEST = ImageRequest("prompt", [photo(), photo()], "req_1")


async def nothing_to_fetch(url: str) -> bytes:
    raise AssertionError(url)


async def as_it_is(jpeg: bytes) -> bytes:
    return jpeg


@dataclass
class Process:
    """One worker's image client, with what it tells."""

    images: OpenAIImages
    dependencies: Dependencies
    metrics: Metrics
    waits: list[float] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """What `/health` says."""
        return [refusal.words for refusal in self.dependencies.refusals]

    async def model(self) -> str | None:
        """Which model makes the next picture."""
        return (await picture_of(self.images, REQUEST)).model


class Fleet:
    """Makes processes that share a Redis and an account."""

    def __init__(self, redis: Redis, openai: OpenAIStub) -> None:
        self._redis = redis
        self._openai = openai
        self._http = make_client()

    def process(self, redis: Redis | None = None, models: tuple[str, ...] = (FIRST, SECOND, THIRD)) -> Process:
        waits: list[float] = []

        async def wait(seconds: float) -> None:
            waits.append(seconds)

        dependencies, metrics = Dependencies(), Metrics()
        limiter = RequestLimiter(redis or self._redis, 300)
        images = OpenAIImages(
            api_key="sk-key",
            base_url=self._openai.url,
            models=FleetModels(models, limiter, wait, metrics, dependencies),
            fetch_url=nothing_to_fetch,
            ensure_jpeg=as_it_is,
            client=self._http,
            backoff_s=(0, 0),
            metrics=metrics,
            tracing=Tracing(),
            dependencies=dependencies,
        )
        return Process(images, dependencies, metrics, waits)

    async def ten_minutes_pass(self) -> None:
        """What is remembered was written ten minutes earlier."""
        for model, entry in (await untyped(self._redis).hgetall(keys.IMAGE_MODELS)).items():
            until, _, why = entry.partition(b" ")
            await untyped(self._redis).hset(
                keys.IMAGE_MODELS, model, f"{int(until) - 600_000_000}".encode() + b" " + why
            )

    async def it_is_time_to_probe(self) -> None:
        await untyped(self._redis).hdel(keys.IMAGE_MODELS, "")

    async def aclose(self) -> None:
        await self._http.aclose()


@pytest.fixture
def openai() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
async def fleet(redis_client: Redis, openai: OpenAIStub) -> AsyncIterator[Fleet]:
    fleet = Fleet(redis_client, openai)
    yield fleet
    await fleet.aclose()


def asked(openai: OpenAIStub) -> list[str]:
    return [request.fields["model"] for request in openai.requests]


async def test_the_same_job_asks_the_next_model_and_others_do_not_ask_in_vain(
    fleet: Fleet, openai: OpenAIStub, redis_url: str
) -> None:
    openai.announce(FIRST, YESTERDAY)
    one, other = fleet.process(), fleet.process(elsewhere := connect(redis_url, name="other"))
    with capture_logs() as logs:
        assert await one.model() == SECOND
    assert asked(openai) == [FIRST, SECOND]
    assert await one.model() == SECOND
    assert await other.model() == SECOND
    await elsewhere.aclose()
    assert asked(openai) == [FIRST, SECOND, SECOND, SECOND]
    assert openai.pictures_sent == 3
    assert len(one.waits) == 3, "every request had its turn at the rate limit"
    for process in (one, other):
        (words,) = process.words
        assert f"{SECOND} makes the pictures: {FIRST} cannot be used (status 404, code model_not_found" in words
    assert [line["model"] for line in logs if line["event"] == "image model cannot be used"] == [FIRST]
    made = one.metrics.registry.get_sample_value
    assert made("wearon_image_model_pictures_total", {"model": SECOND, "place": "fallback"}) == 2
    assert made("wearon_image_model_pictures_total", {"model": FIRST, "place": "first"}) == 0
    assert made("wearon_openai_requests_total", {"outcome": "model_unavailable"}) == 1


async def test_after_ten_minutes_the_first_is_asked_again(fleet: Fleet, openai: OpenAIStub) -> None:
    openai.not_allowed.add(FIRST)
    process = fleet.process()
    assert await process.model() == SECOND
    await fleet.ten_minutes_pass()
    assert await process.model() == SECOND
    assert asked(openai) == [FIRST, SECOND] * 2
    openai.not_allowed.clear()
    assert await process.model() == SECOND, "others are not asked in vain"
    await fleet.ten_minutes_pass()
    assert await process.model() == FIRST
    assert process.words == []


async def test_the_third_is_asked_when_two_are_gone(fleet: Fleet, openai: OpenAIStub) -> None:
    openai.announce(FIRST, YESTERDAY)
    openai.not_allowed.add(SECOND)
    process = fleet.process()
    assert await process.model() == THIRD
    assert await process.model() == THIRD
    assert asked(openai) == [FIRST, SECOND, THIRD, THIRD]
    (words,) = process.words
    assert words.startswith(f"{THIRD} makes the pictures: {FIRST} cannot be used (status 404")
    assert f"{SECOND} cannot be used (status 403" in words


async def test_when_all_are_gone_one_is_asked_now_and_then_until_one_is_back(
    fleet: Fleet, openai: OpenAIStub, redis_client: Redis
) -> None:
    openai.not_allowed.update((FIRST, SECOND, THIRD))
    process = fleet.process()
    with pytest.raises(ModelUnavailable, match="status 403"):
        await process.model()
    assert asked(openai) == [FIRST, SECOND, THIRD]
    (words,) = process.words
    assert words.startswith(f"no image model can be used: {FIRST} cannot be used (status 403")
    with pytest.raises(ModelUnavailable):
        await process.model()
    slots = await redis_client.get(keys.REQUEST_SLOTS)
    with pytest.raises(ModelUnavailable):
        await process.model()
    assert await redis_client.get(keys.REQUEST_SLOTS) == slots, "nothing is reserved for nobody"
    probed = asked(openai)[3:]
    for _ in range(3 - len(probed)):
        await fleet.it_is_time_to_probe()
        with pytest.raises(ModelUnavailable):
            await process.model()
    assert sorted(asked(openai)[3:]) == sorted((FIRST, SECOND, THIRD)), "each in its turn"
    openai.not_allowed.clear()
    await fleet.it_is_time_to_probe()
    back = await process.model()
    assert await process.model() == back, "the fleet knows at once that it is back"


async def test_without_fallbacks_nothing_else_is_asked(fleet: Fleet, openai: OpenAIStub) -> None:
    openai.announce(FIRST, YESTERDAY)
    process = fleet.process(models=(FIRST, FIRST))
    with pytest.raises(ModelUnavailable):
        await process.model()
    assert asked(openai) == [FIRST]


async def test_another_failure_says_nothing_about_the_model(fleet: Fleet, openai: OpenAIStub) -> None:
    openai.then(server_error(), server_error())
    process = fleet.process()
    assert await process.model() == FIRST
    assert asked(openai) == [FIRST] * 3


async def test_a_model_is_passed_over_for_ten_minutes_by_redis_own_clock(redis_client: Redis) -> None:
    turns = RequestLimiter(redis_client, 300)
    assert (await turns.reserve_turn(["a", "b"])).model == "a"
    await turns.pass_over("a", "gone")
    turn = await turns.reserve_turn(["a", "b"])
    assert (turn.model, turn.passed_over) == ("b", {"a": "gone"})
    now_s = (await redis_client.time())[0]
    until_us = int((await untyped(redis_client).hget(keys.IMAGE_MODELS, "a") or b"").split()[0])
    assert 590 < until_us / 1e6 - now_s <= limiter.MODEL_PAUSE_S + 1, "Redis' clock was read in whole seconds"
    assert 590 < await redis_client.ttl(keys.IMAGE_MODELS) <= limiter.MODEL_PAUSE_S
    await turns.take_back("a")
    assert (await turns.reserve_turn(["a", "b"])).model == "a"
    assert await redis_client.exists(keys.IMAGE_MODELS) == 0


async def test_choosing_a_model_costs_no_command_of_its_own(redis_url: str, redis_client: Redis) -> None:
    sent: list[str] = []
    counted = connect(redis_url, name="counted", on_command=sent.append)
    turns = RequestLimiter(counted, 300)
    await turns.reserve_turn(["a"])  # connects, and loads the script
    sent.clear()
    await turns.reserve_turn(["a", "b", "c"])
    await counted.aclose()
    assert sent == ["EVALSHA"]
