"""An audit on a PostgREST that cuts its answers (`max-rows`): what it hides is no finding, and none is missed."""

import pytest
from redis.asyncio import Redis

from support.books import AN_HOUR_AGO, Books
from support.gateway import JSON, Do, Fault, Response
from support.platform_side import SupabaseSide
from support.postgrest import Supabase, at_most_rows
from wearon.operations.audit.books import Kind
from wearon.platform.base import Channel, PlatformUnavailable

pytestmark = pytest.mark.slow

MANY = 12


@pytest.fixture
def books(supabase_side: SupabaseSide, redis_client: Redis) -> Books:
    return Books(supabase_side, redis_client)


@pytest.mark.parametrize("most", [1, 3, 10])
async def test_books_in_order_have_no_findings_and_damage_is_found(books: Books, supabase: Supabase, most: int) -> None:
    for channel in Channel:
        for _ in range(MANY):
            books.failed(channel)
    twice = books.failed(Channel.B2C)
    books.refund(twice)
    missing = [books.failed(channel, refunded=None) for channel in Channel]
    with at_most_rows(supabase, most):
        audited = await books.auditor().audit()
    assert audited.sessions == 2 * MANY + 3
    expected = {(Kind.REFUND_MISSING, ref.session_id) for ref in missing}
    assert await books.found(audited) == expected | {(Kind.REFUNDED_TWICE, twice.session_id)}


async def test_a_row_that_cannot_be_read_hides_none_that_come_after_it(books: Books, supabase: Supabase) -> None:
    refs = [books.failed(Channel.B2C, created_at=AN_HOUR_AGO, refunded=None) for _ in range(4)]
    first, second, third, last = sorted(refs, key=lambda ref: ref.session_id)
    for ref in (second, third):
        books.set(ref, credits_used=-1)
    with at_most_rows(supabase, 1):
        audited = await books.auditor().audit()
    assert await books.found(audited) == {(Kind.REFUND_MISSING, ref.session_id) for ref in (first, last)}


async def test_a_ledger_that_is_not_told_is_no_ledger_without_a_refund(
    books: Books, supabase_side: SupabaseSide, supabase: Supabase
) -> None:
    books.failed(Channel.B2C)  # a row by which `at_most_rows` sees its setting
    ref = books.failed(Channel.B2B)
    session = await supabase_side.platform.find_session(ref.channel, ref.session_id)
    assert session is not None
    with at_most_rows(supabase, 0), pytest.raises(PlatformUnavailable, match="0 of 2 rows are told"):
        await supabase_side.platform.ledger_entries(session)


async def test_a_refund_is_missing_only_where_its_session_is_asked_for_alone(books: Books, supabase: Supabase) -> None:
    """A gateway that takes out how many rows there are hides that an answer was cut."""
    for _ in range(2):
        books.failed(Channel.B2C)
    missing = books.failed(Channel.B2C, refunded=None)
    nothing = Response(200, b"[]", JSON)
    supabase.gateway.add(Fault(r"GET /rest/v1/credit_transactions\?.*&or=", Do.ANSWER, nothing, times=None))
    assert await books.found() == {(Kind.REFUND_MISSING, missing.session_id)}
