"""Who may call what of the console, and what its answers forbid the browser."""

import re
from inspect import signature
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from support.console_side import SESSION, HandMadeConsole
from wearon.api.console import actions, login, sessions, studios
from wearon.api.console.login import COOKIE, LOGIN_SECONDS, Doorkeeper
from wearon.api.guesses import Guesses
from wearon.api.roles import Access, Role
from wearon.api.token import Tokens
from wearon.metrics import Metrics

TOKEN = "s3cret"
TOKENS = Tokens(Access({Role.OPERATOR: TOKEN}), Metrics())
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ACTION = {"X-WearOn-Console": "1"}

READS = [
    "/console/api/hello",
    "/console/api/now",
    "/console/api/live",
    "/console/api/sessions?term=req_1",
    "/console/api/session-list?text=req_1&status=failed&since=60m",
    f"/console/api/sessions/{SESSION}",
    "/console/api/dead-letters",
    "/console/api/dead-letters/3fa9c0d1b2e4",
    "/console/api/dead-letters/groups",
    "/console/api/refunds",
    "/console/api/audit-log",
]
ACTIONS = [
    f"/console/api/sessions/{SESSION}/pictures/result",
    "/console/api/dead-letters/3fa9c0d1b2e4/retry",
    "/console/api/dead-letters/0000aaaa1111/discard",
    "/console/api/dead-letters/groups/retry",
    "/console/api/dead-letters/groups/discard?group=1",
    "/console/api/refunds/retry",
    "/console/api/refunds/resolve?group=1",
    f"/console/api/refunds/{SESSION}/resolve",
    "/console/api/pause",
    "/console/api/resume",
    "/console/api/measure?height_cm=170",
    "/console/api/pictures",
    "/console/api/try-on",
]


