"""What is counted of the image model, and what a request to it carries."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import respx
from opentelemetry.trace import SpanKind

from support.image_models import OneModel, picture_of
from support.openai_stub import COST_USD, USAGE
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.tryon.image_model import GenerationError, ImageRequest, PaidAnswer
from wearon.tryon.openai.client import OUTCOMES, OpenAIImages
from wearon.tryon.openai.models import DEFAULT_MODEL

EDITS = "https://api.openai.com/v1/images/edits"
REQUEST = ImageRequest("prompt", [b"person", b"garment"], "req_1234")
PICTURE = base64.b64encode(b"\xff\xd8 a jpeg \xff\xd9").decode()
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def same(data: bytes) -> bytes:
    return data


async def fetch_nothing(url: str) -> bytes:
    raise AssertionError(url)


Make = Callable[..., OpenAIImages]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    client = httpx.AsyncClient(verify=False)

    def make(metrics: Metrics, **options: object) -> OpenAIImages:
        return OpenAIImages(
            api_key="sk-key",
            models=OneModel(),
            fetch_url=fetch_nothing,
            ensure_jpeg=same,
            backoff_s=(0, 0),
            client=client,
            metrics=metrics,
            tracing=Tracing(),
            dependencies=Dependencies(),
            **options,  # type: ignore[arg-type]
        )

    yield make
    await client.aclose()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def ends_badly(work: Awaitable[object]) -> None:
    with pytest.raises(GenerationError):
        await work


async def test_a_picture_counts_with_its_tokens_and_its_price(make: Make, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).respond(json={"data": [{"b64_json": PICTURE}], "usage": USAGE})
    metrics = Metrics()
    await picture_of(make(metrics), REQUEST)
    assert value(metrics, "wearon_openai_requests_total", outcome="answered") == 1
    assert value(metrics, "wearon_openai_request_duration_seconds_count", outcome="answered") == 1
    assert value(metrics, "wearon_openai_tokens_total", direction="input", kind="text") == 64
    assert value(metrics, "wearon_openai_tokens_total", direction="input", kind="image") == 768
    assert value(metrics, "wearon_openai_tokens_total", direction="output", kind="image") == 1584
    assert value(metrics, "wearon_openai_cost_dollars_total") == pytest.approx(float(COST_USD))
    assert value(metrics, "wearon_openai_unpriced_pictures_total") == 0


async def test_an_answer_that_is_read_again_is_not_paid_again(make: Make, respx_mock: respx.MockRouter) -> None:
    answer = json.dumps({"data": [{"b64_json": PICTURE}], "usage": USAGE}).encode()
    respx_mock.post(EDITS).respond(content=answer)
    metrics = Metrics()
    images = make(metrics)
    await picture_of(images, REQUEST)
    assert (await images.read(PaidAnswer(answer, DEFAULT_MODEL))).usage is not None
    assert value(metrics, "wearon_openai_cost_dollars_total") == pytest.approx(float(COST_USD))


async def test_a_picture_without_a_price_is_not_counted_as_free(make: Make, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).respond(json={"data": [{"b64_json": PICTURE}]})
    metrics = Metrics()
    await picture_of(make(metrics), REQUEST)
    assert value(metrics, "wearon_openai_unpriced_pictures_total") == 1


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "moderation_blocked", "moderated"),
        (400, "something_else", "refused"),
        (401, "invalid_api_key", "key_rejected"),
        (429, "rate_limit_exceeded", "rate_limited"),
        (429, "insufficient_quota", "quota_exhausted"),
        (500, None, "unavailable"),
        (204, None, "bad_answer"),
    ],
)
async def test_every_request_counts_by_how_it_ended(
    make: Make, respx_mock: respx.MockRouter, status: int, code: str | None, outcome: str
) -> None:
    respx_mock.post(EDITS).respond(status, json={"error": {"code": code}})
    metrics = Metrics()
    await ends_badly(picture_of(make(metrics, max_retries=2), REQUEST))
    # What OpenAI's trouble costs us are requests, not pictures: each one is counted.
    assert value(metrics, "wearon_openai_requests_total", outcome=outcome) == (3 if outcome == "unavailable" else 1)
    assert value(metrics, "wearon_openai_requests_total", outcome="answered") == 0


async def test_a_request_that_is_cut_off_is_counted_too(make: Make, respx_mock: respx.MockRouter) -> None:
    asked = asyncio.Event()

    async def hang(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    respx_mock.post(EDITS).mock(side_effect=hang)
    metrics = Metrics()
    generating = asyncio.create_task(picture_of(make(metrics), REQUEST))
    await asked.wait()
    generating.cancel()
    await asyncio.wait({generating})
    assert value(metrics, "wearon_openai_requests_total", outcome="cut_off") == 1


def test_every_error_of_a_generator_has_an_outcome() -> None:
    assert set(OUTCOMES) == set(GenerationError.__subclasses__())


async def test_the_request_carries_the_tasks_trace(make: Make, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(EDITS).respond(json={"data": [{"b64_json": PICTURE}], "usage": USAGE})
    with Tracing().entry("generate", SpanKind.CONSUMER, request_id="req_1234", traceparent=TRACEPARENT):
        await picture_of(make(Metrics()), REQUEST)
    headers = route.calls.last.request.headers
    assert headers["traceparent"] == TRACEPARENT
    assert headers["x-request-id"] == headers["x-client-request-id"] == "req_1234"
