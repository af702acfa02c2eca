"""Each role opens its doors and no other, by bearer token and by the console's login."""

import httpx
import pytest

from support.console_side import SESSION, HandMadeConsole
from wearon.api.app import create_app
from wearon.api.console.login import COOKIE
from wearon.api.metrics import create_metrics_app
from wearon.api.roles import Access, Role
from wearon.metrics import Metrics

TOKENS = {role: f"{role}-token-0123456789" for role in Role}
EVERYONE = {*Role, None}
READERS = {Role.OPERATOR, Role.VIEWER}

OPEN_TO = {
    # A request, and who of all roles, and of those without a token, is let in.
    "GET /health": EVERYONE,
    "GET /health/live": EVERYONE,
    "GET /metrics": {Role.OPERATOR, Role.VIEWER, Role.METRICS},
    "GET /console": EVERYONE,
    "GET /console/api/hello": READERS,
    f"GET /console/api/sessions/{SESSION}": READERS,
    "HEAD /console/api/refunds": READERS,
    "GET /console/api/audit-log": READERS,
    f"POST /console/api/sessions/{SESSION}/pictures/result": READERS,
    "POST /console/api/measure": READERS,
    "POST /console/api/refunds/retry": {Role.OPERATOR},
    "POST /console/api/pause": {Role.OPERATOR},
    "POST /console/api/resume": {Role.OPERATOR},
    f"DELETE /console/api/sessions/{SESSION}": {Role.OPERATOR},
    f"DELETE /console/api/sessions/{SESSION}/pictures/result": {Role.OPERATOR},
    "POST /console/api/dead-letters/3fa9c0d1b2e4/retry": {Role.OPERATOR},
    "POST /console/api/sessions/x/pictures/../../dead-letters/y/discard": {Role.OPERATOR},
    "POST /console/api/nothing-yet": {Role.OPERATOR},
    "GET /nothing-yet": {Role.OPERATOR},
}
ESTIMATES = ["POST /estimate-body", "GET /openapi.json"]
CALLERS = {Role.OPERATOR, Role.CALLER}


def client_of(access: Access) -> httpx.AsyncClient:
    console = HandMadeConsole(local=False)
    app = create_app(console.services, access)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://worker:8000"
    )


async def is_let_in(client: httpx.AsyncClient, request: str, headers: dict[str, str]) -> bool:
    method, path = request.split(" ", 1)
    return (await client.request(method, path, headers=headers)).status_code not in {401, 403}


@pytest.mark.parametrize("estimate_is_open", [True, False])
@pytest.mark.parametrize("role", [*sorted(Role), None])
async def test_a_role_opens_its_doors_and_no_other(role: Role | None, estimate_is_open: bool) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[role]}"} if role else {}
    doors = {**OPEN_TO, **dict.fromkeys(ESTIMATES, EVERYONE if estimate_is_open else CALLERS)}
    async with client_of(Access(TOKENS, estimate_is_open=estimate_is_open)) as client:
        opened = {request for request in doors if await is_let_in(client, request, headers)}
    assert opened == {request for request, roles in doors.items() if role in roles}


@pytest.mark.parametrize("role", sorted(Role))
async def test_a_login_opens_the_console_as_far_as_its_token(role: Role) -> None:
    ours = {"X-WearOn-Console": "1"}
    async with client_of(Access(TOKENS)) as client:
        login = await client.post("/console/api/login", json={"token": TOKENS[role]}, headers=ours)
        assert login.status_code == (204 if role in READERS else 401)
        doors = {request: roles for request, roles in OPEN_TO.items() if " /console/api/" in request}
        opened = {request for request in doors if await is_let_in(client, request, ours)}
        assert opened == {request for request, roles in doors.items() if role in roles & READERS}
        if role in READERS:
            assert (await client.get("/console/api/hello")).json()["may_act"] == (role is Role.OPERATOR)
            assert TOKENS[role] not in client.cookies[COOKIE]
            refused = await client.post("/console/api/refunds/retry", headers=ours)
            assert refused.status_code == (200 if role is Role.OPERATOR else 403)


async def test_the_size_proxy_which_has_no_token_is_answered_beside_all_tokens() -> None:
    async with client_of(Access(TOKENS)) as client:
        answer = await client.post("/estimate-body", json={}, headers={"X-Request-Id": "req_proxy"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (422, "req_proxy")
        # A token that is not asked for is no guess either.
        for _ in range(9):
            odd = await client.post("/estimate-body", json={}, headers={"Authorization": "Bearer guess"})
            assert odd.status_code == 422


async def test_who_acts_is_named_by_his_token_and_way() -> None:
    console = HandMadeConsole(local=False)
    app = create_app(console.services, Access(TOKENS))
    picture, ours = f"/console/api/sessions/{SESSION}/pictures/result", {"X-WearOn-Console": "1"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker:8000") as client:
        await client.post(picture, headers={"Authorization": f"Bearer {TOKENS[Role.OPERATOR]}"})
        await client.post("/console/api/login", json={"token": TOKENS[Role.VIEWER]}, headers=ours)
        await client.post(picture, headers=ours)
        entries = (await client.get("/console/api/audit-log")).json()
    assert [(one["by"], one["via"], one["action"]) for one in entries] == [
        ("viewer", "console", "show_picture"),
        ("viewer", "console", "log_in"),
        ("operator", "http", "show_picture"),
    ]
    local = HandMadeConsole()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local.app), base_url="http://127.0.0.1") as client:
        await client.post(picture, headers=ours)
    assert [(by.name, by.via) for by, *_ in local.audit_log.noted] == [("this machine", "console")]


async def test_a_right_token_for_another_door_is_no_guess() -> None:
    scrape = {"Authorization": f"Bearer {TOKENS[Role.METRICS]}"}
    async with client_of(Access(TOKENS)) as client:
        assert {(await client.get("/console/api/hello", headers=scrape)).status_code for _ in range(9)} == {403}
        assert (await client.get("/metrics", headers=scrape)).status_code == 200


@pytest.mark.parametrize(
    ("roles", "metrics", "console"),
    [
        ([], 404, 404),
        ([Role.CALLER], 404, 404),
        ([Role.METRICS], 200, 404),
        ([Role.VIEWER], 200, 200),
        ([Role.OPERATOR], 200, 200),
    ],
)
async def test_production_has_no_inside_that_nobody_has_a_token_for(
    roles: list[Role], metrics: int, console: int
) -> None:
    tokens = {role: TOKENS[role] for role in roles}
    headers = {"Authorization": f"Bearer {TOKENS[roles[0]]}"} if roles else {}
    async with client_of(Access(tokens)) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == metrics
        assert (await client.get("/console/api/hello", headers=headers)).status_code == console


async def test_a_process_without_the_api_gives_its_metrics_to_the_same_roles() -> None:
    app = create_metrics_app(Metrics(), Access(TOKENS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://jobs:9100") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        allowed = {
            role
            for role, token in TOKENS.items()
            if (await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).status_code == 200
        }
    assert allowed == OPEN_TO["GET /metrics"]
