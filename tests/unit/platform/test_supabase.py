"""SupabasePlatform at the wire: answers that the real services give too seldom to wait for."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs
from uuid import uuid4

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from support.observers import platform_observers
from support.service_wire import stubbed
from wearon.net.whole_answers import MAX_ANSWER_BYTES
from wearon.platform.base import (
    OPEN_STATUSES,
    Channel,
    PlatformRefused,
    PlatformUnavailable,
    Session,
    SessionRef,
    Status,
    StoreRefund,
    UserRefund,
)
from wearon.platform.supabase import SupabasePlatform

URL = "https://project.example"
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
REF = SessionRef(Channel.B2C, str(uuid4()), str(uuid4()))
ROW = {"id": REF.session_id, "user_id": REF.owner_id, "status": "queued", "credits_used": 1, "created_at": str(NOW)}
DUPLICATE = httpx.Response(409, json={"code": "23505", "message": "duplicate key value"})


@pytest.fixture
async def platform() -> AsyncIterator[SupabasePlatform]:
    """A platform whose project is a stub."""
    platform = await SupabasePlatform.connect(URL, "a-service-role-key", **platform_observers())
    yield platform
    await platform.aclose()


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    """The stub."""
    with stubbed(URL) as router:
        yield router


async def test_the_key_goes_where_supabase_looks_for_it(platform: SupabasePlatform, wire: respx.MockRouter) -> None:
    route = wire.get("/rest/v1/generation_sessions").respond(json=[])

    await platform.check()

    headers = route.calls.last.request.headers
    assert headers["apikey"] == "a-service-role-key"
    assert headers["authorization"] == "Bearer a-service-role-key"


async def test_a_duplicate_on_the_users_ledger_is_no_refund(platform: SupabasePlatform, wire: respx.MockRouter) -> None:
    wire.post("/rest/v1/rpc/refund_credits").mock(return_value=DUPLICATE)
    wire.post("/rest/v1/rpc/refund_store_credits").mock(return_value=DUPLICATE)

    with pytest.raises(PlatformRefused, match="23505"):
        await platform.give_back(UserRefund(REF.owner_id, 1, "x"))
    assert not await platform.give_back(StoreRefund(REF.owner_id, 1, "req_1", "x"))


async def test_a_store_that_is_gone_is_no_refund_either(platform: SupabasePlatform, wire: respx.MockRouter) -> None:
    foreign_key = httpx.Response(409, json={"code": "23503", "message": "violates foreign key constraint"})
    wire.post("/rest/v1/rpc/refund_store_credits").mock(return_value=foreign_key)

    with pytest.raises(PlatformRefused, match="23503"):
        await platform.give_back(StoreRefund(REF.owner_id, 1, "req_1", "x"))


@pytest.mark.parametrize("answer", [httpx.Response(204), httpx.Response(200, json=None), httpx.Response(200, json=11)])
async def test_whatever_the_function_returns_it_was_carried_out(
    platform: SupabasePlatform, wire: respx.MockRouter, answer: httpx.Response
) -> None:
    wire.post("/rest/v1/rpc/refund_credits").mock(return_value=answer)

    assert await platform.give_back(UserRefund(REF.owner_id, 1, "x"))


async def test_unreadable_sessions_do_not_hide_the_others(platform: SupabasePlatform, wire: respx.MockRouter) -> None:
    odd = [{**ROW, "id": str(uuid4()), "credits_used": "many"} for _ in range(3)]
    pages = iter([odd[:2], [odd[2], ROW], []])
    route = wire.get("/rest/v1/generation_sessions").mock(side_effect=lambda _: httpx.Response(200, json=next(pages)))

    with capture_logs() as logs:
        first = await platform.list_sessions(Channel.B2C, OPEN_STATUSES, NOW, 2)
        rest = await platform.list_sessions(Channel.B2C, OPEN_STATUSES, NOW, 2, after=first[-1])

    assert ([session.ref for session in first], rest) == ([REF], [])
    assert [entry["session_id"] for entry in logs] == [row["id"] for row in odd]
    behind = [parse_qs(call.request.url.query.decode()).get("or", [""])[0] for call in route.calls]
    assert [str(row["id"]) in asked for row, asked in zip([odd[1], ROW], behind[1:], strict=True)] == [True, True]


async def test_one_unreadable_session_is_an_error_when_it_is_asked_for(
    platform: SupabasePlatform, wire: respx.MockRouter
) -> None:
    wire.get("/rest/v1/generation_sessions").respond(json=[{**ROW, "status": "paused"}])

    with pytest.raises(PlatformRefused, match="cannot read status"):
        await platform.find_session(Channel.B2C, REF.session_id)


@pytest.mark.parametrize("rows", [[{"id": 1}], [{"type": "gift", "description": "x"}], [{"type": None}]])
async def test_an_unreadable_ledger_is_not_taken_for_an_empty_one(
    platform: SupabasePlatform, wire: respx.MockRouter, rows: list[dict[str, object]]
) -> None:
    wire.get("/rest/v1/credit_transactions").respond(json=rows)

    with pytest.raises(PlatformUnavailable, match="read ledger"):
        await platform.ledger_entries(Session(REF, Status.FAILED, 1, NOW))


@pytest.mark.parametrize("body", ['{"rows": []}', "[1]", '"rows"', "{", ""])
async def test_what_is_not_a_list_of_rows_is_not_taken_for_no_rows(
    platform: SupabasePlatform, wire: respx.MockRouter, body: str
) -> None:
    answer = httpx.Response(200, content=body, headers={"Content-Type": "application/json"})
    wire.route(path="/rest/v1/generation_sessions").mock(return_value=answer)

    with pytest.raises(PlatformUnavailable):
        await platform.find_session(Channel.B2C, REF.session_id)
    with pytest.raises(PlatformUnavailable):
        await platform.fail_session(REF, "x", NOW)


@pytest.mark.parametrize("body", [{}, {"signedURL": None}, [], {"signedURL": ""}])
async def test_no_url_is_not_taken_for_one(platform: SupabasePlatform, wire: respx.MockRouter, body: object) -> None:
    wire.post(path__startswith="/storage/v1/object/sign/").respond(json=body)

    with pytest.raises(PlatformUnavailable):
        await platform.sign_picture(REF)


class Endless(httpx.AsyncByteStream):
    """JSON that does not end; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 64 * 1024
            yield b" " * 64 * 1024

    async def aclose(self) -> None:
        self.closed = True


