"""What a request to Supabase carries, and how it is counted."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import respx
from opentelemetry.trace import SpanKind

from support.service_wire import stubbed
from wearon.dependencies import Dependencies
from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing
from wearon.platform.base import Channel, PlatformError, SessionRef
from wearon.platform.supabase import SupabasePlatform

URL = "https://project.example"
REF = SessionRef(Channel.B2C, "6f0e0a3e-0000-4000-8000-000000000001", "6f0e0a3e-0000-4000-8000-000000000002")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def platform(metrics: Metrics) -> AsyncIterator[SupabasePlatform]:
    platform = await SupabasePlatform.connect(
        URL, "a-service-role-key", metrics=metrics, tracing=Tracing(), dependencies=Dependencies()
    )
    yield platform
    await platform.aclose()


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with stubbed(URL) as router:
        yield router


def requests(metrics: Metrics) -> dict[tuple[str, str], float]:
    """By service and outcome, without those that did not happen."""
    (counted,) = [metric for metric in metrics.registry.collect() if metric.name == "wearon_supabase_requests"]
    return {(s.labels["service"], s.labels["outcome"]): s.value for s in counted.samples if s.value}


async def test_a_call_carries_the_ids_of_the_job_that_it_is_made_for(
    platform: SupabasePlatform, wire: respx.MockRouter
) -> None:
    route = wire.get("/rest/v1/generation_sessions").respond(json=[])
    await platform.check()
    with Tracing().entry("generate", SpanKind.CONSUMER, request_id="req_1", traceparent=TRACEPARENT):
        await platform.check()
    without, within = (call.request.headers for call in route.calls)
    assert "traceparent" not in without
    assert (within["traceparent"], within["x-request-id"]) == (TRACEPARENT, "req_1")


async def test_calls_are_counted_by_service_and_outcome_and_never_by_path(
    platform: SupabasePlatform, wire: respx.MockRouter, metrics: Metrics
) -> None:
    wire.get("/rest/v1/generation_sessions").respond(json=[])
    await platform.check()
    wire.get("/rest/v1/generation_sessions").respond(401, json={"message": "no"})
    with pytest.raises(PlatformError):
        await platform.check()
    wire.get("/rest/v1/generation_sessions").mock(side_effect=httpx.ConnectError("gone"))
    with pytest.raises(PlatformError):
        await platform.check()
    wire.post(path__startswith="/storage/v1/object/").respond(503, json={})
    with pytest.raises(PlatformError):
        await platform.store_picture(REF, b"jpeg")
    assert requests(metrics) == {
        ("rest", "ok"): 1,
        ("rest", "refused"): 1,
        ("rest", "failed"): 1,
        ("storage", "failed"): 1,
    }
