"""OpenAI's image edits: what goes over the wire, and what every answer becomes."""

import asyncio
import base64
import io
import json
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest
import respx
from PIL import Image
from structlog.testing import capture_logs

from support.image_models import OneModel, picture_of
from support.openai_catalogue import CATALOGUE, complaint_about
from support.openai_stub import COST_USD, COST_USD_1_5, USAGE, Answer, Hang, OpenAIStub, Picture, Reset, parse_form
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.net.fetch import FetchError
from wearon.observability.tracing import Tracing
from wearon.pictures.decode import PictureError
from wearon.tryon.image_model import (
    BadAnswer,
    GeneratedImage,
    GenerationError,
    ImageRequest,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    NotAsked,
    PaidAnswer,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
    Usage,
)
from wearon.tryon.openai import client as openai
from wearon.tryon.openai.answers import parse_answer, usage_of
from wearon.tryon.openai.breaker import AWAY_AFTER
from wearon.tryon.openai.client import OpenAIImages
from wearon.tryon.openai.models import DEFAULT_MODEL, Fidelity, Wanted

KEY = "sk-proj-9f8e7d6c5b4a"
PROMPT = "Dress the person in model.jpg with image_1.jpg"
BASE = "https://api.openai.com/v1"
EDITS = f"{BASE}/images/edits"
REQUEST = ImageRequest(PROMPT, [b"person \r\n--x", b"garment", b"bag"], "req_1234")
JPEG = b"\xff\xd8 a jpeg \xff\xd9"


