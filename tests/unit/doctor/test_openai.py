"""What looking a model up tells, and what it must not do."""

import httpx
import pytest
import respx

from wearon.doctor import Finding, Level
from wearon.doctor.openai import check_openai

BASE = "https://api.openai.com/v1"
MODEL = f"{BASE}/models/gpt-image-1.5"
KEY = "sk-very-secret"


async def found(key: str = KEY, base: str = BASE) -> list[Finding]:
    return [finding async for finding in check_openai(key, base, "gpt-image-1.5")]


def error(code: str, message: str = "...") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "type": "invalid_request_error"}}


async def test_a_good_key_costs_one_get(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(MODEL).respond(200, json={"id": "gpt-image-1.5"})
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
        (404, error("model_not_found"), Level.FAULT, "gpt-image-1.5 does not exist"),
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
    respx_mock.get("https://gateway.example.com/models/gpt-image-1.5").respond(404, text="nothing here")
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
