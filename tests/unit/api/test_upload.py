"""`POST /estimate-body` with the photos in the request: what is understood, and bounds before work is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from support.api_services import api_services
from wearon.api import upload_memory
from wearon.api.app import create_app
from wearon.api.upload_form import Form, FormError
from wearon.api.upload_memory import UploadMemory
from wearon.platform.base import MAX_PICTURE_BYTES
from wearon.pose.pool import PoseBusy
from wearon.sizing import (
    EstimateRequest,
    Measurements,
    Sex,
    SizeEstimate,
    SizeRange,
    estimate_size,
    estimate_size_of_two,
    estimate_without_photo,
)

CENTIMETRES = Measurements(chest_cm=96.5, waist_cm=82.3, hip_cm=98.1, shoulder_cm=44.2)
ANSWER = SizeEstimate(
    recommended_size="M",
    measurements=CENTIMETRES,
    confidence=0.847,
    body_type=None,
    size_range=SizeRange(lower="M", upper="L"),
    standard_errors=CENTIMETRES,
    size_probabilities={"M": 1.0},
    warnings=(),
)
CHART = '{"sizes": [{"name": "one", "chest_cm": 100}, {"name": "two"}]}'
JPEG = {"Content-Type": "image/jpeg"}
PLACES = 3


class Pool:
    """Stands in for the pose pool: it has `PLACES`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.places = self.free = PLACES
        self.asked: list[tuple[Any, ...]] = []

    @contextmanager
    def place(self, function: Any, *, pictures: int = 1) -> Iterator["Place"]:
        if not self.free:
            raise PoseBusy("full")
        self.free -= 1
        try:
            yield Place(self, function)
        finally:
            self.free += 1

    async def run(self, function: Any, *args: Any, timeout: float) -> SizeEstimate:
        self.asked.append((function, *args))
        return ANSWER


class Place:
    """Stands in for a place in the pool's line."""

    def __init__(self, pool: Pool, function: Any) -> None:
        self._pool, self._function = pool, function

    async def run(self, *args: Any, timeout: float) -> SizeEstimate:
        return await self._pool.run(self._function, *args, timeout=timeout)


