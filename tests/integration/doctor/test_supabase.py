"""The doctor before a real PostgREST, whose tables and functions are broken one by one, and never a changed row."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import LiteralString
from uuid import UUID, uuid4

import httpx
import pytest
from psycopg import sql

from support.gateway import JSON, Do, Fault, Response
from support.jwt import make_token
from support.postgrest import JWT_SECRET, TABLES, Supabase, fail_and_refund_installed
from support.processes import wait_until
from support.shop import Shop
from wearon.doctor import Finding, Level, Promise
from wearon.doctor.supabase import NO_SUCH_ARGUMENT, SupabaseDoctor
from wearon.doctor.supabase_verdicts import FUNCTIONS
from wearon.platform.base import Channel, SessionRef

pytestmark = pytest.mark.slow

READ_ONLY = b'{"code": "25006", "message": "cannot execute UPDATE in a read-only transaction"}'

REFUND_CREDITS = "refund_credits(uuid, integer, text)"


async def diagnose(supabase: Supabase, key: str | None = None, *, deletes_pictures: bool = False) -> list[Finding]:
    """All checks, one after another."""
    async with httpx.AsyncClient(trust_env=False) as client:
        key = key or supabase.service_role_key
        doctor = SupabaseDoctor(supabase.url, key, client, deletes_pictures=deletes_pictures)
        checks: list[AsyncGenerator[Finding, None]] = [
            doctor.check_project(),
            doctor.check_tables(),
            doctor.check_functions(),
            doctor.check_bucket(),
        ]
        return [finding for check in checks async for finding in check]


async def faults(supabase: Supabase) -> list[Finding]:
    return [finding for finding in await diagnose(supabase) if finding.level is Level.FAULT]


@contextmanager
def changed(supabase: Supabase, change: LiteralString, back: LiteralString) -> Iterator[None]:
    """Change the schema for a block, and let PostgREST know each time."""
    supabase.sql(change)
    try:
        reload_schema(supabase)
        yield
    finally:
        supabase.sql(back)
        supabase.sql("revoke execute on all functions in schema public from public")
        reload_schema(supabase)


def reload_schema(supabase: Supabase) -> None:
    """PostgREST reads it again when it is told; that it has shows in its hints, which come from what it has read."""
    name = f"only_for_waiting_{uuid4().hex}"
    supabase.database.execute(
        sql.SQL("create function {}(p_x integer) returns void language sql as 'select null::void'").format(
            sql.Identifier(name)
        )
    )
    supabase.sql("notify pgrst, 'reload schema'")
    headers = {"apikey": supabase.service_role_key, "Authorization": f"Bearer {supabase.service_role_key}"}
    url = f"{supabase.url}/rest/v1/rpc/{name}"

    def is_read() -> bool | None:
        hint = httpx.get(url, params={"p_x": "", "p_y": ""}, headers=headers, trust_env=False).json()["hint"]
        return name in str(hint) or None

    wait_until(is_read, lambda: "the schema is not read again")
    supabase.database.execute(sql.SQL("drop function {}(integer)").format(sql.Identifier(name)))


async def test_a_sound_project_is_all_ok(supabase: Supabase) -> None:
    found = await diagnose(supabase)
    assert {finding.level for finding in found} == {Level.OK}
    assert [finding.check for finding in found].count("supabase tables") == 4
    assert [finding.check for finding in found].count("supabase functions") == 4


async def test_nothing_is_run_and_no_row_changes(supabase: Supabase, redis_url: str) -> None:
    shop = Shop(supabase, redis_url)
    for order in (shop.buy(), shop.buy("b2b"), shop.buy("b2b", resell=True)):
        shop.age(order, minutes=20)
    supabase.gateway.exchanges.clear()
    before = rows(supabase)
    await diagnose(supabase)
    # Also where functions have to be asked for, since the description is not given.
    supabase.gateway.add(Fault("^GET /rest/v1/$", Do.ANSWER, Response(404, b"{}", JSON), times=None))
    await diagnose(supabase)
    writing = {exchange.line for exchange in supabase.gateway.exchanges if not exchange.line.startswith("GET ")}
    assert writing == {
        f"PATCH /rest/v1/{table}?id=eq.{UUID(int=0)}&select=id"
        for table in ("generation_sessions", "store_generation_sessions")
    }
    calls = [exchange for exchange in supabase.gateway.exchanges if "/rpc/" in exchange.line]
    # The optional function, which is not there, has to be asked for in both cases.
    assert len(calls) == len(FUNCTIONS) + 2
    assert {exchange.status for exchange in calls} == {404}
    assert all(NO_SUCH_ARGUMENT in exchange.line for exchange in calls)
    assert rows(supabase) == before


def rows(supabase: Supabase) -> str:
    tables = [table.strip() for table in TABLES.split(",")]
    return repr(
        [
            supabase.database.execute(sql.SQL("select * from {}").format(sql.Identifier(table))).fetchall()
            for table in tables
        ]
    )


async def test_missing_columns_are_named(supabase: Supabase) -> None:
    with changed(
        supabase,
        "alter table store_generation_sessions rename column estimated_cost_usd to cost;"
        "alter table store_generation_sessions rename column request_id to request",
        "alter table store_generation_sessions rename column cost to estimated_cost_usd;"
        "alter table store_generation_sessions rename column request to request_id",
    ):
        (only,) = await faults(supabase)
    assert only.message == "store_generation_sessions lacks estimated_cost_usd, request_id"
    assert only.breaks is Promise.EVERY_TASK_ENDS


async def test_a_missing_ledger_is_told(supabase: Supabase) -> None:
    with changed(
        supabase, "alter table credit_transactions rename to other", "alter table other rename to credit_transactions"
    ):
        (only,) = await faults(supabase)
    assert "credit_transactions cannot be read" in only.message
    assert only.breaks is Promise.REFUNDED_ONCE


async def test_a_table_without_rights_is_told(supabase: Supabase) -> None:
    with changed(
        supabase,
        "revoke all on generation_sessions from service_role",
        "grant all on generation_sessions to service_role",
    ):
        (only,) = await faults(supabase)
    assert "generation_sessions cannot be read" in only.message
    assert "42501" in only.message


async def test_a_table_that_may_not_be_written_is_told(supabase: Supabase) -> None:
    with changed(
        supabase,
        "revoke update on generation_sessions from service_role",
        "grant update on generation_sessions to service_role",
    ):
        (only,) = await faults(supabase)
    assert "generation_sessions cannot be written (403 42501" in only.message


async def test_a_read_only_database_is_told(supabase: Supabase) -> None:
    supabase.gateway.add(Fault("^PATCH ", Do.ANSWER, Response(405, READ_ONLY, JSON), times=None))
    found = await faults(supabase)
    assert len(found) == 2
    assert all("cannot be written (405 25006" in finding.message for finding in found)


@pytest.mark.parametrize("described", [True, False])
async def test_the_optional_function_is_told_with_what_it_is_worth(supabase: Supabase, described: bool) -> None:
    def told(found: list[Finding]) -> str:
        (about,) = [finding for finding in found if "fail_and_refund_session" in finding.message]
        assert about.level is Level.OK
        return about.message

    hide_description(supabase, described)
    assert "is not installed (optional" in told(await diagnose(supabase))
    with fail_and_refund_installed(supabase):
        assert "is installed: a b2c session is failed and refunded in one" in told(await diagnose(supabase))


async def test_an_optional_function_that_cannot_be_used_is_a_warning(supabase: Supabase) -> None:
    with (
        fail_and_refund_installed(supabase),
        changed(
            supabase,
            "revoke execute on function fail_and_refund_session from service_role",
            "grant execute on function fail_and_refund_session to service_role",
        ),
    ):
        (only,) = [finding for finding in await diagnose(supabase) if finding.level is not Level.OK]
    assert (only.level, only.message) == (
        Level.WARNING,
        "fail_and_refund_session may not be run by this key: it is of no use",
    )


@pytest.mark.parametrize("described", [True, False])
async def test_a_missing_function_is_told(supabase: Supabase, described: bool) -> None:
    hide_description(supabase, described)
    with changed(
        supabase,
        "alter function refund_store_credits rename to refund_a_store",
        "alter function refund_a_store rename to refund_store_credits",
    ):
        (only,) = await faults(supabase)
    assert "there is no refund_store_credits" in only.message
    assert only.breaks is Promise.REFUNDED_ONCE


@pytest.mark.parametrize("described", [True, False])
async def test_a_function_with_other_arguments_is_told(supabase: Supabase, described: bool) -> None:
    hide_description(supabase, described)
    with changed(
        supabase,
        "alter function refund_credits rename to kept;"
        "create function refund_credits(p_user_id uuid, p_credits integer, p_description text) returns void"
        " language sql as 'select null::void';"
        "grant execute on function refund_credits to service_role",
        f"drop function {REFUND_CREDITS}; alter function kept rename to refund_credits",
    ):
        (only,) = await faults(supabase)
    assert "refund_credits takes (p_credits, p_description, p_user_id)" in only.message
    assert only.breaks is Promise.REFUNDED_ONCE


@pytest.mark.parametrize("described", [True, False])
async def test_the_right_one_of_two_is_found(supabase: Supabase, described: bool) -> None:
    hide_description(supabase, described)
    with changed(
        supabase,
        "create function refund_credits(p_store_id uuid, p_amount integer, p_request_id text, p_description text)"
        " returns void language sql as 'select null::void';"
        "grant execute on function refund_credits(uuid, integer, text, text) to service_role",
        "drop function refund_credits(uuid, integer, text, text)",
    ):
        assert await faults(supabase) == []


async def test_a_function_that_the_key_may_not_run_is_told(supabase: Supabase) -> None:
    with changed(
        supabase,
        "revoke execute on function refund_credits from service_role",
        "grant execute on function refund_credits to service_role",
    ):
        (only,) = await faults(supabase)
    assert "refund_credits may not be run" in only.message
    assert "grant execute" in only.hint


def hide_description(supabase: Supabase, described: bool) -> None:
    if not described:
        supabase.gateway.add(Fault("^GET /rest/v1/$", Do.ANSWER, Response(404, b"{}", JSON), times=None))


@pytest.mark.parametrize(
    ("change", "level", "breaks"),
    [
        ({"public": True}, Level.FAULT, Promise.PICTURES_PRIVATE),
        ({"file_size_limit": 1024 * 1024}, Level.FAULT, Promise.EVERY_TASK_ENDS),
        ({"file_size_limit": None}, Level.WARNING, None),
        ({"file_size_limit": 50 * 1024 * 1024}, Level.WARNING, None),
        ({"allowed_mime_types": ["image/png", "image/webp"]}, Level.FAULT, Promise.EVERY_TASK_ENDS),
        ({"allowed_mime_types": ["image/jpeg"]}, Level.WARNING, None),
        ({"allowed_mime_types": None}, Level.WARNING, None),
    ],
)
async def test_a_bucket_with_other_rules(
    supabase: Supabase, change: dict[str, object], level: Level, breaks: Promise | None
) -> None:
    supabase.storage.bucket.update(change)
    (only,) = [finding for finding in await diagnose(supabase) if finding.level is not Level.OK]
    assert (only.check, only.level, only.breaks) == ("supabase bucket", level, breaks)


async def test_a_missing_bucket_is_told(supabase: Supabase) -> None:
    missing = Response(400, b'{"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found"}', JSON)
    supabase.gateway.add(Fault("GET /storage/v1/bucket", Do.ANSWER, missing, times=None))
    (only,) = await faults(supabase)
    assert "there is no virtual-tryon-images" in only.message


async def test_a_wrong_key_is_one_fault(supabase: Supabase) -> None:
    other = make_token({"role": "service_role"}, "another project's secret, as long as it has to be")
    found = await diagnose(supabase, other)
    assert [(finding.check, finding.level) for finding in found] == [("supabase", Level.FAULT)]
    assert "refuses the key" in found[0].message
    assert other not in repr(found)


async def test_the_public_key_is_known_by_itself(supabase: Supabase) -> None:
    public = make_token({"role": "anon"}, JWT_SECRET)
    first, *_ = await diagnose(supabase, public)
    assert (first.check, first.level) == ("supabase key", Level.FAULT)
    assert "row level security" in first.message


async def test_nobody_there_is_one_fault(supabase: Supabase) -> None:
    supabase.gateway.stop()
    try:
        found = await diagnose(supabase)
    finally:
        supabase.gateway.start()
    assert [(finding.check, finding.level) for finding in found] == [("supabase", Level.FAULT)]


async def test_the_right_to_delete_is_tried_where_old_pictures_are_deleted_and_nothing_is(supabase: Supabase) -> None:
    ref = SessionRef(Channel.B2C, str(uuid4()), str(uuid4()))
    supabase.storage.put(ref.picture_path, b"\xff\xd8\xff")
    found = await diagnose(supabase, deletes_pictures=True)
    assert {finding.level for finding in found} == {Level.OK}
    assert found[-1].message.startswith("lets us delete")
    assert set(supabase.storage.objects) == {ref.picture_path}
    (asked,) = (one for one in supabase.gateway.exchanges if one.line.startswith("DELETE "))
    nobody = UUID(int=0)
    assert json.loads(asked.body) == {"prefixes": [f"generated/{nobody}/{nobody}.jpg"]}

    denied = b'{"statusCode": "403", "error": "Unauthorized", "message": "permission denied for table objects"}'
    supabase.gateway.add(Fault("^DELETE ", Do.ANSWER, Response(400, denied, JSON)))
    (only,) = (one for one in await diagnose(supabase, deletes_pictures=True) if one.level is Level.FAULT)
    assert "does not let us delete (400 Unauthorized: permission denied for table objects)" in only.message
    assert only.breaks is Promise.DELETED_IN_TIME