class World:
    """What the client is given besides the wire, and how often each was asked."""

    def __init__(self) -> None:
        self.attempts = 0
        self.fetched: list[str] = []
        self.fetch_answers: list[bytes | FetchError] = []
        self.checked: list[bytes] = []

    async def before_attempt(self) -> None:
        self.attempts += 1

    async def fetch_url(self, url: str) -> bytes:
        self.fetched.append(url)
        answer = self.fetch_answers.pop(0)
        if isinstance(answer, FetchError):
            raise answer
        return answer

    async def ensure_jpeg(self, data: bytes) -> bytes:
        self.checked.append(data)
        if data == b"no picture":
            raise PictureError("is not a JPEG, PNG or WebP picture")
        return data if data.startswith(b"\xff\xd8") else JPEG


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def make(world: World) -> AsyncIterator[Callable[..., OpenAIImages]]:
    made: list[OpenAIImages] = []
    client = httpx.AsyncClient(verify=False)  # loading certificates takes longer than a test

    def make(**options: object) -> OpenAIImages:
        arguments = {
            "api_key": KEY,
            "fetch_url": world.fetch_url,
            "ensure_jpeg": world.ensure_jpeg,
            "backoff_s": (0, 0),
            "client": client,
            "metrics": Metrics(),
            "tracing": Tracing(),
            "dependencies": Dependencies(),
            **options,
        }
        model = arguments.pop("model", DEFAULT_MODEL)
        arguments["models"] = OneModel(str(model), arguments.pop("before_attempt", world.before_attempt))  # type: ignore[arg-type]
        made.append(OpenAIImages(**arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for images in made:
        await images.aclose()
    await client.aclose()


Make = Callable[..., OpenAIImages]


@pytest.fixture(autouse=True)
def every_request_is_one_that_its_model_takes(respx_mock: respx.MockRouter) -> Iterator[None]:
    """The stand-in refuses such requests itself; here nothing else would."""
    models = {name: model for model in CATALOGUE for name in model.names}
    yield
    for call in respx_mock.calls:
        fields, pictures = parse_form(call.request.headers["content-type"], call.request.content)
        assert complaint_about(models[fields["model"]], fields, len(pictures)) is None


def answer(picture: bytes = JPEG, usage: object = USAGE) -> httpx.Response:
    return httpx.Response(200, json={"data": [{"b64_json": base64.b64encode(picture).decode()}], "usage": usage})


def refusal(
    status: int,
    code: object = None,
    headers: Mapping[str, str] | None = None,
    kind: str = "some_error",
    about: str = "",
) -> httpx.Response:
    """An error in OpenAI's form, with a message that quotes what must not be repeated."""
    error = {"message": f"Incorrect: {KEY} {PROMPT} {about}", "type": kind, "param": None, "code": code}
    return httpx.Response(status, json={"error": error}, headers={"x-request-id": "req_openai_1", **(headers or {})})


# What is sent


async def test_the_form_is_the_contracts(make: Make, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(EDITS).mock(return_value=answer())
    await picture_of(make(), REQUEST)

    sent = route.calls.last.request
    fields, pictures = parse_form(sent.headers["content-type"], sent.content)
    assert fields == {
        "model": "gpt-image-2.6-sunburst",
        "prompt": PROMPT,
        "n": "1",
        "size": "1024x1536",
        "quality": "medium",
        "output_format": "jpeg",
        "output_compression": "90",
    }
    assert [(part.name, part.content_type, part.data) for part in pictures] == [
        ("model.jpg", "image/jpeg", REQUEST.pictures[0]),
        ("image_1.jpg", "image/jpeg", REQUEST.pictures[1]),
        ("image_2.jpg", "image/jpeg", REQUEST.pictures[2]),
    ]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-client-request-id"] == "req_1234"
    assert int(sent.headers["content-length"]) == len(sent.content)


async def test_settings_reach_the_form(make: Make, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post("https://proxy.example/openai/v1/images/edits").mock(return_value=answer())
    wanted = Wanted(size="1536x1024", quality="high")
    images = make(base_url="https://proxy.example/openai/v1/", model="gpt-image-2", wanted=wanted)
    await picture_of(images, REQUEST)
    fields, _ = parse_form(route.calls.last.request.headers["content-type"], route.calls.last.request.content)
    assert (fields["model"], fields["size"], fields["quality"]) == ("gpt-image-2", "1536x1024", "high")


@pytest.mark.parametrize(
    ("model", "fidelity", "sent"),
    [
        ("gpt-image-1.5", None, None),
        ("gpt-image-1.5", "high", "high"),
        ("gpt-image-1-mini", "low", "low"),
        ("gpt-image-1-mini", "high", None),
        ("gpt-image-2", "high", None),
        ("gpt-image-2.6-sunburst", "low", None),
    ],
)
async def test_input_fidelity_is_sent_to_models_that_have_it(
    make: Make, respx_mock: respx.MockRouter, model: str, fidelity: Fidelity | None, sent: str | None
) -> None:
    route = respx_mock.post(EDITS).mock(return_value=answer())
    await picture_of(make(model=model, wanted=Wanted(input_fidelity=fidelity)), REQUEST)
    fields, _ = parse_form(route.calls.last.request.headers["content-type"], route.calls.last.request.content)
    assert fields.get("input_fidelity") == sent


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("x" * 32_000, "x" * 32_000),
        ("a lone \ud800 surrogate", "a lone ? surrogate"),
        ('"quotes"\r\n--boundary\r\n', '"quotes"\r\n--boundary\r\n'),
    ],
    ids=["longest", "surrogate", "framing"],
)
async def test_any_prompt_can_be_sent(make: Make, respx_mock: respx.MockRouter, prompt: str, sent: str) -> None:
    route = respx_mock.post(EDITS).mock(return_value=answer())
    await picture_of(make(), ImageRequest(prompt, REQUEST.pictures, "req_1"))
    fields, _ = parse_form(route.calls.last.request.headers["content-type"], route.calls.last.request.content)
    assert fields["prompt"] == sent


async def test_a_hostile_request_id_stays_one_short_ascii_header(make: Make, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(EDITS).mock(return_value=answer())
    await picture_of(make(), ImageRequest(PROMPT, REQUEST.pictures, "req_ü\r\nX-Evil: 1" + "x" * 600))
    sent = route.calls.last.request.headers
    assert sent["x-client-request-id"].startswith("req____X-Evil:_1xxx")
    assert len(sent["x-client-request-id"]) == 512
    assert "x-evil" not in sent


# What comes back


async def test_a_picture_comes_back_checked_with_its_usage(
    make: Make, world: World, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(EDITS).mock(return_value=answer())
    image = await picture_of(make(), REQUEST)
    assert image == GeneratedImage(JPEG, Usage(832, 1584, Decimal(COST_USD)))
    assert image.in_answer
    assert world.checked == [JPEG]


async def test_another_format_becomes_jpeg(make: Make, world: World, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(return_value=answer(b"\x89PNG"))
    assert (await picture_of(make(), REQUEST)).jpeg == JPEG
    assert world.checked == [b"\x89PNG"]


async def test_the_answer_is_parsed_off_the_loop(
    make: Make, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def recording(body: bytes) -> object:
        threads.append(threading.current_thread())
        return parse_answer(body)

    monkeypatch.setattr(openai, "parse_answer", recording)
    respx_mock.post(EDITS).mock(return_value=answer())
    await picture_of(make(), REQUEST)
    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (USAGE, COST_USD_1_5),
        # All four prices, per million tokens.
        (
            {
                "input_tokens": 2_000_000,
                "output_tokens": 2_000_000,
                "input_tokens_details": {"text_tokens": 1_000_000, "image_tokens": 1_000_000},
                "output_tokens_details": {"text_tokens": 1_000_000, "image_tokens": 1_000_000},
            },
            "55.000000",
        ),
        # The contract: without details, all output is image.
        (
            {
                "input_tokens": 1000,
                "output_tokens": 1000,
                "input_tokens_details": {"text_tokens": 200, "image_tokens": 800},
            },
            "0.039400",
        ),
        # Nothing known: the dearer kind.
        ({"input_tokens": 1000, "output_tokens": 1000}, "0.040000"),
        ({"input_tokens": 1000, "output_tokens": 1000, "input_tokens_details": None}, "0.040000"),
        # Half known: the rest follows from the sum.
        (
            {
                "input_tokens": 1000,
                "output_tokens": 1000,
                "input_tokens_details": {"text_tokens": 1000},
                "output_tokens_details": {"image_tokens": 900},
            },
            "0.034800",
        ),
        # The smallest that there is.
        (
            {"input_tokens": 0, "output_tokens": 1, "output_tokens_details": {"text_tokens": 1, "image_tokens": 0}},
            "0.000010",
        ),
    ],
)
def test_cost_is_what_the_price_list_says(usage: dict[str, object], cost: str) -> None:
    assert usage_of(usage, "gpt-image-1.5") == Usage(usage["input_tokens"], usage["output_tokens"], Decimal(cost))  # type: ignore[arg-type]
    assert usage_of(usage, "gpt-image-1.5-2025-12-16") == usage_of(usage, "gpt-image-1.5")


@pytest.mark.parametrize("model", ["gpt-image-1-mini", "gpt-image-1.5x", "gpt-image-3", "openai/gpt-image-2", None])
def test_cost_of_a_model_without_known_prices_is_not_guessed(model: str | None) -> None:
    assert usage_of(USAGE, model) == Usage(832, 1584, None)


def test_a_cost_that_the_row_cannot_hold_is_not_known() -> None:
    most = {"input_tokens": 0, "output_tokens": 333_333_333}
    assert usage_of(most, "gpt-image-2") == Usage(0, 333_333_333, Decimal("9999.99999"))
    absurd = {"input_tokens": 2**31 - 1, "output_tokens": 333_333_334}
    assert usage_of(absurd, "gpt-image-2") == Usage(2**31 - 1, 333_333_334, None)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "none",
        [],
        {},
        {"input_tokens": "many", "output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 2**31, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1e300},
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "input_tokens_details": {"image_tokens": 0}},
        {"input_tokens": 832, "output_tokens": 0},
    ],
)
async def test_a_paid_picture_is_not_lost_over_its_usage(
    make: Make, respx_mock: respx.MockRouter, usage: object
) -> None:
    respx_mock.post(EDITS).mock(return_value=answer(usage=usage))
    assert await picture_of(make(), REQUEST) == GeneratedImage(JPEG, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": null}',
        b'{"data": [{}]}',
        b'{"data": [{"b64_json": ""}]}',
        b'{"data": [{"b64_json": "!not base64!"}]}',
        b'{"data": [{"b64_json": 17}]}',
        b'{"data": [{"b64_json": "' + b"A" * 1000,
        b"[" * 100_000,
        b'{"data": [{"b64_json": "bm8gcGljdHVyZQ=="}]}',  # "no picture"
        b'{"data": [{"url": "no url"}]}',
        b"\xff\xfe",
    ],
)
async def test_a_paid_answer_without_a_picture_is_not_asked_for_again(
    make: Make, world: World, respx_mock: respx.MockRouter, body: bytes
) -> None:
    route = respx_mock.post(EDITS).mock(return_value=httpx.Response(200, content=body))
    with pytest.raises(BadAnswer):
        await picture_of(make(), REQUEST)
    assert route.call_count == world.attempts == 1


class Chunks(httpx.AsyncByteStream):
    """A body that notes how much of it was read, and may break off."""

    def __init__(self, chunks: int, chunk: bytes = b" " * 1024, then: Exception | None = None) -> None:
        self.sent = 0
        self._chunks, self._chunk, self._then = chunks, chunk, then

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._chunks):
            self.sent += len(self._chunk)
            yield self._chunk
        if self._then:
            raise self._then


