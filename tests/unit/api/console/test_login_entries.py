"""Logins are in the audit log, those that were refused within bounds, and Redis keeps nobody out."""

import asyncio

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisUnreachable

from support.console_side import HandMadeAuditLog, HandMadeConsole
from wearon.api.console import login_entries
from wearon.api.console.login_entries import REFUSED_ENTRIES, REFUSED_WITHIN_S, LoginEntries
from wearon.api.roles import Role
from wearon.queue.audit_log import Action, Actor, Via

TOKENS = {Role.OPERATOR: "s3cret", Role.VIEWER: "only looks"}
OURS = {"X-WearOn-Console": "1"}


def client_of(console: HandMadeConsole, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(console.app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://worker:8000", headers=OURS)


async def log_in(console: HandMadeConsole, token: str, address: str = "192.0.2.1") -> int:
    async with client_of(console, address) as client:
        return (await client.post("/console/api/login", json={"token": token})).status_code


async def test_a_login_is_entered_with_its_role_and_a_refused_one_with_nobody() -> None:
    console = HandMadeConsole(local=False, tokens=TOKENS)
    for token, status in (("s3cret", 204), ("only looks", 204), ("a guess", 401), ("a guess", 401)):
        assert await log_in(console, token) == status
    about = "client 192.0.2.1"
    assert console.audit_log.noted == [
        (Actor("operator", Via.CONSOLE), Action.LOG_IN, about),
        (Actor("viewer", Via.CONSOLE), Action.LOG_IN, about),
        (Actor("nobody", Via.CONSOLE), Action.LOGIN_REFUSED, about),
    ]


async def test_guesses_do_not_push_out_what_operators_did() -> None:
    now = 0.0
    audit_log = HandMadeAuditLog()
    entries = LoginEntries(audit_log, lambda: now)  # type: ignore[arg-type]
    for guess in range(10 * REFUSED_ENTRIES):
        await entries.refused(f"192.0.2.{guess % 200}")
    assert len(audit_log.noted) == REFUSED_ENTRIES
    await entries.granted("192.0.2.1", "operator")
    assert audit_log.noted.pop()[1] is Action.LOG_IN
    now += REFUSED_WITHIN_S
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
        await entries.refused(address)
    assert len(audit_log.noted) == REFUSED_ENTRIES + 2, "an IPv6 network is one client"


async def test_operators_get_in_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    console = HandMadeConsole(local=False, tokens=TOKENS)

    async def refuse(*_: object, **__: object) -> None:
        raise RedisUnreachable("gone")

    async def never_answer(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(login_entries, "PATIENCE_S", 0.01)
    for note in (refuse, never_answer):
        monkeypatch.setattr(console.audit_log, "note", note)
        assert await log_in(console, "s3cret") == 204