class Api:
    """The app before a pool, and a client."""

    def __init__(self) -> None:
        self.pool = Pool()
        app = create_app(api_services(pose_pool=self.pool))
        self.memory: UploadMemory = app.state.upload_memory
        self._app = app
        self.client = self.client_at("127.0.0.1")

    def client_at(self, address: str) -> httpx.AsyncClient:
        """A client with that address."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app, client=(address, 1)), base_url="http://worker"
        )

    async def send(self, *, query: str = "", **request: Any) -> httpx.Response:
        return await self.client.post(f"/estimate-body{query}", **request)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    yield api
    await api.client.aclose()
    assert api.pool.free == api.pool.places


def form(fields: Iterable[tuple[str, bytes]], boundary: bytes = b"b", end: bytes = b"--\r\n") -> bytes:
    """A form as curl sends it."""
    head = b'Content-Disposition: form-data; name="%s"; filename="f"\r\nContent-Type: image/jpeg\r\n\r\n'
    parts = [b"--%s\r\n%s%s\r\n" % (boundary, head % name.encode(), value) for name, value in fields]
    return b"%s--%s%s" % (b"".join(parts), boundary, end)


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (
            {"files": {"image": b"front"}, "data": {"height_cm": "178"}},
            (estimate_size, b"front", EstimateRequest(178.0)),
        ),
        (
            {
                "files": {"side_image": b"side", "image": b"front", "later_picture": b"x" * 20_000},
                "data": {"height_cm": "178", "weight_kg": "70.5", "sex": "female", "later_field": "1"},
            },
            (estimate_size_of_two, b"front", b"side", EstimateRequest(178.0, 70.5, Sex.FEMALE)),
        ),
        (
            {"files": {"image": b""}, "data": {"height_cm": "178", "weight_kg": "70", "sex": ""}},
            (estimate_without_photo, EstimateRequest(178.0, 70.0)),
        ),
        (
            {"query": "?height_cm=178&sex=male&later=1", "content": b"front", "headers": JPEG},
            (estimate_size, b"front", EstimateRequest(178.0, None, Sex.MALE)),
        ),
        (
            {"query": "?height_cm=178", "content": b"front", "headers": {"Content-Type": "IMAGE/PNG; q=1"}},
            (estimate_size, b"front", EstimateRequest(178.0)),
        ),
    ],
    ids=["a form", "a full form", "a form with fields left empty", "a picture", "a picture with parameters"],
)
async def test_photos_in_the_request_are_measured(api: Api, request_: dict[str, Any], asked: tuple[Any, ...]) -> None:
    response = await api.send(**request_)
    assert (response.status_code, response.json()["recommended_size"]) == (200, "M")
    assert api.pool.asked == [asked]


async def test_a_size_chart_is_json_in_a_field_or_in_the_query(api: Api) -> None:
    await api.send(files={"image": b"front"}, data={"height_cm": "178", "size_chart": CHART})
    assert (await api.send(query=f"?height_cm=178&size_chart={CHART}", content=b"p", headers=JPEG)).status_code == 200
    assert [asked[-1].size_chart.names for asked in api.pool.asked] == [("one", "two")] * 2


MALFORMED: dict[str, dict[str, Any]] = {
    "no photo": {"files": {"other": b"x"}, "data": {"height_cm": "178"}},
    "only a side": {"files": {"side_image": b"x"}, "data": {"height_cm": "178", "weight_kg": "70"}},
    "an empty picture": {"query": "?height_cm=178", "content": b"", "headers": JPEG},
    "no height": {"files": {"image": b"x"}},
    "no height in the query": {"content": b"x", "headers": JPEG},
    "a height out of range": {"files": {"image": b"x"}, "data": {"height_cm": "99"}},
    "a height that is no number": {"files": {"image": b"x"}, "data": {"height_cm": "NaN"}},
    "a chart that is no JSON": {"files": {"image": b"x"}, "data": {"height_cm": "178", "size_chart": "[" * 9000}},
    "an empty chart": {"files": {"image": b"x"}, "data": {"height_cm": "178", "size_chart": '{"sizes": []}'}},
    "a URL": {"files": {"image": b"x"}, "data": {"height_cm": "178", "side_image_url": "http://x"}},
    "two heights": {"query": "?height_cm=178&height_cm=180", "content": b"x", "headers": JPEG},
    "two photos of one name": {"content": form([("image", b"x"), ("image", b"y"), ("height_cm", b"178")])},
    "text that is not UTF-8": {"content": form([("image", b"x"), ("height_cm", b"\xff")])},
    "no boundary": {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    "a boundary without end": {
        "content": b"x",
        "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 2000},
    },
    "no end": {"content": form([("image", b"x"), ("height_cm", b"178")], end=b"\r\n")},
    "many parts": {"content": form([(f"n{number}", b"") for number in range(40)])},
    "a part without a name": {"content": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"},
    "a part with many headers": {"content": b"--b\r\n" + b"X-A: b\r\n" * 50},
    "a part with a large header": {"content": b"--b\r\nX-A: " + b"b" * 5000},
    "JSON": {"content": b'{"height_cm": 178}'},
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_upload_is_a_422_that_says_where(api: Api, request_: dict[str, Any]) -> None:
    response = await api.send(**({"headers": FORM} if "content" in request_ else {}) | request_)
    assert response.status_code == 422
    complaint = response.json()["detail"][0]
    assert complaint.keys() == {"type", "loc", "msg"}
    assert complaint["loc"][0] in {"body", "query"}
    assert api.pool.asked == []


@pytest.mark.parametrize("query", ["?height_cm=178", ""])
async def test_a_json_body_is_read_as_ever(api: Api, query: str) -> None:
    response = await api.send(query=query, json={"weight_kg": 70, **({} if query else {"height_cm": 178})})
    assert response.status_code == (422 if query else 200)


class Body:
    """A body that counts what is read of it, and stands still behind its end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.read = 0
        self.waits = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.read += len(piece)
            yield piece
        self.waits.set()
        await asyncio.Event().wait()