async def test_an_endless_answer_is_not_read_to_its_end(
    make: Make, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "MAX_ANSWER_BYTES", 10_000)
    body = Chunks(1000)
    route = respx_mock.post(EDITS).mock(return_value=httpx.Response(200, stream=body))
    with pytest.raises(BadAnswer, match="larger than"):
        await picture_of(make(), REQUEST)
    assert body.sent < 12_000
    assert route.call_count == 1


async def test_an_endless_error_is_not_read_to_its_end(make: Make, respx_mock: respx.MockRouter) -> None:
    body = Chunks(10_000)
    respx_mock.post(EDITS).mock(return_value=httpx.Response(400, stream=body))
    with pytest.raises(RequestRefused):
        await picture_of(make(), REQUEST)
    assert body.sent < 70_000


async def test_an_answer_that_breaks_off_has_been_paid(make: Make, world: World, respx_mock: respx.MockRouter) -> None:
    body = Chunks(3, then=httpx.ReadError("reset"))
    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, stream=body))
    with pytest.raises(BadAnswer, match="broke off"):
        await picture_of(make(), REQUEST)
    assert world.attempts == 1


async def test_a_paid_answer_comes_before_anything_is_done_with_it(
    make: Make, world: World, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(EDITS).mock(return_value=answer(b"no picture"))
    paid = await make().request(REQUEST)
    assert world.checked == []
    for _ in range(2):
        with pytest.raises(BadAnswer):
            await make().read(paid)
    assert world.attempts == 1


async def test_a_kept_answer_becomes_the_same_picture_without_a_request(make: Make, world: World) -> None:
    image = await make().read(PaidAnswer(answer().content, "gpt-image-2"))
    assert image == GeneratedImage(JPEG, Usage(832, 1584, Decimal(COST_USD)))
    assert image.model == "gpt-image-2"
    of_an_earlier_version = await make().read(PaidAnswer(answer().content, None))
    assert of_an_earlier_version == GeneratedImage(JPEG, Usage(832, 1584, None))
    assert world.attempts == 0


async def test_what_was_not_paid_is_no_answer(make: Make, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(return_value=refusal(400, "moderation_blocked"))
    with pytest.raises(Moderated):
        await make().request(REQUEST)


async def test_a_cancelled_job_still_gets_the_answer_that_has_begun(make: Make, respx_mock: respx.MockRouter) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    content = answer().content

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield content[:10]
            begun.set()
            await go_on.wait()
            yield content[10:]

    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, stream=Slow()))
    job = asyncio.create_task(make().request(REQUEST))
    await begun.wait()
    for _ in range(2):  # a worker that stops cancels again and again
        job.cancel()
        await asyncio.sleep(0)
    go_on.set()
    paid = await job
    assert (paid.body, paid.cancelled) == (content, True)


