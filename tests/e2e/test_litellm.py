"""The image client through LiteLLM's real proxy: what arrives at the model, and what every answer becomes."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from PIL import Image

from support.image_models import OneModel, picture_of
from support.litellm_proxy import KEY, UPSTREAM_KEY, litellm_proxy
from support.openai_stub import Answer, Fault, OpenAIStub
from wearon.dependencies import Dependencies
from wearon.doctor.findings import Level
from wearon.doctor.openai import check_openai
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.pictures.decode import ensure_jpeg
from wearon.tryon.image_model import (
    GeneratedImage,
    GenerationError,
    ImageRequest,
    KeyRejected,
    Moderated,
    QuotaExhausted,
    RateLimited,
    ServiceUnavailable,
)
from wearon.tryon.openai.client import OpenAIImages

pytestmark = pytest.mark.slow

MODEL = "gpt-image-2.6-sunburst"
PROMPT = "Dress the person in the first image"
REJECTED = "Your request was rejected by the safety system. If you believe this is an error, contact us."
LIMITS = {
    "Retry-After": "1",
    "x-ratelimit-remaining-requests": "299",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "12s",
}


def refusal(status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    error = {"message": message, "type": "image_generation_user_error", "param": None, "code": code}
    return Answer(status, json.dumps({"error": error}).encode(), headers or {})


REFUSALS: list[tuple[str, Answer, type[GenerationError], float | None]] = [
    ("moderation", refusal(400, "moderation_blocked", REJECTED), Moderated, None),
    ("content policy", refusal(400, "content_policy_violation", REJECTED), Moderated, None),
    ("content safety", refusal(400, "content_safety_violation", REJECTED), Moderated, None),
    ("tokens are used up", refusal(429, "rate_limit_exceeded", "Slow down.", LIMITS), RateLimited, 12),
    ("a message", refusal(429, "rate_limit_exceeded", "Please try again in 850ms."), RateLimited, 0.85),
    ("Retry-After", refusal(429, "rate_limit_exceeded", "Slow down.", {"Retry-After": "7"}), RateLimited, 7),
    ("quota", refusal(429, "insufficient_quota", "You exceeded your current quota."), QuotaExhausted, None),
    ("budget", refusal(400, "billing_hard_limit_reached", "Billing hard limit."), QuotaExhausted, None),
    ("OpenAI's key", refusal(401, "invalid_api_key", "Incorrect API key provided."), KeyRejected, None),
    ("organisation", refusal(403, None, "Your organization must be verified."), KeyRejected, None),
    ("conflict", refusal(409, "conflict", "Try again."), ServiceUnavailable, None),
    ("server error", refusal(500, "server_error", "The server had an error."), ServiceUnavailable, None),
    ("overloaded", refusal(503, None, "Overloaded."), ServiceUnavailable, None),
    ("a page", Answer(502, b"<html>bad gateway</html>"), ServiceUnavailable, None),
]


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture(scope="module")
def proxy(openai: OpenAIStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with litellm_proxy(openai.url, [MODEL], tmp_path_factory.mktemp("litellm")) as url:
        yield url


def picture(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 96), colour).save(data, "JPEG")
    return data.getvalue()


PICTURES = [picture("red"), picture("green"), picture("blue")]


async def generate(url: str, key: str = KEY) -> GeneratedImage:
    """With a client of its own, and without its retries."""
    images = OpenAIImages(
        api_key=key,
        base_url=url,
        models=OneModel(MODEL),
        fetch_url=_never,
        ensure_jpeg=lambda data: asyncio.to_thread(ensure_jpeg, data),
        max_retries=0,
        metrics=Metrics(),
        tracing=Tracing(),
        dependencies=Dependencies(),
    )
    try:
        return await picture_of(images, ImageRequest(PROMPT, PICTURES, "req_1"))
    finally:
        await images.aclose()


async def _never(url: str) -> bytes:
    raise AssertionError(f"{url} was asked for")


async def outcome(openai: OpenAIStub, url: str, fault: Fault) -> GenerationError:
    openai.then(fault)
    with pytest.raises(GenerationError) as raised:
        await generate(url)
    return raised.value


async def test_pictures_and_refusals_come_through_as_they_are(openai: OpenAIStub, proxy: str) -> None:
    # One test: each one more could run in another process, and starting the proxy takes 15 s.
    await the_form_arrives(openai, proxy)
    await usage_that_is_missing_is_not_known(openai, proxy)
    await a_key_that_the_proxy_does_not_know_is_refused(openai, proxy)
    await the_model_list_is_read(proxy)
    for name, answer, error, retry_after_s in REFUSALS:
        told = await outcome(openai, proxy, answer)
        assert type(told) is error, f"{name}: {told!r}"
        assert getattr(told, "retry_after_s", None) == retry_after_s, name
        assert PROMPT not in told.reason
        assert REJECTED not in told.reason


async def the_form_arrives(openai: OpenAIStub, url: str) -> None:
    before = len(openai.requests)
    image = await generate(url)
    assert image.jpeg.startswith(b"\xff\xd8")
    assert image.usage is not None
    assert image.usage.output_tokens > 0
    (received,) = openai.requests[before:]
    assert received.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    sent = {"model": MODEL, "prompt": PROMPT, "n": "1", "size": "1024x1536", "quality": "medium"}
    assert {**received.fields, **sent, "output_format": "jpeg"} == dict(received.fields)
    assert [part.data for part in received.pictures] == PICTURES
    # LiteLLM renames them: the default prompt speaks of the first and the second image, too.
    assert {part.name for part in received.pictures} == {"image.png"}


async def usage_that_is_missing_is_not_known(openai: OpenAIStub, url: str) -> None:
    body: dict[str, Any] = {"created": 1, "data": [{"b64_json": base64.b64encode(PICTURES[0]).decode()}]}
    openai.then(Answer(200, json.dumps(body).encode()))
    assert await generate(url) == GeneratedImage(PICTURES[0], None)


async def a_key_that_the_proxy_does_not_know_is_refused(openai: OpenAIStub, url: str) -> None:
    before = len(openai.requests)
    with pytest.raises(KeyRejected):
        await generate(url, key="sk-of-nobody")
    assert len(openai.requests) == before


async def the_model_list_is_read(url: str) -> None:
    assert await key_and_model(url, KEY, MODEL) is Level.OK
    assert await key_and_model(url, KEY, "unheard-of") is not Level.OK
    assert await key_and_model(url, "sk-of-nobody", MODEL) is Level.FAULT


async def key_and_model(url: str, key: str, model: str) -> Level:
    """What `wearon doctor` says of them."""
    findings = [finding async for finding in check_openai(key, url, model)]
    return next(finding.level for finding in findings if finding.check in {"openai", "openai key", "openai model"})
