"""The HTTP side without its neighbours: validation, exact error bodies, request ids, bounds, the token."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from support.api_services import api_services
from wearon.api.app import create_app
from wearon.api.roles import NO_TOKENS, Access, Role
from wearon.net.fetch import FetchError
from wearon.pictures.decode import PictureError
from wearon.pose.pool import PoseBusy, PoseUnavailable
from wearon.sizing import (
    EstimateRequest,
    Measurements,
    NoPerson,
    RefusalCode,
    Sex,
    SizeEstimate,
    SizeRange,
    estimate_size_of_two,
    estimate_without_photo,
)

ANSWER = SizeEstimate(
    recommended_size="M",
    measurements=Measurements(chest_cm=96.5, waist_cm=82.3, hip_cm=98.1, shoulder_cm=44.2),
    confidence=0.847,
    body_type=None,
    size_range=SizeRange(lower="M", upper="L"),
    standard_errors=Measurements(chest_cm=3.0, waist_cm=3.0, hip_cm=2.0, shoulder_cm=1.0),
    size_probabilities={"M": 0.847, "L": 0.153},
    warnings=(),
)
CLOSED = Access({Role.OPERATOR: "s3cret"}, estimate_is_open=False)
BODY = {"image_url": "https://photos.example.com/me.jpg?token=t", "height_cm": 178}
SIDE = "https://elsewhere.example.com/side.jpg"


class Fetcher:
    """Stands in for the downloader (its own tests are in tests/unit/net): answers or raises what it is told."""

    def __init__(self) -> None:
        self.outcome: bytes | Exception = b"photo"
        self.side: bytes | Exception | None = b"side"
        """None: it never comes."""
        self.asked: list[str] = []
        self.together = asyncio.Barrier(1)
        self.gone = asyncio.Event()

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        self.asked.append(url)
        await self.together.wait()
        outcome = self.side if url == SIDE else self.outcome
        if outcome is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.gone.set()
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome


class Pool:
    """Stands in for the pose pool."""

    processes = warm = 2
    waiting = 0
    expected_wait_s = 0.0
    ready = True

    def __init__(self) -> None:
        self.outcome: SizeEstimate | Exception = ANSWER
        self.requests: list[EstimateRequest] = []
        self.photos: list[tuple[bytes, ...]] = []
        self.places: list[tuple[Callable[..., Any], int]] = []
        self.full = False

    @contextmanager
    def place(self, function: Callable[..., Any], *, pictures: int = 1) -> Iterator["Place"]:
        if self.full:
            raise PoseBusy("full")
        self.places.append((function, pictures))
        yield Place(self)

    async def run(self, function: Callable[..., Any], *args: Any, timeout: float) -> SizeEstimate:
        with self.place(function) as place:
            return await place.run(*args, timeout=timeout)

    def answer(self, args: tuple[Any, ...]) -> SizeEstimate:
        *photos, request = args
        self.requests.append(request)
        self.photos.append(tuple(photos))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Place:
    """Stands in for a place in the pool's line."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, *args: Any, timeout: float) -> SizeEstimate:
        return self._pool.answer(args)


class Api:
    """The app with its stand-ins, and a client."""

    def __init__(self, access: Access | None = None, *, local: bool = False, **options: Any) -> None:
        self.fetcher = Fetcher()
        self.pool = Pool()
        platform = {"local_platform": object()} if local else {}
        services = api_services(fetcher=self.fetcher, pose_pool=self.pool, **platform)
        app = create_app(services, access or NO_TOKENS, **options)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://worker")

    async def estimate(self, **changes: object) -> httpx.Response:
        return await self.client.post("/estimate-body", json={**BODY, **changes})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    yield api
    await api.client.aclose()


async def test_a_photo_and_a_height_give_a_size(api: Api) -> None:
    response = await api.estimate()
    assert response.status_code == 200
    answer = response.json()
    assert answer["recommended_size"] == "M"
    assert set(answer["measurements"]) == {"chest_cm", "waist_cm", "hip_cm", "shoulder_cm"}
    assert answer["size_range"] == {"lower": "M", "upper": "L"}
    assert answer["body_type"] is None
    assert api.fetcher.asked == [BODY["image_url"]]
    assert api.pool.requests == [EstimateRequest(178.0)]


async def test_fastapis_own_telemetry_stays_out_whoever_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    api = Api()
    assert (await api.client.get("/health/live?token=secret")).status_code == 200
    await api.client.aclose()
    assert spans.get_finished_spans() == ()