async def test_a_cancelled_job_does_not_wait_for_ever(
    make: Make, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "LAST_BYTES_S", 0.01)
    begun = asyncio.Event()

    class Stuck(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            begun.set()
            await asyncio.Event().wait()

    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, stream=Stuck()))
    job = asyncio.create_task(picture_of(make(), REQUEST))
    await begun.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job


async def test_a_picture_behind_a_url_is_fetched(make: Make, world: World, respx_mock: respx.MockRouter) -> None:
    url = "https://oaidalleapiprodscus.blob.core.windows.net/private/picture.png?sig=secret"
    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, json={"data": [{"url": url}], "usage": USAGE}))
    world.fetch_answers = [FetchError("the transfer broke off", transient=True), b"\x89PNG"]
    image = await picture_of(make(), REQUEST)
    assert image == GeneratedImage(JPEG, Usage(832, 1584, Decimal(COST_USD)))
    assert not image.in_answer
    assert world.fetched == [url, url]
    assert world.checked == [b"\x89PNG"]
    assert world.attempts == 1


@pytest.mark.parametrize("transient", [True, False])
async def test_a_picture_behind_a_url_that_cannot_be_fetched(
    make: Make, world: World, respx_mock: respx.MockRouter, *, transient: bool
) -> None:
    url = "https://files.openai.com/picture.png"
    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, json={"data": [{"url": url}]}))
    world.fetch_answers = [FetchError("answered with status 404", transient=transient)] * 10
    with pytest.raises(ServiceUnavailable if transient else BadAnswer, match="status 404") as raised:
        await picture_of(make(), REQUEST)
    assert not getattr(raised.value, "may_be_paid", False)  # what is paid is the answer, which is kept
    assert len(world.fetched) == (3 if transient else 1)
    assert world.attempts == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://files.openai.com/p.png",
        "https://openai.com.evil.example/p.png",
        "https://evilopenai.com/p.png",
        "https://files.openai.com@evil.example/p.png",
        "https://user:password@files.openai.com/p.png",
        "https://files.openai.com:8443/p.png",
        "https://169.254.169.254/latest/meta-data",
        "http://api.openai.com/p.png",
        "https://blob.core.windows.net.evil.example/p.png",
        "file:///etc/passwd",
        "ftp://files.openai.com/p.png",
        "//files.openai.com/p.png",
        "https://[::1",
        "",
    ],
)
async def test_a_url_elsewhere_is_never_fetched(
    make: Make, world: World, respx_mock: respx.MockRouter, url: str
) -> None:
    respx_mock.post(EDITS).mock(return_value=httpx.Response(200, json={"data": [{"url": url}]}))
    with pytest.raises(BadAnswer):
        await picture_of(make(), REQUEST)
    assert world.fetched == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/p.png", "http://127.0.0.1:9/v1/files/1"])
