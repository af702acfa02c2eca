"""Kept charts in local mode without tokens are for this machine only, as the console's actions are."""

from collections.abc import Mapping

import httpx
import pytest

from support.api_services import api_services
from wearon.api.app import create_app
from wearon.api.roles import NO_TOKENS, Access, Role

WAYS = [("PUT", "/charts/acme/shirts"), ("DELETE", "/charts/acme/no%20name"), ("GET", "/charts/no%20name")]
HERE = "127.0.0.1"
LET_IN = 422
"""What is wrong about these requests is found without Redis."""


async def statuses(
    peer: str = HERE,
    headers: Mapping[str, str] | None = None,
    *,
    url: str = "http://127.0.0.1:8000",
    local: bool = True,
    access: Access = NO_TOKENS,
) -> set[int]:
    app = create_app(api_services(local_platform=object() if local else None), access)
    transport = httpx.ASGITransport(app, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
        return {(await client.request(method, path, json={})).status_code for method, path in WAYS}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
async def test_this_machine_may_and_so_may_its_own_page(url: str) -> None:
    assert await statuses(url=url) == {LET_IN}
    assert await statuses(headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}, url=url) == {LET_IN}


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("192.168.1.20", {}),
        (HERE, {"Host": "evil.example.com"}),
        (HERE, {"X-Forwarded-For": "203.0.113.5"}),
        (HERE, {"Origin": "https://evil.example.com"}),
        (HERE, {"Origin": "http://localhost:3000"}),
        (HERE, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
async def test_all_others_may_not(peer: str, headers: dict[str, str]) -> None:
    assert await statuses(peer, headers) == {403}


async def test_with_a_token_others_may_and_production_without_one_has_no_charts() -> None:
    access = Access({Role.OPERATOR: "s3cret"})
    assert await statuses("192.168.1.20", {"Authorization": "Bearer s3cret"}, access=access) == {LET_IN}
    assert await statuses(access=access) == {401}
    assert await statuses(local=False) == {404}