async def test_optional_fields_reach_the_estimate_and_unknown_ones_are_ignored(api: Api) -> None:
    chart = {"garment": "top", "sizes": [{"name": "one", "chest_cm": 100}, {"name": "two", "chest_cm": 120}]}
    response = await api.estimate(weight_kg=70, sex="female", size_chart=chart, later_field=[1])
    assert response.status_code == 200
    (request,) = api.pool.requests
    assert (request.weight_kg, request.sex, request.size_chart.names) == (70, Sex.FEMALE, ("one", "two"))


async def test_two_photos_are_fetched_at_the_same_time_and_measured_together(api: Api) -> None:
    api.fetcher.together = asyncio.Barrier(2)
    async with asyncio.timeout(10):
        assert (await api.estimate(side_image_url=SIDE)).status_code == 200
    assert set(api.fetcher.asked) == {BODY["image_url"], SIDE}
    assert api.pool.photos == [(b"photo", b"side")]
    assert api.pool.places[-1] == (estimate_size_of_two, 2)


async def test_a_side_photo_that_cannot_be_had_is_no_error(api: Api) -> None:
    api.fetcher.side = FetchError("blocked", transient=False)
    assert (await api.estimate(side_image_url=SIDE)).status_code == 200
    assert api.pool.photos == [(b"photo", b"")]


async def test_without_the_front_nobody_waits_for_the_side(api: Api) -> None:
    api.fetcher.together = asyncio.Barrier(2)
    api.fetcher.outcome, api.fetcher.side = FetchError("blocked", transient=False), None
    async with asyncio.timeout(10):
        refused = await api.estimate(side_image_url=SIDE)
        await api.fetcher.gone.wait()
    assert (refused.status_code, refused.json()["detail"]) == (400, "Invalid or inaccessible image URL")


async def test_a_weight_needs_no_photo(api: Api) -> None:
    for image_url in ({}, {"image_url": None}):
        answer = await api.client.post("/estimate-body", json={"height_cm": 178, "weight_kg": 80, **image_url})
        assert (answer.status_code, answer.json()["recommended_size"]) == (200, "M")
    assert api.pool.places[-1] == (estimate_without_photo, 1)
    assert api.pool.requests == [EstimateRequest(178.0, 80.0)] * 2
    assert api.fetcher.asked == []


@pytest.mark.parametrize("body", [{}, {"weight_kg": None}, {"weight_kg": 80, "side_image_url": SIDE}])
async def test_a_photo_is_missing_where_one_is_needed(api: Api, body: dict[str, object]) -> None:
    refused = await api.client.post("/estimate-body", json={"height_cm": 178, **body})
    missing = {"type": "missing", "loc": ["body", "image_url"], "msg": "Field required"}
    assert (refused.status_code, refused.json()["detail"]) == (422, [missing])
    assert (refused.json().keys(), refused.json()["code"]) == ({"detail", "code", "hint"}, "malformed")
    assert api.fetcher.asked == []


@pytest.mark.parametrize(
    ("where", "error", "status", "detail"),
    [
        ("fetcher", FetchError("blocked", transient=False), 400, "Invalid or inaccessible image URL"),
        ("pool", PictureError("not a picture"), 400, "Invalid or inaccessible image URL"),
        ("pool", NoPerson(RefusalCode.NO_PERSON), 422, "Could not detect full body pose from image"),
        ("pool", PoseBusy("full"), 503, "Pose estimation service is temporarily unavailable"),
        ("pool", PoseUnavailable("dead"), 503, "Pose estimation service is temporarily unavailable"),
        ("pool", RuntimeError("a bug"), 500, "Failed to estimate body measurements"),
        ("fetcher", RuntimeError("a bug"), 500, "Failed to estimate body measurements"),
    ],
)
async def test_each_failure_has_the_contracts_words(
    api: Api, where: str, error: Exception, status: int, detail: str
) -> None:
    getattr(api, where).outcome = error
    response = await api.estimate()
    assert (response.status_code, response.json()["detail"]) == (status, detail)
    assert "a bug" not in response.text


async def test_a_refusal_says_what_to_do_and_overload_says_when_to_come_back(api: Api) -> None:
    api.pool.outcome = NoPerson(RefusalCode.BODY_OUT_OF_FRAME)
    refusal = (await api.estimate()).json()
    assert refusal["code"] == "body_out_of_frame"
    assert refusal["hint"]
    api.pool.outcome = PoseBusy("full")
    assert (await api.estimate()).headers["retry-after"] == "1"


async def test_who_comes_too_late_is_told_so_before_his_photo_is_fetched(api: Api) -> None:
    api.pool.full = True
    refusal = await api.estimate()
    assert refusal.status_code == 503
    assert refusal.headers["retry-after"] == "1"
    assert api.fetcher.asked == []