async def test_the_origin_that_gets_the_key_may_hold_the_picture(
    make: Make, world: World, respx_mock: respx.MockRouter, url: str
) -> None:
    respx_mock.post("http://127.0.0.1:9/v1/images/edits").mock(
        return_value=httpx.Response(200, json={"data": [{"url": url}]})
    )
    world.fetch_answers = [JPEG]
    assert (await picture_of(make(base_url="http://127.0.0.1:9/v1"), REQUEST)).jpeg == JPEG


# What every refusal and fault becomes: the whole map

ONCE, AGAIN = False, True

FAULTS = [
    pytest.param(refusal(400, "moderation_blocked"), Moderated, ONCE, id="moderation"),
    pytest.param(refusal(400, "content_policy_violation"), Moderated, ONCE, id="content policy"),
    pytest.param(refusal(400, "content_safety_violation"), Moderated, ONCE, id="content safety"),
    pytest.param(refusal(403, kind="moderation_blocked"), Moderated, ONCE, id="moderation told as type, with 403"),
    pytest.param(refusal(401, "invalid_api_key"), KeyRejected, ONCE, id="401"),
    pytest.param(refusal(403, "unsupported_country_region_territory"), KeyRejected, ONCE, id="403"),
    pytest.param(httpx.Response(401, text="nginx"), KeyRejected, ONCE, id="401 without a body of OpenAI's"),
    pytest.param(refusal(429, "insufficient_quota"), QuotaExhausted, ONCE, id="quota"),
    pytest.param(refusal(429, kind="insufficient_quota"), QuotaExhausted, ONCE, id="quota told as type"),
    pytest.param(refusal(400, "billing_hard_limit_reached"), QuotaExhausted, ONCE, id="budget"),
    pytest.param(refusal(402), QuotaExhausted, ONCE, id="402"),
    pytest.param(refusal(500, "invalid_api_key"), KeyRejected, ONCE, id="key, told with another status"),
    pytest.param(httpx.Response(407), KeyRejected, ONCE, id="407"),
    pytest.param(refusal(429, "rate_limit_exceeded"), RateLimited, ONCE, id="429"),
    pytest.param(httpx.Response(429), RateLimited, ONCE, id="429 without a body"),
    pytest.param(refusal(400, "invalid_value"), RequestRefused, ONCE, id="400"),
    pytest.param(refusal(400, {"odd": 1}), RequestRefused, ONCE, id="400 with an odd code"),
    pytest.param(httpx.Response(400, json=["moderation_blocked"]), RequestRefused, ONCE, id="400 with an odd body"),
    pytest.param(httpx.Response(400, content=b"[" * 60_000), RequestRefused, ONCE, id="400 with a deep body"),
    pytest.param(refusal(404, "model_not_found"), ModelUnavailable, ONCE, id="404"),
    pytest.param(refusal(403, "model_not_found"), ModelUnavailable, ONCE, id="403 with the model's code"),
    pytest.param(
        refusal(403, about=f"to use `{DEFAULT_MODEL}`"), ModelUnavailable, ONCE, id="403 that names the model"
    ),
    pytest.param(refusal(403, about=f"`{DEFAULT_MODEL}-mini`"), KeyRejected, ONCE, id="403 that names another model"),
    pytest.param(
        httpx.Response(404, json={"error": {"message": "The model `x` does not exist.", "code": 404}}),
        ModelUnavailable,
        ONCE,
        id="404 in vLLM's words",
    ),
    pytest.param(
        httpx.Response(400, json={"error": {"message": "Invalid model name passed in model=x", "code": "400"}}),
        ModelUnavailable,
        ONCE,
        id="400 in LiteLLM's words",
    ),
    pytest.param(refusal(401, kind="key_model_access_denied"), ModelUnavailable, ONCE, id="LiteLLM's key for others"),
    pytest.param(refusal(500, "model_not_found"), ServiceUnavailable, AGAIN, id="5xx, whatever it says"),
    pytest.param(refusal(413), RequestRefused, ONCE, id="413"),
    pytest.param(refusal(422), RequestRefused, ONCE, id="422"),
    pytest.param(
        httpx.Response(307, headers={"location": "https://evil.example"}), ServiceUnavailable, AGAIN, id="redirect"
    ),
    pytest.param(httpx.LocalProtocolError(f"Illegal header {KEY}"), RequestRefused, ONCE, id="unsendable"),
    pytest.param(httpx.UnsupportedProtocol("ftp"), RequestRefused, ONCE, id="not http"),
    pytest.param(refusal(408), ServiceUnavailable, AGAIN, id="408"),
    pytest.param(refusal(409), ServiceUnavailable, AGAIN, id="409"),
    pytest.param(httpx.Response(404, json={"detail": "Not Found"}), ServiceUnavailable, AGAIN, id="404 of the path"),
    pytest.param(httpx.Response(405), ServiceUnavailable, AGAIN, id="405"),
    pytest.param(httpx.Response(400, text="\n<html>"), ServiceUnavailable, AGAIN, id="400 with a page"),
    pytest.param(httpx.Response(200, html="<html>Just a moment"), ServiceUnavailable, AGAIN, id="200 with a page"),
    pytest.param(refusal(500, "server_error"), ServiceUnavailable, AGAIN, id="500"),
    pytest.param(httpx.Response(502, text="<html>"), ServiceUnavailable, AGAIN, id="502"),
    pytest.param(refusal(503), ServiceUnavailable, AGAIN, id="503"),
    pytest.param(httpx.Response(529), ServiceUnavailable, AGAIN, id="529"),
    pytest.param(httpx.ConnectError("refused"), ServiceUnavailable, AGAIN, id="refused"),
    pytest.param(httpx.ConnectTimeout("slow"), ServiceUnavailable, AGAIN, id="connect time-out"),
    pytest.param(httpx.ReadTimeout("slow"), ServiceUnavailable, AGAIN, id="read time-out"),
    pytest.param(httpx.PoolTimeout("full"), ServiceUnavailable, AGAIN, id="pool time-out"),
    pytest.param(httpx.ReadError("reset"), ServiceUnavailable, AGAIN, id="read error"),
    pytest.param(httpx.WriteError("pipe"), ServiceUnavailable, AGAIN, id="write error"),
    pytest.param(httpx.RemoteProtocolError(f"junk {KEY}"), ServiceUnavailable, AGAIN, id="no HTTP"),
    pytest.param(httpx.Response(200, content=b"{"), BadAnswer, ONCE, id="200 with nonsense"),
    pytest.param(httpx.Response(204), BadAnswer, ONCE, id="204"),
]