def client_of(console: HandMadeConsole, base_url: str = "http://worker:8000", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(console.app, raise_app_exceptions=False, **options)
    return httpx.AsyncClient(transport=transport, base_url=base_url)


async def status_of(client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    if path.endswith("/live"):
        path = "/console/api/refunds"  # endless, and guarded by the same rule; see test_every_route_is_looked_at
    return (await client.request(method, path, headers=headers)).status_code


def test_every_route_is_looked_at() -> None:
    routers = (login.router, sessions.router, actions.router, studios.router)
    paths = {f"/console/api{getattr(route, 'path', '')}" for router in routers for route in router.routes}
    patterns = [re.compile(re.sub(r"{\w+(:path)?}", r"[^?]+", path)) for path in paths | {"/console/api/live"}]
    unguarded = {"/console/api/login", "/console/api/logout"}
    for pattern in patterns:
        assert any(pattern.fullmatch(path.partition("?")[0]) for path in (*READS, *ACTIONS, *unguarded)), pattern


IN_NO_AUDIT_LOG = {"logout", "measure", "keep_picture", "try_on"}
"""They change nothing, or play a shop in local mode (docs/operations.md)."""


def test_every_route_that_changes_something_knows_who_acts() -> None:
    routers = (login.router, *(view.router for view in (sessions, actions, studios)))
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    known = {
        route.endpoint.__name__: set(signature(route.endpoint).parameters)
        for route in routes
        if route.methods != {"GET"}
    }
    assert len(known) > 10
    nameless = {name for name, parameters in known.items() if not {"by", "entries"} & parameters}
    assert nameless == IN_NO_AUDIT_LOG


@pytest.mark.parametrize("path", READS)
async def test_reading_needs_a_login_or_the_bearer_token(path: str) -> None:
    console = HandMadeConsole(local=False, token=TOKEN)
    cookie = {"Cookie": f"{COOKIE}={Doorkeeper(TOKENS).issue(Role.OPERATOR)}"}
    async with client_of(console) as client:
        assert await status_of(client, "GET", path) == 401
        assert await status_of(client, "GET", path, {"Authorization": "Bearer wrong"}) == 401
        assert await status_of(client, "GET", path, {"Cookie": f"{COOKIE}={TOKEN}"}) == 401
        assert await status_of(client, "GET", path, cookie) == 200
        assert await status_of(client, "GET", path, BEARER) == 200
        for site in ("cross-site", "same-site"):
            assert await status_of(client, "GET", path, {**cookie, "Sec-Fetch-Site": site}) == 403


@pytest.mark.parametrize("path", ACTIONS)
async def test_acting_needs_besides_that_it_was_our_page_that_called(path: str) -> None:
    console = HandMadeConsole(local=False, token=TOKEN)
    cookie = {"Cookie": f"{COOKIE}={Doorkeeper(TOKENS).issue(Role.OPERATOR)}"}
    async with client_of(console) as client:
        assert await status_of(client, "POST", path) == 403
        assert await status_of(client, "POST", path, ACTION) == 401
        assert await status_of(client, "POST", path, cookie) == 403
        for lie in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example.com"}, {"Origin": "null"}):
            assert await status_of(client, "POST", path, {**cookie, **ACTION, **lie}) == 403
        ours = {**cookie, **ACTION, "Sec-Fetch-Site": "same-origin", "Origin": "https://worker:8000"}
        assert await status_of(client, "POST", path, ours) not in {401, 403}
        assert await status_of(client, "POST", path, BEARER) not in {401, 403}
        assert (await client.get(path, headers=BEARER)).status_code == 405


async def test_the_page_itself_is_open_and_holds_no_data() -> None:
    async with client_of(HandMadeConsole(local=False, token=TOKEN)) as client:
        page = await client.get("/console")
        assert page.status_code == 200
        assert SESSION not in page.text
        assert (await client.get("/console/static/js/main.js")).status_code == 200
        assert (await client.get("/console/samples/person_2_man_l.jpg")).headers["content-type"] == "image/jpeg"
        for outside in ("/console/static/../app.py", "/console/static/%2e%2e/api/app.py", "/console/samples/README.md"):
            assert (await client.get(outside)).status_code == 404
        # The console's guard opens the console only.
        cookie = {"Cookie": f"{COOKIE}={Doorkeeper(TOKENS).issue(Role.OPERATOR)}"}
        for other in ("/metrics", "/consoleapi"):
            assert (await client.get(other, headers=cookie)).status_code == 401


async def test_production_without_a_token_has_no_console() -> None:
    async with client_of(HandMadeConsole(local=False)) as client:
        for path in ("/console", "/console/static/js/main.js", *READS):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/console/api/refunds/retry", headers=ACTION)).status_code == 404


@pytest.mark.parametrize("path", ["/console", "/console/api/hello"])
async def test_answers_forbid_the_browser_what_the_page_does_not_need(path: str) -> None:
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000") as client:
        headers = (await client.get(path)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob: http://pictures.test"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if "/api/" in path else "no-cache")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1"])
async def test_local_mode_is_open_on_this_machine(host: str) -> None:
    async with client_of(HandMadeConsole(), f"http://{host}") as client:
        assert (await client.get("/console/api/now")).status_code == 200
        done = await client.post("/console/api/refunds/retry", headers={**ACTION, "Origin": f"http://{host}"})
        assert done.status_code == 200
        for missing in ({}, {**ACTION, "Origin": "http://localhost:3000"}):
            assert (await client.post("/console/api/refunds/retry", headers=missing)).status_code == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "evil.example.com:8000", "127.0.0.1.evil.example.com", "localhost.evil.example.com", "[x", ""],
)
async def test_a_foreign_name_that_leads_here_is_refused(host: str) -> None:
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000") as client:
        for path in ("/console", "/console/static/js/main.js", "/console/api/now"):
            assert (await client.get(path, headers={"Host": host})).status_code == 403


@pytest.mark.parametrize("peer", ["::1", "127.0.0.2", "::ffff:127.0.0.1"])
async def test_this_machine_may_come_by_either_family(peer: str) -> None:
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000", client=(peer, 4711)) as client:
        assert (await client.get("/console/api/now")).status_code == 200


@pytest.mark.parametrize("peer", ["192.168.1.20", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"])
async def test_local_mode_refuses_other_machines(peer: str) -> None:
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000", client=(peer, 4711)) as client:
        assert (await client.get("/console")).status_code == 403
        assert (await client.get("/console/api/now")).status_code == 403


@pytest.mark.parametrize(
    "sign",
    [
        {"Forwarded": "for=203.0.113.5"},
        {"X-Forwarded-For": "203.0.113.5"},
        {"X-Forwarded-Host": "ops.example.com"},
        {"X-Forwarded-Proto": "https"},
        {"X-Real-IP": "203.0.113.5"},
        {"Via": "1.1 proxy"},
        {"CF-Connecting-IP": "203.0.113.5"},
        {"Referer": "https://ops.example.com/console"},
        {"Origin": "https://ops.example.com"},
        {"Referer": "https://127.0.0.1.example.com/console"},
    ],
    ids=lambda sign: " ".join(sign),
)
async def test_local_mode_refuses_a_proxy_that_puts_our_own_address_into_host(sign: dict[str, str]) -> None:
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000") as client:
        for path in ("/console", "/console/api/now"):
            assert (await client.get(path, headers=sign)).status_code == 403
        ours = {"Referer": "http://127.0.0.1:8000/console", "Origin": "http://127.0.0.1:8000"}
        assert (await client.get("/console/api/now", headers=ours)).status_code == 200


async def test_local_mode_refuses_what_a_proxy_brings_and_takes_it_with_a_token() -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.5"}
    async with client_of(HandMadeConsole(), "http://127.0.0.1:8000") as client:
        assert (await client.get("/console/api/now", headers=forwarded)).status_code == 403
    async with client_of(HandMadeConsole(token=TOKEN), "https://ops.example.com") as client:
        assert (await client.get("/console/api/now", headers={**forwarded, **BEARER})).status_code == 200
        assert (await client.get("/console/api/now", headers=forwarded)).status_code == 401


async def test_login_gives_a_cookie_that_is_not_the_token_and_logout_takes_it() -> None:
    async with client_of(HandMadeConsole(local=False, token=TOKEN)) as client:
        assert (await client.post("/console/api/login", json={"token": TOKEN})).status_code == 403
        wrong = await client.post("/console/api/login", json={"token": "guess"}, headers=ACTION)
        assert (wrong.status_code, wrong.headers.get("set-cookie")) == (401, None)
        answer = await client.post("/console/api/login", json={"token": TOKEN}, headers=ACTION)
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=strict", "Path=/console", f"Max-Age={LOGIN_SECONDS}"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert (await client.get("/console/api/hello")).status_code == 200
        await client.post("/console/api/logout", headers=ACTION)
        assert (await client.get("/console/api/hello")).status_code == 401


async def test_the_cookie_is_secure_behind_tls() -> None:
    console = HandMadeConsole(local=False, token=TOKEN)
    async with client_of(console) as client:
        headers = {**ACTION, "X-Forwarded-Proto": "https"}
        behind_proxy = await client.post("/console/api/login", json={"token": TOKEN}, headers=headers)
    async with client_of(console, "https://worker") as client:
        direct = await client.post("/console/api/login", json={"token": TOKEN}, headers=ACTION)
    assert "; Secure" in behind_proxy.headers["set-cookie"]
    assert "; Secure" in direct.headers["set-cookie"]


async def test_guessing_is_slowed_down_per_address() -> None:
    console = HandMadeConsole(local=False, token=TOKEN)
    async with client_of(console) as client:
        for _ in range(5):
            assert (await client.post("/console/api/login", json={"token": "guess"}, headers=ACTION)).status_code == 401
        right = await client.post("/console/api/login", json={"token": TOKEN}, headers=ACTION)
        assert right.status_code == 429
        assert int(right.headers["retry-after"]) > 0
        assert (await client.get("/console/api/hello", headers=BEARER)).status_code == 200
    async with client_of(console, client=("192.0.2.9", 1)) as other:
        assert (await other.post("/console/api/login", json={"token": TOKEN}, headers=ACTION)).status_code == 204


async def test_others_guesses_do_not_keep_the_right_token_out() -> None:
    console = HandMadeConsole(local=False, token=TOKEN)
    for number in range(20):
        async with client_of(console, client=(f"198.51.100.{number}", 1)) as guesser:
            for _ in range(4):
                guess = await guesser.post("/console/api/login", json={"token": "guess"}, headers=ACTION)
                assert guess.status_code == (401 if number < 15 else 429)
    async with client_of(console, client=("192.0.2.9", 1)) as owner:
        assert (await owner.post("/console/api/login", json={"token": TOKEN}, headers=ACTION)).status_code == 204


async def test_logins_and_bearer_tokens_are_counted_together() -> None:
    async with client_of(HandMadeConsole(local=False, token=TOKEN)) as client:
        for _ in range(5):
            wrong = await client.get("/console/api/hello", headers={"Authorization": "Bearer guess"})
            assert wrong.status_code == 401
        login = await client.post("/console/api/login", json={"token": "guess"}, headers=ACTION)
        assert login.status_code == 429


@pytest.mark.parametrize(
    "cookie", ['wearon_console="' + '\\"' * 30_000 + '"', "a=b; " * 3000, "wearon_console", "=;=;"]
)
async def test_odd_cookies_are_no_login(cookie: str) -> None:
    async with client_of(HandMadeConsole(local=False, token=TOKEN)) as client:
        assert (await client.get("/console/api/hello", headers={"Cookie": cookie})).status_code == 401
        ours = f"a=b; {COOKIE}={Doorkeeper(TOKENS).issue(Role.OPERATOR)}; c={'d' * 9000}"
        assert (await client.get("/console/api/hello", headers={"Cookie": ours})).status_code == 200


@pytest.mark.parametrize("token", ["", "x" * 2000, "\ud800"], ids=["empty", "long", "half a pair"])
async def test_odd_tokens_are_refused(token: str) -> None:
    body = b'{"token": "%s"}' % token.encode("ascii", "backslashreplace")
    headers = {**ACTION, "Content-Type": "application/json"}
    async with client_of(HandMadeConsole(local=False, token=TOKEN)) as client:
        assert (await client.post("/console/api/login", content=body, headers=headers)).status_code in {401, 422}


def test_a_cookie_ends_by_time_by_change_and_with_its_token() -> None:
    now = [1000.0]
    doorkeeper = Doorkeeper(TOKENS, clock=lambda: now[0])
    cookie = doorkeeper.issue(Role.OPERATOR)
    expiry, nonce, signature = cookie.split(".")
    assert doorkeeper.role_of(cookie) is Role.OPERATOR
    assert not doorkeeper.role_of(f"{int(expiry) + 1}.{nonce}.{signature}")
    assert not any(doorkeeper.role_of(forged) for forged in ("", ".", "..", "1.2.3", f"{expiry}.{nonce}.", "é.é.é"))
    others = Tokens(Access({Role.OPERATOR: "another"}), Metrics())
    assert not Doorkeeper(others, clock=lambda: now[0]).role_of(cookie)
    now[0] += LOGIN_SECONDS
    assert not doorkeeper.role_of(cookie)


def test_what_is_remembered_of_wrong_tries_is_bounded_and_fades() -> None:
    now = [0.0]
    guesses = Guesses(clock=lambda: now[0])
    for number in range(60):
        assert guesses.wait_s(f"198.51.100.{number}") == 0
        guesses.note_wrong(f"198.51.100.{number}")
    assert guesses.wait_s("203.0.113.1") > 0
    now[0] += 61
    assert guesses.wait_s("203.0.113.1") == 0