async def test_callers_that_hammer_are_all_refused_and_the_next_ones_are_served(api: Api) -> None:
    api.pool.full = True
    refusals = await asyncio.gather(*(api.estimate() for _ in range(100)))
    assert {(one.status_code, one.json()["detail"]) for one in refusals} == {
        (503, "Pose estimation service is temporarily unavailable")
    }
    assert {one.headers["retry-after"] for one in refusals} == {"1"}
    assert len({one.headers["x-request-id"] for one in refusals}) == 100
    assert api.fetcher.asked == []
    api.pool.full = False
    assert (await api.estimate()).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"height_cm": 99.9},
        {"height_cm": 250.1},
        {"height_cm": "tall"},
        {"height_cm": None},
        {"image_url": ""},
        {"image_url": 5},
        {"side_image_url": ""},
        {"side_image_url": 5},
        {"side_image_url": "http://x/" + "a" * 4096},
        {"weight_kg": 29},
        {"sex": "other"},
        {"size_chart": {"sizes": []}},
    ],
)
async def test_a_malformed_body_is_a_422_and_nothing_is_fetched(api: Api, changes: dict[str, object]) -> None:
    response = await api.estimate(**changes)
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], list)
    assert api.fetcher.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"height_cm": NaN, "image_url": "x"}', b"\xff\xfe"])
async def test_what_is_no_json_object_is_a_422_too(api: Api, body: bytes) -> None:
    response = await api.client.post("/estimate-body", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422


async def test_a_body_over_16_kb_is_refused_by_its_length_and_as_it_streams(api: Api) -> None:
    large = b'{"image_url": "' + b"x" * 17_000 + b'"}'
    declared = await api.client.post("/estimate-body", content=large)

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 1000

    streamed = await api.client.post("/estimate-body", content=drip())
    assert (declared.status_code, streamed.status_code) == (413, 413)


async def test_a_body_that_stands_still_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearon.api.middleware.BODY_SECONDS", 0.05)

    async def stand_still() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = await api.client.post("/estimate-body", content=stand_still())
    assert (response.status_code, response.headers["connection"]) == (408, "close")
    assert api.fetcher.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_with_two_lengths_is_refused(api: Api, method: str) -> None:
    headers = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    response = await api.client.request(method, "/health/live", content=b"{}", headers=headers)
    assert (response.status_code, response.headers["connection"]) == (400, "close")


@pytest.mark.parametrize(
    "body",
    [
        b'{"image_url": "http://x", "height_cm": 170, "size_chart": {"sizes": [{"name": "S", "\\ud800": 1}]}}',
        b'{"image_url": "\\ud800", "height_cm": 170}',
        b'{"image_url": "http://x", "side_image_url": "\\ud800", "height_cm": 170}',
        b'{"image_url": "http://x", "height_cm": ' + b"1" * 5000 + b"}",
        b'{"image_url": "http://x", "height_cm": 1e999}',
        b'{"image_url": "http://x", "height_cm": -Infinity}',
        b'{"image_url": ' + b"[" * 8000 + b"]" * 8000 + b"}",
        b"[" * 16_000,
        b'"' * 3,
    ],
    ids=[
        "half a pair as a key",
        "half a pair",
        "half a pair beside",
        "digits",
        "1e999",
        "-Infinity",
        "deep",
        "deeper",
        "quotes",
    ],
)
async def test_odd_json_is_the_callers_fault(api: Api, body: bytes) -> None:
    response = await api.client.post("/estimate-body", content=body, headers={"content-type": "application/json"})
    assert response.status_code in {400, 422}
    assert response.json()["detail"]
    assert api.fetcher.asked == []


async def test_even_an_unexpected_error_says_where_it_stands_in_the_log(api: Api) -> None:
    api.pool.outcome = RuntimeError("a bug")
    response = await api.client.post("/estimate-body", json=BODY, headers={"X-Request-Id": "req_1"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "req_1")


async def test_no_redirect_is_built_from_the_callers_host_header(api: Api) -> None:
    response = await api.client.get("/console/", headers={"Host": "evil.example.com"})
    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/health", "/health/", "/health/live", "/health/live/", "/openapi.json"])
async def test_head_is_answered_wherever_get_is(api: Api, path: str) -> None:
    got, head = await api.client.get(path), await api.client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_local_mode_shows_the_description_and_loads_nothing_from_elsewhere() -> None:
    async with Api(local=True).client as client:
        page = await client.get("/docs")
        names = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert names == ["data:,", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"]
        for name in names[1:]:
            assert (await client.head(f"/{name}")).status_code == 200
        assert (await client.get("/docs/core.py")).status_code == 404
        assert "default-src 'none'" in page.headers["content-security-policy"]
    async with Api().client as client:
        assert (await client.get("/docs")).status_code == 404, "production has no page for it"


async def test_head_is_no_way_to_post(api: Api) -> None:
    assert (await api.client.head("/estimate-body")).status_code == 405
    assert (await Api(CLOSED).client.head("/openapi.json")).status_code == 401


@pytest.mark.parametrize("token", [None, "s3cret"])
async def test_the_description_names_every_answer(token: str | None) -> None:
    api = Api(CLOSED if token else None)
    async with api.client as client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        paths = (await client.get("/openapi.json", headers=headers)).json()["paths"]
    estimate = paths["/estimate-body"]["post"]
    wanted = {"200", "400", "408", "413", "422", "431", "500", "503"}
    assert set(estimate["responses"]) == wanted | ({"401", "403", "429"} if token else set())
    assert bool(estimate["security"]) == (token is not None)
    assert not paths["/health"]["get"]["security"]
    for operations in paths.values():
        for operation in operations.values():
            assert all("X-Request-Id" in answer["headers"] for answer in operation["responses"].values())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("req_abc-1", True), ("a" * 128, True), ("a" * 129, False), ("two words", False), ("", False), ("é", False)],
)
async def test_the_callers_request_id_comes_back_unless_it_is_unfit(api: Api, sent: str, kept: bool) -> None:
    response = await api.client.get("/health/live", headers=[(b"X-Request-Id", sent.encode())])
    got = response.headers["x-request-id"]
    assert (got == sent) == kept
    assert kept or got.startswith("req_")


async def test_health_speaks_although_redis_is_away(api: Api) -> None:
    response = await api.client.get("/health")
    assert response.status_code == 200
    report = response.json()
    assert (report["status"], report["model_loaded"], report["redis_connected"]) == ("degraded", True, False)


async def test_where_estimates_need_a_token_nothing_but_health_is_open() -> None:
    api = Api(CLOSED)
    async with api.client as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            refused = await client.post("/estimate-body", json=BODY, headers=header)
            assert refused.status_code == 401
        assert (await client.get("/openapi.json")).status_code == 401
        for scheme in ("Bearer", "bearer"):  # RFC 9110: in any case
            allowed = await client.post("/estimate-body", json=BODY, headers={"Authorization": f"{scheme} s3cret"})
            assert allowed.status_code == 200
        assert len(api.fetcher.asked) == 2


async def test_guessing_bearer_tokens_is_limited_and_the_right_one_gets_through() -> None:
    async with Api(CLOSED).client as client:
        for _ in range(3):
            assert (await client.get("/openapi.json")).status_code == 401  # no guess
        guesses = [await client.get("/openapi.json", headers={"Authorization": f"Bearer {n}"}) for n in range(8)]
        assert [guess.status_code for guess in guesses] == [401] * 5 + [429] * 3
        assert int(guesses[-1].headers["retry-after"]) > 0
        assert guesses[-1].headers["connection"] == "close"
        for _ in range(2):
            right = await client.get("/openapi.json", headers={"Authorization": "Bearer s3cret"})
            assert right.status_code == 200
        text = (await client.get("/metrics", headers={"Authorization": "Bearer s3cret"})).text
    assert 'wearon_wrong_tokens_total{answer="refused",where="bearer"} 5.0' in text
    assert 'wearon_wrong_tokens_total{answer="limited",where="bearer"} 3.0' in text


async def test_too_many_guesses_at_once_are_turned_away_unheard() -> None:
    async with Api(CLOSED).client as client:
        crowd = [client.get("/openapi.json", headers={"Authorization": "Bearer guess"}) for _ in range(200)]
        answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in answers} == {401, 429}


