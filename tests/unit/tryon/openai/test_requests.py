"""What is sent to each model, to a stand-in that refuses what the model does not take."""

import io
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from support.image_models import OneModel, picture_of
from support.openai_catalogue import CATALOGUE
from support.openai_stub import OpenAIStub
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.tryon.image_model import ImageRequest
from wearon.tryon.openai.client import OpenAIImages, make_client
from wearon.tryon.openai.models import DEFAULT_MODEL, Wanted
from wearon.tryon.openai.safety_identifier import make_identifier

OWNER = "b2c:6a3ff3f3-6a10-4a62-b3b1-7b3d4c1f5d10"


def photo(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(data, "JPEG")
    return data.getvalue()


REQUEST = ImageRequest("prompt", [photo(80, 60), photo(8, 8)], "req_1", owner=OWNER)


async def nothing_to_fetch(url: str) -> bytes:
    raise AssertionError(url)


async def as_it_is(jpeg: bytes) -> bytes:
    return jpeg


@pytest.fixture
def openai() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        stub.announce("gpt-image-1", stub.today.replace(year=2027))  # asked all the same
        yield stub


class Client:
    """Makes one picture with the settings of each call."""

    def __init__(self, openai: OpenAIStub) -> None:
        self._openai = openai
        self._http = make_client()

    async def send(
        self,
        request: ImageRequest = REQUEST,
        model: str = DEFAULT_MODEL,
        identify: Callable[[str], str] | None = None,
        **wanted: Any,
    ) -> dict[str, str]:
        """The fields that arrived, without those that every request has."""
        images = OpenAIImages(
            api_key="sk-key",
            base_url=self._openai.url,
            models=OneModel(model),
            fetch_url=nothing_to_fetch,
            ensure_jpeg=as_it_is,
            client=self._http,
            max_retries=0,
            metrics=Metrics(),
            tracing=Tracing(),
            dependencies=Dependencies(),
            identify=identify,
            wanted=Wanted(**wanted),
        )
        await picture_of(images, request)
        return dict(self._openai.requests[-1].fields)

    async def aclose(self) -> None:
        await self._http.aclose()


@pytest.fixture
async def client(openai: OpenAIStub) -> AsyncIterator[Client]:
    client = Client(openai)
    yield client
    await client.aclose()


@pytest.mark.parametrize("name", [model.names[0] for model in CATALOGUE])
async def test_every_model_takes_what_it_is_sent_whatever_is_set(client: Client, openai: OpenAIStub, name: str) -> None:
    settings = itertools.product(
        ["low", "medium", "high", "auto", "xhigh", "max"],
        [None, "low", "high"],
        [None, "low", "medium", "high"],
    )
    sizes = itertools.cycle(["photo", "1024x1536", "3840x2160"])
    for number, ((quality, fidelity, complexity), size) in enumerate(zip(settings, sizes, strict=False), 1):
        await client.send(
            model=name,
            quality=quality,
            input_fidelity=fidelity,
            complexity=complexity,
            size=size,
            identify=make_identifier("secret"),
        )
        assert openai.pictures_sent == number


async def test_a_model_of_somebodys_own_gets_what_every_server_takes(client: Client, openai: OpenAIStub) -> None:
    openai.serve_own("flux")
    fields = await client.send(
        model="flux", quality="max", input_fidelity="high", complexity="low", identify=make_identifier("secret")
    )
    assert fields == {"model": "flux", "prompt": "prompt", "n": "1", "size": "1024x1536"}


@pytest.mark.parametrize(
    ("shape", "size"), [((80, 60), "1456x1088"), ((60, 80), "1088x1456"), ((9, 9), "1248x1248"), ((8, 12), "1024x1536")]
)
async def test_a_picture_has_the_shape_of_the_shoppers_photo(client: Client, shape: tuple[int, int], size: str) -> None:
    request = ImageRequest("prompt", [photo(*shape), photo(300, 10)], "req_1")
    assert (await client.send(request, size="photo"))["size"] == size


async def test_the_owner_is_sent_as_a_keyed_hash_only(client: Client, openai: OpenAIStub) -> None:
    identify = make_identifier("secret")
    mine = (await client.send(identify=identify))["safety_identifier"]
    again = (await client.send(identify=make_identifier("secret"), model="gpt-image-2"))["safety_identifier"]
    others = (await client.send(ImageRequest("p", REQUEST.pictures, "r", owner="b2c:2"), identify=identify))[
        "safety_identifier"
    ]
    with_another_key = (await client.send(identify=make_identifier("another")))["safety_identifier"]
    assert mine == again
    assert len({mine, others, with_another_key}) == 3
    for received in openai.requests:
        assert OWNER.partition(":")[2] not in str((received.fields, received.headers))
        assert "secret" not in str(received.fields)
    assert "safety_identifier" not in await client.send(model=DEFAULT_MODEL)
    assert OWNER not in repr(REQUEST)


async def test_the_stand_in_fails_a_test_that_sends_what_a_model_does_not_take() -> None:
    wrong = OpenAIStub().start()
    images = Client(wrong)
    with pytest.raises(Exception, match="status 400"):
        await images.send(ImageRequest("x" * 32_001, REQUEST.pictures, "req_1"))
    await images.aclose()
    with pytest.raises(AssertionError, match="does not take"):
        wrong.__exit__(None)
