"""The JSON behind the console's views."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from support.console_side import HOSTILE, SESSION, HandMadeConsole
from wearon.operations.refund_groups import Refunds
from wearon.pictures.decode import PictureError
from wearon.platform.base import PlatformRefused, PlatformUnavailable
from wearon.pose.pool import PoseBusy, PoseUnavailable
from wearon.sizing import (
    EstimateRequest,
    Fit,
    Measurements,
    NoPerson,
    RefusalCode,
    Sex,
    SizeChart,
    SizeEstimate,
    SizeRange,
)

ACTION = {"X-WearOn-Console": "1"}

ESTIMATE = SizeEstimate(
    recommended_size="M",
    measurements=Measurements(chest_cm=96.5, waist_cm=82.3, hip_cm=98.1, shoulder_cm=44.2),
    confidence=0.847,
    body_type=None,
    size_range=SizeRange(lower="M", upper="L"),
    standard_errors=Measurements(chest_cm=3.0, waist_cm=3.0, hip_cm=2.0, shoulder_cm=1.0),
    size_probabilities={"M": 0.847, "L": 0.153},
    warnings=(),
)


class Pool:
    """Stands in for the pose pool."""

    processes = warm = 1
    waiting = 0
    ready = True

    def __init__(self) -> None:
        self.outcome: Any = (ESTIMATE, (b"jpeg",))
        self.asked: list[tuple[Any, ...]] = []
        self.pictures: list[int] = []
        self.held: asyncio.Event | None = None
        self.all_in = asyncio.Semaphore(0)

    async def run(self, function: Callable[..., Any], *args: Any, timeout: float, pictures: int = 1) -> Any:
        self.asked.append(args)
        self.pictures.append(pictures)
        self.all_in.release()
        if self.held is not None:
            await self.held.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Producer:
    """Stands in for local mode's producer."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, ...]] = []
        self.error: Exception | None = None

    async def keep_picture(self, jpeg: bytes) -> str:
        return "http://pictures.test/files/uploads/1.jpg?signature=s"

    async def order(self, image_urls: list[str], prompt: str = "") -> Any:
        if self.error:
            raise self.error
        self.orders.append(tuple(image_urls))

        class Session:
            class ref:  # noqa: N801
                session_id = SESSION

        return Session


class Side:
    """The app, what stands behind it, and a client."""

    def __init__(self, producer: Producer | None) -> None:
        self.pool = Pool()
        self.producer = producer
        self.console = HandMadeConsole(pool=self.pool, producer=producer)
        transport = httpx.ASGITransport(self.console.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=ACTION)

    async def measure(self, body: Any = b"photo", **query: Any) -> httpx.Response:
        return await self.client.post("/console/api/measure", params={"height_cm": 178, **query}, content=body)


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    side = Side(Producer())
    yield side
    await side.client.aclose()


async def test_hello_says_what_can_be_done_here(side: Side) -> None:
    hello = (await side.client.get("/console/api/hello")).json()
    assert (hello["mode"], hello["try_on"], hello["logged_in"]) == ("local", True, False)
    assert {person["height_cm"] for person in hello["people"]} == {163, 168, 185}


async def test_sessions_are_found_told_and_their_pictures_signed(side: Side) -> None:
    hits = (await side.client.get("/console/api/sessions", params={"term": " req_1 "})).json()
    assert [hit["session_id"] for hit in hits] == [SESSION]
    story = (await side.client.get(f"/console/api/sessions/{SESSION}")).json()
    assert story["refund"]["state"] == "given_back"
    assert (await side.client.get("/console/api/sessions/unknown")).status_code == 404
    signed = await side.client.post(f"/console/api/sessions/{SESSION}/pictures/result")
    assert signed.json() == {"url": "http://pictures.test/signed"}
    missing = await side.client.post(f"/console/api/sessions/{SESSION}/pictures/input/0")
    assert missing.status_code == 404
    assert side.console.sessions.signed == [(SESSION, "result"), (SESSION, "input/0")]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RedisConnectionError("redis://:password@host"), 503, "Redis does not answer"),
        (PlatformUnavailable("https://x.supabase.co: time-out"), 503, "The platform does not answer"),
        (PlatformRefused("an id is not a uuid"), 409, "an id is not a uuid"),
        (RuntimeError("a bug"), 500, "Internal server error"),
    ],
)
async def test_what_is_out_of_reach_is_said_kindly(side: Side, error: Exception, status: int, words: str) -> None:
    side.console.sessions.error = error
    answer = await side.client.get("/console/api/sessions", params={"term": "x"})
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "password" not in answer.text


