"""What looking a model up tells, and what it must not do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import respx

from support.service_wire import ServiceWire
from wearon.doctor import Finding, Level
from wearon.doctor.openai import check_openai

pytestmark = pytest.mark.respx(using=ServiceWire.name)

BASE = "https://api.openai.com/v1"
MODEL = f"{BASE}/models/gpt-image-2"
KEY = "sk-very-secret"


async def found(
    key: str = KEY, base: str = BASE, model: str = "gpt-image-2", fallbacks: Sequence[str] = ()
) -> list[Finding]:
    return [finding async for finding in check_openai(key, base, model, fallbacks=fallbacks)]


def error(code: str, message: str = "...") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "type": "invalid_request_error"}}


async def test_a_good_key_costs_one_get(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(MODEL).respond(200, json={"id": "gpt-image-2"})
    first, *_ = await found()
    assert first.level is Level.OK
    assert route.call_count == 1
    assert route.calls.last.request.headers["Authorization"] == f"Bearer {KEY}"
    assert route.calls.last.request.method == "GET"


@pytest.mark.parametrize(
    ("status", "body", "level", "says"),
    [
        (401, error("invalid_api_key", f"Incorrect API key provided: {KEY}"), Level.FAULT, "invalid_api_key"),
        (403, error("missing_scope"), Level.WARNING, "may not look models up"),
        (404, error("model_not_found"), Level.FAULT, "gpt-image-2 does not exist"),
        (429, error("rate_limit_exceeded"), Level.WARNING, "has no time"),
        (429, error("insufficient_quota"), Level.FAULT, "no money"),
        (503, {}, Level.WARNING, "has no time"),
    ],
)
async def test_refusals(
    respx_mock: respx.MockRouter, status: int, body: dict[str, object], level: Level, says: str
) -> None:
    respx_mock.get(MODEL).respond(status, json=body)
    first, *_ = await found()
    assert first.level is level
    assert says in first.message
    assert (first.breaks is not None) == (level is Level.FAULT)
    assert KEY not in repr(first)


async def test_a_gateway_that_knows_no_models_is_no_fault(respx_mock: respx.MockRouter) -> None:
    respx_mock.get("https://gateway.example.com/models/gpt-image-2").respond(404, text="nothing here")
    first, *_ = await found(base="https://gateway.example.com")
    assert first.level is Level.WARNING


async def test_nobody_there(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(MODEL).mock(side_effect=httpx.ConnectError("no route"))
    (only,) = await found()
    assert only.level is Level.FAULT
    assert "ConnectError" in only.message


async def test_its_clock_is_compared(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(MODEL).respond(200, json={}, headers={"Date": "Tue, 24 Nov 2020 12:00:00 GMT"})
    _, clock = await found()
    assert (clock.check, clock.level) == ("openai clock", Level.FAULT)


@pytest.mark.parametrize("key", ["sk-with space", "sk-é", "sk-\n"])
async def test_a_key_that_cannot_be_one_is_not_sent(key: str) -> None:
    (only,) = await found(key)
    assert only.level is Level.FAULT
    assert key not in repr(only)


@pytest.mark.parametrize(
    ("days", "level", "fallback_level"),
    [(61, None, None), (60, Level.WARNING, Level.WARNING), (8, Level.WARNING, Level.WARNING),
     (7, Level.FAULT, Level.WARNING), (0, Level.FAULT, Level.WARNING)],
)  # fmt: skip
async def test_a_last_day_that_is_near_is_found(
    respx_mock: respx.MockRouter, days: int, level: Level | None, fallback_level: Level | None
) -> None:
    day = (datetime.now(UTC).date() + timedelta(days)).isoformat()
    respx_mock.get(url__startswith=f"{BASE}/models/").respond(200, json={"shutdown_date": day})
    for model, fallbacks, expected in (("a", [], level), ("gpt-image-2", ["b"], fallback_level)):
        told = [one for one in await found(model=model, fallbacks=fallbacks) if one.check == "openai model"]
        name = (fallbacks or [model])[0]
        about_it = [one for one in told if f"{name} " in one.message]
        assert [one.level for one in about_it] == ([expected] if expected else [])
        assert all(day in one.message for one in about_it)


async def test_a_model_that_is_gone_is_no_fault_while_a_fallback_is_there(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(MODEL).respond(404, json=error("model_not_found"))
    respx_mock.get(f"{BASE}/models/b").respond(200, json={})
    first, *_ = await found(fallbacks=["b"])
    assert first.level is Level.WARNING
    assert "b makes the pictures" in first.message


async def test_a_fallback_that_is_gone_is_told(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(MODEL).respond(200, json={})
    respx_mock.get(f"{BASE}/models/b").respond(404, json=error("model_not_found"))
    first, second, _ = await found(fallbacks=["b"])
    assert first.level is Level.OK
    assert (second.level, second.message.partition(" ")[0]) == (Level.WARNING, "b")


async def test_a_model_whose_last_day_only_the_table_knows(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{BASE}/models/gpt-image-1").respond(404, json=error("model_not_found"))
    told = [one for one in await found(model="gpt-image-1") if "2026-10-23" in one.message]
    assert [one.level for one in told] == [Level.FAULT]
