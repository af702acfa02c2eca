"""When an image model ends: what a server says of it, and what is said on."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from wearon.metrics import Metrics
from wearon.tryon.openai.last_days import MAX_ANSWER_BYTES, LastDays, announced_last_day, tell_last_day

BASE = "https://api.openai.com/v1"
TODAY = date(2026, 11, 24)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False) as client:
        yield client


def stamp(metrics: Metrics, model: str) -> float | None:
    return metrics.registry.get_sample_value("wearon_image_model_shutdown_timestamp_seconds", {"model": model})


def of(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


async def test_announced_days_become_metrics_and_are_taken_back(
    client: httpx.AsyncClient, respx_mock: respx.MockRouter
) -> None:
    day = date(2027, 6, 1)
    one = respx_mock.get(f"{BASE}/models/gpt-image-2").respond(json={"shutdown_date": day.isoformat()})
    respx_mock.get(f"{BASE}/models/gpt-image-2.6-flare").respond(json={"shutdown_date": None})
    metrics = Metrics()
    days = LastDays(["gpt-image-2", "gpt-image-2.6-flare"], BASE, "sk-key", client, metrics)
    assert await days.look()
    assert days.known == {"gpt-image-2": day, "gpt-image-2.6-flare": None}
    assert stamp(metrics, "gpt-image-2") == of(day)
    assert stamp(metrics, "gpt-image-2.6-flare") is None
    assert one.calls.last.request.headers["authorization"] == "Bearer sk-key"
    one.respond(json={"shutdown_date": None})
    assert await days.look()
    assert days.known["gpt-image-2"] is None
    assert stamp(metrics, "gpt-image-2") is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="Not Found"),
        httpx.Response(200, json={"id": "gpt-image-1.5", "object": "model"}),
        httpx.Response(200, json=["odd"]),
        httpx.Response(200, json={"shutdown_date": 20261201}),
        httpx.Response(200, json={"shutdown_date": "soon"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"[" * MAX_ANSWER_BYTES * 2),
        httpx.Response(401),
    ],
    ids=["no path", "no date", "list", "number", "no day", "page", "endless", "refused"],
)
async def test_a_server_that_does_not_say_is_no_error_and_the_table_counts(
    client: httpx.AsyncClient, respx_mock: respx.MockRouter, answer: httpx.Response
) -> None:
    respx_mock.get(f"{BASE}/models/gpt-image-1.5").mock(return_value=answer)
    metrics = Metrics()
    days = LastDays(["gpt-image-1.5"], BASE, "sk-key", client, metrics)
    assert await days.look()
    assert days.known == {"gpt-image-1.5": date(2026, 12, 1)}
    assert stamp(metrics, "gpt-image-1.5") == of(date(2026, 12, 1))


@pytest.mark.parametrize("fault", [httpx.ConnectError("nobody"), httpx.Response(503)])
async def test_a_server_that_does_not_answer_is_asked_again_sooner(
    client: httpx.AsyncClient, respx_mock: respx.MockRouter, fault: httpx.Response | Exception
) -> None:
    route = respx_mock.get(f"{BASE}/models/somebody/own%20model")
    if isinstance(fault, Exception):
        route.mock(side_effect=fault)
    else:
        route.mock(return_value=fault)
    days = LastDays(["somebody/own model"], BASE, "sk-key", client, Metrics())
    assert not await days.look()
    assert days.known == {"somebody/own model": None}


async def test_a_day_that_is_near_is_logged(client: httpx.AsyncClient, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{BASE}/models/gpt-image-1").respond(404)
    with capture_logs() as logs:
        await LastDays(["gpt-image-1"], BASE, "sk-key", client, Metrics()).look()
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["model"], warning["last_day"]) == ("gpt-image-1", "2026-10-23")
    assert "sk-key" not in str(logs)


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (date(2027, 1, 24), None),  # in 61 days
        (date(2027, 1, 23), "m is shut down on 2027-01-23, in 60 days"),
        (date(2026, 11, 25), "m is shut down on 2026-11-25, in 1 day"),
        (date(2026, 11, 24), "m was shut down on 2026-11-24"),
        (date(2026, 10, 1), "m was shut down on 2026-10-01"),
    ],
)
def test_a_day_is_told_when_it_is_near(day: date, words: str | None) -> None:
    assert tell_last_day("m", day, TODAY) == words


def test_the_answer_names_the_day() -> None:
    assert announced_last_day(b'{"id": "m", "shutdown_date": "2026-12-01"}') == date(2026, 12, 1)