async def test_an_endless_answer_is_cut_off_and_its_connection_given_back(
    platform: SupabasePlatform, wire: respx.MockRouter
) -> None:
    endless = Endless()
    wire.get("/rest/v1/generation_sessions").mock(
        return_value=httpx.Response(200, headers={"content-type": "application/json"}, stream=endless)
    )
    with pytest.raises(PlatformUnavailable, match="larger than 8388608 bytes"):
        await platform.check()
    assert endless.closed
    assert endless.taken < MAX_ANSWER_BYTES + 1024 * 1024


async def test_an_answer_that_unpacks_to_too_much_is_cut_off(
    platform: SupabasePlatform, wire: respx.MockRouter
) -> None:
    bomb = gzip.compress(b"[" + b" " * 2 * MAX_ANSWER_BYTES + b"]")
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    wire.get("/rest/v1/generation_sessions").mock(return_value=httpx.Response(200, headers=headers, content=bomb))
    with pytest.raises(PlatformUnavailable, match="larger than"):
        await platform.check()


async def test_a_compressed_answer_is_read(platform: SupabasePlatform, wire: respx.MockRouter) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    rows = gzip.compress(json.dumps([ROW]).encode())
    route = wire.get("/rest/v1/generation_sessions")
    route.mock(return_value=httpx.Response(200, headers=headers, content=rows))
    session = await platform.find_session(REF.channel, REF.session_id)
    assert session is not None
    assert session.ref == REF
    assert route.calls.last.request.headers["Accept-Encoding"] == "gzip"  # and nothing that is not unpacked here