async def test_metrics_are_there_only_behind_a_token() -> None:
    closed, guarded = Api(), Api(CLOSED)
    async with closed.client as client:
        assert (await client.get("/metrics")).status_code == 404
    async with guarded.client as client:
        assert (await client.get("/metrics")).status_code == 401
        allowed = await client.get("/metrics", headers={"Authorization": "Bearer s3cret"})
        assert allowed.status_code == 200
        assert "wearon_build_info" in allowed.text


async def test_browsers_stay_out_unless_their_origin_is_let_in() -> None:
    preflight = {"Origin": "https://shop.example.com", "Access-Control-Request-Method": "POST"}
    closed, open_ = Api(), Api(cors_origins=["https://shop.example.com"])
    async with closed.client as client:
        response = await client.options("/estimate-body", headers=preflight)
        assert "access-control-allow-origin" not in response.headers
    async with open_.client as client:
        response = await client.options("/estimate-body", headers=preflight)
        assert response.headers["access-control-allow-origin"] == "https://shop.example.com"
        for header in ("content-type", "x-request-id", "authorization"):
            asked = {**preflight, "Access-Control-Request-Headers": header}
            assert (await client.options("/estimate-body", headers=asked)).status_code == 200, header
        other = await client.options("/estimate-body", headers={**preflight, "Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers
