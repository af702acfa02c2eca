"""Both platforms: the status machine, whose it is, and what was left unfinished."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from support.platform_side import PlatformSide
from wearon.platform.base import (
    OPEN_STATUSES,
    Channel,
    Completion,
    Platform,
    PlatformRefused,
    Session,
    SessionRef,
    Status,
)

NOW = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)
COMPLETION = Completion(
    generated_image_url="https://side.example/picture.jpg?token=abc",
    processing_time_ms=41_000,
    input_tokens=1_500,
    output_tokens=6_208,
    estimated_cost_usd=Decimal("0.2105605"),
    completed_at=NOW,
)

MOVES = {
    "start": {Status.QUEUED, Status.PENDING, Status.PROCESSING},
    "requeue": {Status.PROCESSING},
    "complete": {Status.PROCESSING},
    "fail": {Status.QUEUED, Status.PENDING, Status.PROCESSING},
}
ENDS = {
    "start": Status.PROCESSING,
    "requeue": Status.QUEUED,
    "complete": Status.COMPLETED,
    "fail": Status.FAILED,
}
CASES = [
    pytest.param(channel, status, move, id=f"{channel}-{status}-{move}")
    for channel in Channel
    for status in Status
    for move in MOVES
    if (channel, status) != (Channel.B2B, Status.PENDING)  # stores never had it
]


async def make_move(platform: Platform, move: str, ref: SessionRef) -> bool:
    """Ask for one of the four transitions."""
    match move:
        case "start":
            return await platform.start_session(ref)
        case "requeue":
            return await platform.requeue_session(ref)
        case "complete":
            return await platform.complete_session(ref, COMPLETION)
        case _:
            return await platform.fail_session(ref, "Internal error during generation", NOW)


@pytest.mark.parametrize(("channel", "status", "move"), CASES)
async def test_a_transition_happens_from_the_statuses_that_allow_it_and_from_no_other(
    side: PlatformSide, channel: Channel, status: Status, move: str
) -> None:
    ref = side.add_session(channel, status)
    bystander = side.add_session(channel, status, owner_id=ref.owner_id)

    moved = await make_move(side.platform, move, ref)

    assert moved == (status in MOVES[move])
    assert side.status(ref) == (ENDS[move] if moved else status)
    assert side.status(bystander) == status


@pytest.mark.parametrize("move", list(MOVES))
async def test_a_session_of_somebody_else_is_not_touched(side: PlatformSide, channel: Channel, move: str) -> None:
    ref = side.add_session(channel, Status.PROCESSING)
    before = side.row(ref)

    assert not await make_move(side.platform, move, SessionRef(channel, str(uuid4()), ref.session_id))

    assert side.row(ref) == before


@pytest.mark.parametrize("move", list(MOVES))
async def test_a_session_of_the_other_channel_is_not_touched(side: PlatformSide, channel: Channel, move: str) -> None:
    ref = side.add_session(channel, Status.PROCESSING)
    other = Channel.B2C if channel is Channel.B2B else Channel.B2B

    assert not await make_move(side.platform, move, SessionRef(other, ref.owner_id, ref.session_id))

    assert side.status(ref) == Status.PROCESSING


async def test_a_completed_session_says_what_it_took(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel, Status.PROCESSING)

    assert await side.platform.complete_session(ref, COMPLETION)

    row = side.row(ref)
    assert row["generated_image_url"] == COMPLETION.generated_image_url
    assert row["processing_time_ms"] == 41_000
    assert (row["input_tokens"], row["output_tokens"]) == (1_500, 6_208)
    assert Decimal(row["estimated_cost_usd"]) in {Decimal("0.210560"), Decimal("0.210561")}  # six places
    assert row["error_message"] is None
    session = await side.platform.find_session(channel, ref.session_id)
    assert session is not None
    assert session.status is Status.COMPLETED
    assert session.completed_at == NOW
    assert session.generated_image_url == COMPLETION.generated_image_url


async def test_a_session_is_completed_without_a_count_that_the_answer_did_not_carry(side: PlatformSide) -> None:
    ref = side.add_session(Channel.B2C, Status.PROCESSING)

    assert await side.platform.complete_session(ref, Completion("https://x.example/p", 1, None, None, None, NOW))

    row = side.row(ref)
    assert (row["input_tokens"], row["output_tokens"], row["estimated_cost_usd"]) == (None, None, None)


async def test_a_failed_session_keeps_its_message_and_its_stamp(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel)

    assert await side.platform.fail_session(ref, "Flagged: “größer” than 'allowed'", NOW)

    session = await side.platform.find_session(channel, ref.session_id)
    assert session is not None
    assert session.status is Status.FAILED
    assert session.error_message == "Flagged: “größer” than 'allowed'"
    assert session.completed_at == NOW  # to the microsecond: it tells whose transition it was


async def test_only_one_of_two_failures_owns_the_refund(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel, Status.PROCESSING)

    owned = [
        await side.platform.fail_session(ref, "ours", NOW),
        await side.platform.fail_session(ref, "theirs", NOW),
    ]

    assert owned == [True, False]
    assert side.row(ref)["error_message"] == "ours"


async def test_a_moment_in_another_time_zone_is_the_same_moment(side: PlatformSide) -> None:
    ref = side.add_session(Channel.B2C)
    there = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    await side.platform.fail_session(ref, "x", there)

    session = await side.platform.find_session(Channel.B2C, ref.session_id)
    assert session is not None
    assert session.completed_at == NOW


async def test_a_session_is_read_as_it_stands(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel, created_at=NOW, request_id="req_read", credits_used=3)

    session = await side.platform.find_session(channel, ref.session_id)

    assert session is not None
    assert session.ref == ref
    assert session.status is Status.QUEUED
    assert session.credits_used == 3
    assert session.created_at == NOW
    assert session.request_id == ("req_read" if channel is Channel.B2B else None)
    assert (session.error_message, session.generated_image_url, session.completed_at) == (None, None, None)


async def test_a_session_is_found_by_its_id_however_that_is_spelt(side: PlatformSide, channel: Channel) -> None:
    ref = side.add_session(channel)

    session = await side.platform.find_session(channel, ref.session_id.upper())

    assert session is not None
    assert session.ref == ref


async def test_a_missing_session_is_none(platform: Platform, channel: Channel) -> None:
    assert await platform.find_session(channel, str(uuid4())) is None


async def test_what_is_no_uuid_is_refused(platform: Platform, channel: Channel) -> None:
    with pytest.raises(PlatformRefused):
        await platform.find_session(channel, "1 or 1=1")
    with pytest.raises(PlatformRefused):
        await platform.start_session(SessionRef(channel, "me", str(uuid4())))


async def test_open_sessions_are_listed_by_channel_the_oldest_first(side: PlatformSide, channel: Channel) -> None:
    has_pending = channel is Channel.B2C
    statuses = [Status.QUEUED, Status.PROCESSING, Status.PENDING if has_pending else Status.QUEUED]
    ages = [NOW + timedelta(seconds=second) for second in (2, 0, 1)]
    refs = [side.add_session(channel, *each[:1], created_at=each[1]) for each in zip(statuses, ages, strict=True)]
    for status in (Status.COMPLETED, Status.FAILED):
        side.add_session(channel, status, created_at=NOW)
    side.add_session(Channel.B2B if has_pending else Channel.B2C, created_at=NOW)
    too_young = NOW + timedelta(seconds=50)
    for later in (timedelta(0), timedelta(microseconds=1)):
        side.add_session(channel, created_at=too_young + later)

    found = await side.platform.list_sessions(channel, OPEN_STATUSES, too_young, 100)
    assert [session.ref for session in found] == [refs[1], refs[2], refs[0]]
    oldest = await side.platform.list_sessions(channel, OPEN_STATUSES, too_young, 1)
    assert [session.ref for session in oldest] == [refs[1]]


async def test_open_sessions_go_on_after_the_last_one_although_many_are_of_one_moment(
    side: PlatformSide, channel: Channel
) -> None:
    moment = NOW + timedelta(microseconds=1)
    refs = {side.add_session(channel, created_at=moment) for _ in range(5)}
    refs |= {side.add_session(channel, created_at=NOW + timedelta(seconds=second)) for second in (0, 1)}
    found: list[Session] = []
    while page := await side.platform.list_sessions(
        channel, OPEN_STATUSES, NOW + timedelta(days=1), 2, after=found[-1] if found else None
    ):
        found += page
    assert len(found) == len(refs) == 7
    assert {session.ref for session in found} == refs


async def test_a_platform_that_works_passes_its_check(platform: Platform) -> None:
    await platform.check()
