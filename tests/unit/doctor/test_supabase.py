"""What the key itself and the first answer of a project tell."""

import base64
import json

import httpx
import pytest
import respx

from wearon.doctor import Finding, Level
from wearon.doctor.supabase import SupabaseDoctor
from wearon.doctor.supabase_verdicts import judge_key

URL = "https://project.supabase.co"
NOW = 1_800_000_000.0
DAY = 86400


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("key", "level"),
    [
        (token(role="service_role", exp=NOW + 400 * DAY), None),
        (token(role="service_role"), None),
        ("sb_secret_abcdefgh", None),
        (token(role="service_role", exp=NOW + 5 * DAY), Level.WARNING),
        (token(role="service_role", exp=NOW - 1), Level.FAULT),
        (token(role="anon"), Level.FAULT),
        ("sb_publishable_abcdefgh", Level.FAULT),
        ("something else", Level.WARNING),
        ("a.b.c", Level.WARNING),
    ],
)
def test_kinds_of_keys(key: str, level: Level | None) -> None:
    found = judge_key(key, NOW)
    assert [finding.level for finding in found] == ([level] if level else [])
    assert key not in repr(found)


async def project() -> dict[str, Finding]:
    async with httpx.AsyncClient() as client:
        doctor = SupabaseDoctor(URL, "sb_secret_abcdefgh", client)
        return {finding.check: finding async for finding in doctor.check_project()}


async def test_its_clock_is_compared(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{URL}/rest/v1/").respond(json={"paths": {}}, headers={"Date": "Tue, 24 Nov 2020 12:00:00 GMT"})
    assert (await project())["supabase clock"].level is Level.FAULT


@pytest.mark.parametrize("status", [401, 500, 503, 540])
async def test_a_project_that_does_not_work(respx_mock: respx.MockRouter, status: int) -> None:
    respx_mock.get(f"{URL}/rest/v1/").respond(status, json={"message": "because", "hint": "a whole row"})
    found = await project()
    assert [finding.level for finding in found.values()] == [Level.FAULT]
    assert f"{status}: because" in found["supabase"].message
    assert "a whole row" not in found["supabase"].message


async def test_a_project_without_a_description_works(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{URL}/rest/v1/").respond(404, json={"code": "PGRST126", "message": "Root endpoint not found"})
    assert (await project())["supabase"].level is Level.OK
