"""Both platforms: sessions are found by each id that a person may have in hand, and by nothing else."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from support.platform_side import PlatformSide
from wearon.platform.base import Channel, Completion, SessionRef, Status

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


async def found(side: PlatformSide, term: str, limit: int = 50) -> list[SessionRef]:
    return [session.ref for session in await side.platform.search_sessions(term, limit)]


async def test_a_session_is_found_by_its_own_id_however_it_is_spelled(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel)
    side.add_session(channel)
    for term in (ref.session_id, ref.session_id.upper(), f"{{{ref.session_id}}}"):
        assert await found(side, term) == [ref]


async def test_an_owners_sessions_are_found_newest_first_and_no_more_than_asked_for(
    side: PlatformSide, channel: Channel
) -> None:
    owner_id = str(uuid4())
    refs = [
        side.add_session(channel, owner_id=owner_id, created_at=START + timedelta(minutes=minute))
        for minute in range(4)
    ]
    side.add_session(channel)
    assert await found(side, owner_id) == refs[::-1]
    assert await found(side, owner_id, limit=2) == refs[:1:-1]


async def test_an_owners_next_page_begins_where_the_last_one_ended(side: PlatformSide, channel: Channel) -> None:
    owner_id = str(uuid4())
    refs = [
        side.add_session(channel, owner_id=owner_id, created_at=START + timedelta(minutes=minute))
        for minute in range(5)
    ]
    page = await side.platform.search_sessions(owner_id, 2)
    rest = await side.platform.search_sessions(owner_id, 50, page[-1].created_at)
    assert [session.ref for session in (*page, *rest)] == refs[::-1]


async def test_one_id_in_both_channels_finds_both(side: PlatformSide) -> None:
    owner_id = str(uuid4())
    older = side.add_session(Channel.B2C, owner_id=owner_id, created_at=START)
    newer = side.add_session(Channel.B2B, owner_id=owner_id, created_at=START + timedelta(minutes=1))
    assert await found(side, owner_id) == [newer, older]


async def test_a_stores_session_is_found_by_its_request(side: PlatformSide) -> None:
    ref = side.add_session(Channel.B2B, request_id="req_1")
    side.add_session(Channel.B2B, request_id="req_12")
    side.add_session(Channel.B2B)
    assert await found(side, "req_1") == [ref]


@pytest.mark.parametrize(
    "term",
    [
        "",
        "req_unknown",
        "*",
        "%",
        "req_%",
        "eq.req_1",
        "not.is.null",
        "req_1,status.eq.queued",
        "req_1)&or=(status.eq.queued",
        "req_1&status=eq.queued",
        "' or '1'='1",
        "in.(req_1)",
        "nul\x00",
        "ü€😀",
        "x" * 3000,
    ],
)
async def test_what_is_no_id_finds_nothing(side: PlatformSide, term: str) -> None:
    side.add_session(Channel.B2B, request_id="req_1")
    side.add_session(Channel.B2B)
    side.add_session(Channel.B2C)
    assert await found(side, term) == []


@pytest.mark.parametrize("term", ["a,b", "a)", 'a"b', "a.b", "a b", "(a)", "a\\b", "a&b=c", "a+b%20"])
async def test_a_request_id_with_signs_of_a_filters_grammar_is_only_a_text(side: PlatformSide, term: str) -> None:
    ref = side.add_session(Channel.B2B, request_id=term)
    side.add_session(Channel.B2B, request_id="a")
    assert await found(side, term) == [ref]


async def test_a_finished_session_says_what_it_took(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel, Status.PROCESSING)
    await side.platform.complete_session(
        ref, Completion("https://side.example/x.jpg", 41_000, 1_500, 6_208, Decimal("0.210561"), START)
    )
    (session,) = await side.platform.search_sessions(ref.session_id, 50)
    assert (session.processing_time_ms, session.input_tokens, session.output_tokens) == (41_000, 1_500, 6_208)
    assert session.estimated_cost_usd == Decimal("0.210561")
    unfinished = side.add_session(channel)
    (session,) = await side.platform.search_sessions(unfinished.session_id, 50)
    assert (session.processing_time_ms, session.input_tokens, session.estimated_cost_usd) == (None, None, None)
