"""What is counted of HTTP requests: templates of paths, never what a caller wrote."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.staticfiles import StaticFiles
from structlog.testing import capture_logs

from wearon.api.middleware import BodyLimit, RequestId, Uploads
from wearon.api.observation import Observation
from wearon.metrics import LoopWatch, Metrics
from wearon.observability.tracing import Tracing, outgoing_headers

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def client(metrics: Metrics, tmp_path: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()

    @app.get("/pictures/{name}")
    async def picture(name: str) -> dict[str, str]:
        return outgoing_headers()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            assert counted(metrics) == {("/endless", "GET", "200"): 1}, "it counts when it begins, not when it ends"
            yield "word"

        return StreamingResponse(words())

    (tmp_path / "a.css").write_text("")
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.add_middleware(BodyLimit, uploads=Uploads({}, 1.0, 1), passing=lambda _: False)
    app.add_middleware(RequestId, observation=Observation(metrics, Tracing()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        yield client


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """By route, method and status."""
    (found,) = [metric for metric in metrics.registry.collect() if metric.name == "wearon_http_requests"]
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for sample in found.samples
    }


async def test_all_pictures_are_one_route(client: httpx.AsyncClient, metrics: Metrics) -> None:
    for number in range(5):
        await client.get(f"/pictures/{number}")
    assert counted(metrics) == {("/pictures/{name}", "GET", "200"): 5}


async def test_what_nobody_has_named_is_one_route_and_one_method(client: httpx.AsyncClient, metrics: Metrics) -> None:
    for number in range(5):
        await client.request(f"BREW{number}", f"/{number}/../{number}%00?{number}")
    assert counted(metrics) == {("unmatched", "other", "404"): 5}


async def test_an_answer_that_never_came_is_a_500(client: httpx.AsyncClient, metrics: Metrics) -> None:
    await client.get("/broken")
    assert counted(metrics) == {("/broken", "GET", "500"): 1}


async def test_a_request_that_is_refused_before_it_is_routed_counts_too(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    await client.post("/pictures/1", content=b"x" * 20_000)
    assert counted(metrics) == {("unmatched", "POST", "413"): 1}


async def test_static_files_are_one_route(client: httpx.AsyncClient, metrics: Metrics) -> None:
    assert (await client.get("/static/a.css")).status_code == 200
    await client.get("/static/none.css")
    assert {route for route, _, _ in counted(metrics)} == {"/static"}


async def test_a_live_view_counts_when_it_begins(client: httpx.AsyncClient) -> None:
    assert (await client.get("/endless")).text == "word"


@pytest.mark.parametrize("traceparent", [TRACEPARENT, "rubbish", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_a_callers_trace_goes_on_if_it_is_one(client: httpx.AsyncClient, traceparent: str) -> None:
    with capture_logs() as lines:
        response = await client.get("/pictures/1", headers={"traceparent": traceparent, "X-Request-Id": "req_1"})
    carried = response.json()
    assert carried["X-Request-Id"] == response.headers["X-Request-Id"] == "req_1"
    assert (carried["traceparent"] == traceparent) is (traceparent == TRACEPARENT)
    assert [line["event"] for line in lines] == ["request"]


async def test_a_blocked_loop_is_seen(metrics: Metrics) -> None:
    watch = LoopWatch(metrics)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    blocker = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < blocker:
        pass
    while not (longest := watch.take_longest()):  # noqa: ASYNC110 - it is what is tested
        await asyncio.sleep(0.01)
    assert longest > 0.1
    assert metrics.registry.get_sample_value("wearon_event_loop_lag_seconds_bucket", {"le": "0.1"}) == 0
    running.cancel()