async def test_a_read_that_nobody_answers_ends_in_time(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.api.console.deadlines.READ_S", 0.02)

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(side.console.letters, "list", hang)
    answer = await side.client.get("/console/api/dead-letters")
    assert (answer.status_code, "does not answer" in answer.json()["detail"]) == (503, True)


async def test_dead_letters_are_listed_read_retried_and_discarded(side: Side) -> None:
    garbage, whole = (await side.client.get("/console/api/dead-letters")).json()
    assert "payload" not in garbage
    assert whole["session_id"] == SESSION
    assert (garbage["usable"], whole["whole"], whole["usable"]) == (False, False, False)
    groups = (await side.client.get("/console/api/dead-letters/groups")).json()
    assert (groups["letters"], [group["letters"] for group in groups["groups"]]) == (2, [1, 1])
    of_one = {"group": groups["groups"][1]["id"]}
    assert (await side.client.get("/console/api/dead-letters", params=of_one)).json() == [whole]
    read = (await side.client.get(f"/console/api/dead-letters/{garbage['id']}")).json()
    assert read["payload"] == HOSTILE
    await side.client.post(f"/console/api/dead-letters/{whole['id']}/retry")
    assert side.console.letters.pushed == [whole["id"]]
    await side.client.post(f"/console/api/dead-letters/{garbage['id']}/discard")
    assert (await side.client.get("/console/api/dead-letters")).json() == []
    for action in ("retry", "discard"):
        gone = await side.client.post(f"/console/api/dead-letters/{garbage['id']}/{action}")
        assert (gone.status_code, gone.json()["detail"]) == (404, f"There is no dead letter {garbage['id']}")


async def test_refunds_are_listed_retried_and_put_right(side: Side) -> None:
    cases = (await side.client.get("/console/api/refunds")).json()
    (outstanding,) = cases["outstanding"]
    assert (outstanding["late"], outstanding["error"]) == (True, "ConnectError")
    assert cases["by_hand"][0]["why"] == "charged as an overage"
    assert [(group["cause"], group["late"]) for group in cases["groups"]] == [
        ("ConnectError", 1),
        ("charged as an overage", 0),
    ]
    retried = (await side.client.post("/console/api/refunds/retry", params={"session": SESSION})).json()
    assert (retried["settled"], retried["outstanding"]) == ([SESSION], [])
    group = {"group": cases["groups"][1]["id"], "seen": 1}
    (case,) = side.console.refunds.refunds.by_hand
    side.console.refunds.refunds = Refunds([], [case, case])
    more = await side.client.post("/console/api/refunds/resolve", params=group)
    assert more.status_code == 409
    assert more.json()["detail"].startswith("2 refunds of this cause need review now, not 1")
    side.console.refunds.refunds = Refunds([], [case])
    assert (await side.client.post("/console/api/refunds/resolve", params=group)).json()["by_hand"] == []
    side.console.refunds.refunds = Refunds([], [case])
    resolved = (await side.client.post(f"/console/api/refunds/{SESSION}/resolve")).json()
    assert resolved["by_hand"] == []
    assert (await side.client.post("/console/api/refunds/unknown/resolve")).status_code == 404


async def test_a_photo_is_measured_and_drawn(side: Side) -> None:
    answer = await side.measure(weight_kg=70, sex="female")
    assert answer.json()["estimate"]["recommended_size"] == "M"
    assert answer.json()["picture"] == "data:image/jpeg;base64,anBlZw=="
    assert answer.json()["side_picture"] is None
    ((photo, question, with_sizes),) = side.pool.asked
    assert not with_sizes  # the page has a bar of its own
    assert (photo, question.height_cm, question.weight_kg, question.sex) == (b"photo", 178, 70, Sex.FEMALE)


async def test_two_photos_come_one_behind_the_other(side: Side) -> None:
    side.pool.outcome = (ESTIMATE, (b"jpeg", b"side"))
    answer = (await side.measure(b"front+side", first_bytes=6)).json()
    assert (answer["picture"], answer["side_picture"]) == (
        "data:image/jpeg;base64,anBlZw==",
        "data:image/jpeg;base64,c2lkZQ==",
    )
    assert [args[:2] for args in side.pool.asked] == [(b"front+", b"side")]
    assert side.pool.pictures == [2]


async def test_a_weight_needs_no_photo(side: Side) -> None:
    side.pool.outcome = ESTIMATE
    answer = (await side.measure(b"", weight_kg=70)).json()
    assert answer["estimate"]["recommended_size"] == "M"
    assert (answer["picture"], answer["side_picture"]) == (None, None)
    assert side.pool.asked == [(EstimateRequest(178, 70),)]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (PictureError("no"), 400, "JPEG, PNG or WebP"),
        (NoPerson(RefusalCode.NO_PERSON), 422, "full body"),
        (PoseBusy("full"), 503, "temporarily unavailable"),
        (PoseUnavailable("dead"), 503, "temporarily unavailable"),
    ],
)
async def test_a_photo_that_cannot_be_measured_is_refused_as_everywhere(
    side: Side, error: Exception, status: int, words: str
) -> None:
    side.pool.outcome = error
    answer = await side.measure()
    assert answer.status_code == status
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    "query",
    [{"height_cm": 99}, {"height_cm": "nan"}, {"weight_kg": 20}, {"sex": "x"}, {"first_bytes": 0}, {"first_bytes": -1}],
)
async def test_odd_numbers_are_refused_before_anything_is_decoded(side: Side, query: dict[str, Any]) -> None:
    assert (await side.measure(**query)).status_code == 422
    assert side.pool.asked == []