async def test_nothing_is_read_without_a_place(api: Api) -> None:
    api.pool.free, body = 0, Body(b"x")
    response = await api.send(content=body, headers=JPEG, query="?height_cm=178")
    api.pool.free = PLACES
    assert (response.status_code, response.headers["retry-after"], body.read) == (503, "1", 0)
    assert response.json()["detail"] == "Pose estimation service is temporarily unavailable"


@pytest.mark.parametrize(
    ("headers", "most"), [(JPEG, MAX_PICTURE_BYTES), (FORM, 2 * MAX_PICTURE_BYTES + 64 * 1024)], ids=["picture", "form"]
)
async def test_nothing_is_read_of_what_says_that_it_is_too_large(api: Api, headers: dict[str, str], most: int) -> None:
    body = Body(b"x")
    response = await api.send(content=body, headers={**headers, "Content-Length": str(most + 1)})
    assert (response.status_code, response.headers["connection"], body.read) == (413, "close", 0)


async def test_what_turns_out_to_be_too_large_is_read_no_further(api: Api) -> None:
    megabyte = b"x" * 1024 * 1024
    picture, in_a_form = Body(*[megabyte] * 30), Body(form([("image", b"")])[:-9], *[megabyte] * 30)
    for body, headers in ((picture, JPEG), (in_a_form, FORM)):
        response = await api.send(content=body, headers=headers, query="?height_cm=178")
        assert (response.status_code, body.read // len(megabyte)) == (413, 11)


async def test_who_sends_slowly_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_memory, "SLOW_AFTER_S", 0.05)
    response = await api.send(content=Body(b"x"), headers=JPEG, query="?height_cm=178")
    assert (response.status_code, response.headers["connection"]) == (408, "close")


MEGABYTE = b"x" * 1024 * 1024


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets after how many seconds an upload is slow, or idle; at first none ever is."""

    def after(*, slow: float = 600.0, idle: float = 600.0) -> None:
        for name, seconds in {"SLOW_AFTER_S": slow, "IDLE_AFTER_S": idle, "LONGEST_S": 900.0}.items():
            monkeypatch.setattr(upload_memory, name, seconds)

    after()
    return after


class Uploads:
    """Uploads under way, of which no more comes."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.answers: list[asyncio.Task[httpx.Response]] = []

    async def hold(self, *pieces: bytes, promised: int = 0, client: str = "127.0.0.1") -> None:
        body, sender = Body(*pieces), self._api.client_at(client)
        headers = {**JPEG, "Content-Length": str(promised or sum(map(len, pieces)))}
        request = sender.post("/estimate-body?height_cm=178", content=body, headers=headers)
        self.answers.append(asyncio.create_task(request))
        waits = asyncio.create_task(body.waits.wait())
        await asyncio.wait([waits, self.answers[-1]], return_when=asyncio.FIRST_COMPLETED)
        assert waits.done()

    async def honest(self, content: bytes = b"x", client: str = "127.0.0.1") -> int:
        sender = self._api.client_at(client)
        return (await sender.post("/estimate-body?height_cm=178", content=content, headers=JPEG)).status_code

    async def given_up(self) -> list[int]:
        """Which have been answered: each with 408."""
        for _ in range(10):
            await asyncio.sleep(0)
        ended = [number for number, answer in enumerate(self.answers) if answer.done()]
        assert {self.answers[number].result().status_code for number in ended} <= {408}
        return ended