@pytest.mark.parametrize(("fault", "error", "again"), FAULTS)
async def test_every_fault_is_one_error_asked_again_only_when_that_can_help(
    make: Make,
    world: World,
    respx_mock: respx.MockRouter,
    fault: httpx.Response | Exception,
    error: type[GenerationError],
    *,
    again: bool,
) -> None:
    responses = {"return_value": fault} if isinstance(fault, httpx.Response) else {"side_effect": fault}
    respx_mock.post(EDITS).mock(**responses)
    with capture_logs() as logs, pytest.raises(GenerationError) as raised:
        await picture_of(make(max_retries=2), REQUEST)
    assert type(raised.value) is error
    # Every attempt counts against the account's limit, so the limiter is asked before each.
    assert world.attempts == (3 if again else 1)

    everything = "".join(traceback.format_exception(raised.value)) + json.dumps(logs) + raised.value.reason
    assert KEY not in everything
    assert PROMPT not in everything
    assert raised.value.reason


def test_the_map_reaches_every_error() -> None:
    assert {param.values[1] for param in FAULTS} == set(GenerationError.__subclasses__())


async def test_the_reason_helps_to_find_the_request_at_openai(make: Make, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(return_value=refusal(400, "invalid_value"))
    with pytest.raises(RequestRefused) as raised:
        await picture_of(make(), REQUEST)
    assert raised.value.reason == "status 400, code invalid_value, type some_error, openai request req_openai_1"


async def test_a_refused_key_is_said(make: Make, respx_mock: respx.MockRouter) -> None:
    """That not every job asks again is the fleet's breaker's doing."""
    respx_mock.post(EDITS).mock(return_value=refusal(401, "invalid_api_key"))
    dependencies = Dependencies()
    with pytest.raises(KeyRejected, match="status 401"):
        await picture_of(make(dependencies=dependencies), REQUEST)
    assert [refusal.words for refusal in dependencies.refusals] == ["OpenAI refuses our key"]


@pytest.mark.parametrize(
    ("fault", "may_be_paid"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.PoolTimeout("full"), False),
        (refusal(503), False),
        (httpx.Response(502, text="<html>"), False),
        (httpx.ReadError("reset"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.RemoteProtocolError("gone"), True),
        (httpx.Response(504, text="<html>"), True),
        (refusal(408), True),
    ],
    ids=repr,
)
async def test_whether_a_lost_request_may_be_paid(
    make: Make, respx_mock: respx.MockRouter, fault: httpx.Response | Exception, *, may_be_paid: bool
) -> None:
    responses = {"return_value": fault} if isinstance(fault, httpx.Response) else {"side_effect": fault}
    respx_mock.post(EDITS).mock(**responses)
    with pytest.raises(ServiceUnavailable) as raised:
        await picture_of(make(max_retries=0), REQUEST)
    assert raised.value.may_be_paid is may_be_paid


async def test_a_passing_fault_is_survived(make: Make, world: World, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(side_effect=[refusal(500), httpx.ReadError("reset"), answer()])
    with capture_logs() as logs:
        assert (await picture_of(make(), REQUEST)).jpeg == JPEG
    assert world.attempts == 3
    assert [line["reason"] for line in logs if line["log_level"] == "warning"] == [
        "status 500, type some_error, openai request req_openai_1",
        "ReadError: reset",
    ]


async def test_no_retries_means_one_attempt(make: Make, world: World, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(return_value=refusal(500))
    with pytest.raises(ServiceUnavailable):
        await picture_of(make(max_retries=0), REQUEST)
    assert world.attempts == 1


async def test_without_the_limiters_leave_nothing_is_sent(make: Make, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(EDITS).mock(return_value=answer())

    async def redis_is_away() -> None:
        raise ConnectionResetError("redis")

    with pytest.raises(ConnectionResetError):
        await picture_of(make(before_attempt=redis_is_away), REQUEST)
    assert not route.called


async def test_a_rate_limit_tells_when_to_come_back(make: Make, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(EDITS).mock(return_value=refusal(429, "rate_limit_exceeded", {"Retry-After": "7"}))
    with pytest.raises(RateLimited) as raised:
        await picture_of(make(), REQUEST)
    assert raised.value.retry_after_s == 7


# The client itself, on a real socket


def picture() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 12), "red").save(data, "JPEG")
    return data.getvalue()


REAL_REQUEST = ImageRequest(PROMPT, [picture(), picture()], "req_1")


async def test_a_reset_is_asked_again_and_an_attempt_takes_no_longer_than_allowed(make: Make, world: World) -> None:
    with OpenAIStub() as stub:
        stub.then(Reset(), Hang(), Picture())
        images = make(client=None, base_url=stub.url, attempt_timeout_s=1.0)
        image = await picture_of(images, REAL_REQUEST)
    assert image.jpeg.startswith(b"\xff\xd8")
    assert world.attempts == len(stub.requests) == 3


async def test_while_requests_are_lost_and_nobody_answers_the_rest_of_them_is_kept(make: Make, world: World) -> None:
    with OpenAIStub() as stub:
        images = make(client=None, base_url=stub.url, max_retries=3)
        stub.always(Reset())
        with pytest.raises(NotAsked) as raised:
            await picture_of(images, REAL_REQUEST)
        assert (len(stub.requests), raised.value.unanswered) == (3, 3)
        assert stub.looked_up == [f"/v1/models/{DEFAULT_MODEL}"]

        stub.always(Picture())
        stub.then(Reset())
        images = make(client=None, base_url=stub.url, max_retries=3)  # another process goes on
        for unanswered in (3, 4):
            with pytest.raises(ServiceUnavailable) as lost:
                await picture_of(images, replace(REAL_REQUEST, unanswered=unanswered))
            assert (len(stub.requests), lost.value.unanswered, lost.value.may_be_paid) == (4, 4, True)
    assert world.attempts == len(stub.requests) == 4, "as often as one picture may be paid for"


async def test_a_picture_asked_for_before_the_outage_does_not_say_that_the_service_is_back(make: Make) -> None:
    with OpenAIStub() as stub:
        images = make(client=None, base_url=stub.url, max_retries=0)
        stub.latency_s = 1.0
        early = asyncio.create_task(picture_of(images, REAL_REQUEST))
        while not stub.requests:  # noqa: ASYNC110 (another thread's)
            await asyncio.sleep(0.01)
        stub.always(Reset())
        for _ in range(AWAY_AFTER):
            with pytest.raises(ServiceUnavailable):
                await picture_of(images, REAL_REQUEST)
        assert (await early).jpeg
        with pytest.raises(NotAsked):
            await picture_of(images, REAL_REQUEST)


async def test_a_gateways_page_does_not_say_that_the_service_is_back(make: Make, world: World) -> None:
    with OpenAIStub() as stub:
        stub.then(Reset(), Reset(), Reset())
        stub.always(Answer(200, b"<html>Just a moment", {"Content-Type": "text/html"}))
        with pytest.raises(NotAsked):
            await picture_of(make(client=None, base_url=stub.url, max_retries=5), REAL_REQUEST)
        assert (len(stub.requests), len(stub.looked_up)) == (3, 1)


async def test_a_service_that_is_back_is_asked_again_in_the_same_process(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearon.tryon.openai.breaker.PROBE_S", 0.0)
    with OpenAIStub() as stub:
        images = make(client=None, base_url=stub.url, max_retries=3)
        stub.always(Reset())
        with pytest.raises(NotAsked):
            await picture_of(images, REAL_REQUEST)
        stub.always(Picture())
        assert (await picture_of(images, replace(REAL_REQUEST, unanswered=3))).jpeg.startswith(b"\xff\xd8")
        assert len(stub.paid) == 1


class Drip(httpx.AsyncByteStream):
    """A byte now and then, for ever."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("status", "error"), [(200, BadAnswer), (500, ServiceUnavailable)])
async def test_a_slow_drip_ends_in_time(
    make: Make, respx_mock: respx.MockRouter, status: int, error: type[GenerationError]
) -> None:
    respx_mock.post(EDITS).mock(return_value=httpx.Response(status, stream=Drip()))
    with pytest.raises(error, match="no whole answer"):
        await picture_of(make(attempt_timeout_s=0.1, max_retries=0), REQUEST)


async def test_connections_are_kept_alive_and_no_proxy_is_used(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with OpenAIStub() as stub:
        images = make(client=None, base_url=stub.url)
        for _ in range(3):
            await picture_of(images, REAL_REQUEST)
        await images.aclose()
    assert stub.connections == 1


async def test_a_client_that_is_handed_in_stays_open(make: Make) -> None:
    async with httpx.AsyncClient() as client:
        await make(client=client).aclose()
        assert not client.is_closed


@pytest.mark.parametrize("key", ["sk-line\n", "sk-ümlaut", "sk space"])
def test_a_key_that_cannot_be_sent_is_refused_without_quoting_it(make: Make, key: str) -> None:
    with pytest.raises(ValueError, match="key") as raised:
        make(api_key=key)
    assert key.strip() not in str(raised.value)
