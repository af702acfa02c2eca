"""Both platforms: what an audit reads, page by page and many ledgers at once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from support.platform_side import PlatformSide
from wearon.platform.base import (
    ASKED_AT_ONCE,
    FINAL_STATUSES,
    Channel,
    LedgerEntry,
    Platform,
    Session,
    SessionRef,
    Status,
)

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
END = START + timedelta(days=2)


async def session_of(platform: Platform, ref: SessionRef) -> Session:
    session = await platform.find_session(ref.channel, ref.session_id)
    assert session is not None
    return session


async def pages(platform: Platform, channel: Channel, limit: int) -> list[Sequence[Session]]:
    """All of them, as an audit turns the pages."""
    found: list[Sequence[Session]] = []
    while page := await platform.list_sessions(
        channel, FINAL_STATUSES, END, limit, created_from=START, after=found[-1][-1] if found else None
    ):
        found.append(page)
    return found


async def test_ended_sessions_come_once_each_although_many_are_of_one_moment(
    side: PlatformSide, channel: Channel
) -> None:
    ended = [side.add_session(channel, Status.COMPLETED, created_at=START) for _ in range(7)]
    ended += [side.add_session(channel, Status.FAILED, created_at=START + timedelta(microseconds=n)) for n in (1, 2)]
    side.add_session(channel, Status.PROCESSING, created_at=START)
    side.add_session(channel, Status.COMPLETED, created_at=START - timedelta(microseconds=1))
    side.add_session(channel, Status.COMPLETED, created_at=END)
    found = await pages(side.platform, channel, 3)
    assert [len(page) for page in found] == [3, 3, 3]
    refs = [session.ref for page in found for session in page]
    assert sorted(refs[:7], key=lambda ref: ref.session_id) == refs[:7]
    assert (set(refs), refs[7:]) == (set(ended), ended[7:])


async def test_sessions_are_there_whatever_became_of_them(side: PlatformSide, channel: Channel) -> None:
    there = {side.add_session(channel, status).session_id for status in (Status.QUEUED, Status.COMPLETED)}
    other = side.add_session(Channel.B2B if channel is Channel.B2C else Channel.B2C, Status.COMPLETED)
    asked = [*there, other.session_id, *(str(uuid4()) for _ in range(ASKED_AT_ONCE - 3))]
    assert await side.platform.existing_sessions(channel, asked) == there


async def test_many_ledgers_are_read_at_once_and_each_as_if_alone(side: PlatformSide) -> None:
    store = str(uuid4())
    requests = ["req_1", "req_1", 'req,"2"(:)', "r" * 300, "", None]
    sessions = [side.add_session(Channel.B2B, Status.FAILED, owner_id=store, request_id=each) for each in requests]
    for request_id in ("req_1", 'req,"2"(:)', "r" * 300, "req_other"):
        side.write_store_ledger(store, request_id, "deduction", f"of {request_id}", amount=-2)
    side.write_store_ledger(str(uuid4()), "req_1", "refund", "of another store")
    user = str(uuid4())
    users = [side.add_session(Channel.B2C, Status.FAILED, owner_id=user) for _ in range(2)]
    users.append(side.add_session(Channel.B2C, Status.FAILED))
    side.write_user_ledger(user, "refund", f"Refund (session {users[0].session_id})", amount=3)
    side.write_user_ledger(user, "refund", f"Again ({users[0].session_id})")
    side.write_user_ledger(user, "refund", f"Of another user's session {users[2].session_id}")
    for refs in (sessions, users):
        asked = [await session_of(side.platform, ref) for ref in refs]
        found = await side.platform.ledgers(asked)
        assert set(found) == set(refs)
        for session in asked:
            assert set(found[session.ref]) == set(await side.platform.ledger_entries(session))
    assert [len(await side.platform.ledger_entries(await session_of(side.platform, ref))) for ref in sessions] == [
        1, 1, 1, 1, 0, 0,
    ]  # fmt: skip
    assert await side.platform.ledgers([]) == {}


async def test_an_entry_says_whose_it_is_and_how_much(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel, Status.FAILED, request_id="req_1")
    other = str(uuid4())
    text = f"Refund (session {ref.session_id})"
    for owner, amount in ((ref.owner_id, 3), (other, 4)):
        if channel is Channel.B2C:
            side.write_user_ledger(owner, "refund", text, amount=amount)
        else:
            side.write_store_ledger(owner, "req_1", "refund", text, amount=amount)
    session = await session_of(side.platform, ref)

    def told(entries: Sequence[LedgerEntry]) -> set[tuple[str, int | None, str]]:
        return {(entry.owner_id, entry.amount, entry.description) for entry in entries}

    assert told((await side.platform.ledgers([session]))[ref]) == {(ref.owner_id, 3, text)}
    assert told(await side.platform.refunds_naming(session)) == {(ref.owner_id, 3, text), (other, 4, text)}


@pytest.mark.parametrize("description", [None, "of no session"])
async def test_refunds_that_name_no_session_are_not_found(
    side: PlatformSide, channel: Channel, description: str | None
) -> None:
    ref = side.add_session(channel, Status.FAILED, request_id="req_1")
    side.write_user_ledger(ref.owner_id, "refund", description)
    side.write_store_ledger(ref.owner_id, "req_1", "refund", description)
    side.write_store_ledger(str(uuid4()), "req_1", "deduction", f"Charged for {ref.session_id}")
    assert list(await side.platform.refunds_naming(await session_of(side.platform, ref))) == []