@pytest.fixture
async def uploads(api: Api, patience: Callable[..., None]) -> AsyncIterator[Uploads]:
    uploads = Uploads(api)
    yield uploads
    for answer in uploads.answers:
        answer.cancel()
    await asyncio.wait(uploads.answers)


async def test_a_promise_of_a_large_upload_holds_no_memory_and_no_place(uploads: Uploads) -> None:
    for _ in range(128):
        await uploads.hold(b"x", promised=MAX_PICTURE_BYTES)
    assert await uploads.honest(MEGABYTE * 9) == 200
    assert await uploads.given_up() == []


async def test_uploads_share_their_memory_and_slow_ones_give_way(
    api: Api, uploads: Uploads, patience: Callable[..., None]
) -> None:
    api.memory._free = 9 * 1024 * 1024
    for _ in range(2):
        await uploads.hold(*[MEGABYTE] * 4)
    assert await uploads.honest(MEGABYTE * 2) == 503, "all is taken"
    patience(slow=-1.0)
    assert await uploads.honest(MEGABYTE * 2) == 200
    assert await uploads.given_up() == [0], "the one that has been there longest"


async def test_uploads_that_have_stopped_give_way(api: Api, uploads: Uploads, patience: Callable[..., None]) -> None:
    api.memory._free = 4 * 1024 * 1024
    for _ in range(2):
        await uploads.hold(MEGABYTE)
    patience(idle=-1.0)
    assert await uploads.honest(MEGABYTE * 3) == 200
    assert await uploads.given_up() == [0]


async def test_who_has_most_of_the_memory_gives_way_to_who_has_less(api: Api, uploads: Uploads) -> None:
    api.memory._free, api.pool.free, api.pool.places = 10 * 1024 * 1024, 5, 5
    for count in (4, 2, 3):
        await uploads.hold(*[MEGABYTE] * count, client="192.0.2.1")
    assert await uploads.honest(MEGABYTE * 2, client="192.0.2.1") == 503, "it has all there is"
    assert await uploads.honest(MEGABYTE * 2, client="192.0.2.2") == 200
    assert await uploads.given_up() == [1], "the one that lost least"


async def test_what_grows_beyond_the_memory_is_refused(api: Api, uploads: Uploads) -> None:
    api.memory._free = 5 * 1024 * 1024
    await uploads.hold(*[MEGABYTE] * 4)
    body = Body(*[MEGABYTE] * 4)
    response = await api.send(content=body, headers={**JPEG, "Content-Length": "5000"}, query="?height_cm=178")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert body.read == 2 * len(MEGABYTE)


FIELDS = st.dictionaries(st.sampled_from(["image", "side_image", "height_cm", "other"]), st.binary(max_size=80))


@given(FIELDS, st.lists(st.integers(0, 400)), st.sampled_from([b"b", b"--", b"\r", b"-" * 70]))
def test_a_form_means_the_same_in_whatever_pieces_it_comes(
    fields: dict[str, bytes], cuts: list[int], boundary: bytes
) -> None:
    if any(b"--" + boundary in value for value in fields.values()) or boundary == b"\r":
        return
    body = form(fields.items(), boundary)
    parsed = Form(f'multipart/form-data; boundary="{boundary.decode()}"', dict.fromkeys(fields.keys() - {"other"}, 80))
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(body)], strict=True):
        parsed.feed(body[start:end])
    assert parsed.parts() == {name: value for name, value in fields.items() if name != "other"}


@given(st.lists(st.sampled_from([b"--b", b"--", b"\r", b"\n", b'Content-Disposition: form-data; name="image"', b"x"])))
def test_whatever_comes_as_a_form_is_one_or_is_refused(pieces: list[bytes]) -> None:
    parsed = Form("multipart/form-data; boundary=b", {"image": 4})
    try:
        for piece in pieces:
            parsed.feed(piece)
        assert parsed.parts().keys() <= {"image"}
    except (FormError, HTTPException):
        pass