async def test_only_uploads_may_be_large_and_not_larger_than_the_bucket_takes(side: Side) -> None:
    megabytes = b"x" * 10 * 1024 * 1024
    assert (await side.measure(megabytes)).status_code == 200
    assert (await side.client.post("/console/api/pictures", content=megabytes)).status_code == 200
    side.pool.outcome = (ESTIMATE, (b"jpeg", b"side"))
    assert (await side.measure(2 * megabytes, first_bytes=len(megabytes))).status_code == 200
    for first in (len(megabytes) - 1, len(megabytes) + 1):
        assert (await side.measure(2 * megabytes, first_bytes=first)).status_code == 413
    assert (await side.measure(2 * megabytes + b"x", first_bytes=len(megabytes))).status_code == 413
    for path in ("measure?height_cm=170", "pictures"):
        assert (await side.client.post(f"/console/api/{path}", content=megabytes + b"x")).status_code == 413
    for path in ("/console/api/login", "/console/api/try-on", "/estimate-body"):
        assert (await side.client.post(path, content=b"x" * 17_000)).status_code == 413


async def test_only_so_many_uploads_are_held_at_once(side: Side) -> None:
    side.pool.held = asyncio.Event()
    under_way = [asyncio.create_task(side.measure()) for _ in range(4)]
    async with asyncio.timeout(10):
        for _ in under_way:
            await side.pool.all_in.acquire()
    assert (await side.measure()).status_code == 503
    side.pool.held.set()
    assert {(await task).status_code for task in under_way} == {200}
    assert (await side.measure()).status_code == 200


async def test_the_try_on_studio_keeps_pictures_and_orders(side: Side) -> None:
    side.pool.outcome = b"jpeg"
    url = (await side.client.post("/console/api/pictures", content=b"photo")).json()["url"]
    ordered = await side.client.post("/console/api/try-on", json={"pictures": [url, url]})
    assert ordered.json() == {"session_id": SESSION}
    assert side.producer is not None
    assert side.producer.orders == [(url, url)]
    for pictures in ([url], [url, "http://169.254.169.254/latest"], [url] * 11, [url, "http://pictures.test/files/x"]):
        refused = await side.client.post("/console/api/try-on", json={"pictures": pictures})
        assert refused.status_code in {400, 422}
    side.producer.error = PlatformRefused("not enough credits")
    assert (await side.client.post("/console/api/try-on", json={"pictures": [url, url]})).status_code == 409


async def test_production_has_no_try_on_studio() -> None:
    side = Side(None)
    async with side.client as client:
        assert not (await client.get("/console/api/hello")).json()["try_on"]
        assert (await client.post("/console/api/pictures", content=b"x")).status_code == 404
        assert (await client.post("/console/api/try-on", json={"pictures": ["a", "b"]})).status_code == 404
    assert side.pool.asked == []


async def test_a_chart_and_a_preference_reach_the_estimate_and_a_wrong_chart_is_named(side: Side) -> None:
    side.pool.outcome = ESTIMATE
    chart = {"garment": "top", "sizes": [{"name": "M", "chest": {"min": 92, "max": 100}}]}
    await side.measure(b"", weight_kg=70, size_chart=json.dumps(chart), fit_preference="loose")
    ((question,),) = side.pool.asked
    assert (question.size_chart, question.fit_preference) == (SizeChart.model_validate(chart), Fit.LOOSE)
    for text, complaint in (
        ("{", "Invalid JSON"),
        ('{"sizes": [{"name": "M", "chest": NaN}]}', "finite"),
        ("x" * 9000, "8000"),
    ):
        refused = await side.measure(b"", weight_kg=70, size_chart=text)
        assert refused.status_code == 422
        assert complaint in str(refused.json())
    assert len(side.pool.asked) == 1
