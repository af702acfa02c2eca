"""Rows as they come, from either database: read, or named as unreadable."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from wearon.platform.base import Channel, SessionUnreadable, Status
from wearon.platform.session_rows import SESSION_TABLES, read_session

SESSION, USER, STORE = str(uuid4()), str(uuid4()), str(uuid4())
NOON = datetime(2026, 11, 24, 12, 0, 0, 500, tzinfo=UTC)


def user_row(**changes: Any) -> dict[str, Any]:
    """A queued session of a user, as PostgREST gives it."""
    row = {
        "id": SESSION,
        "user_id": USER,
        "status": "queued",
        "credits_used": 1,
        "created_at": "2026-11-24T12:00:00.0005+00:00",
        "error_message": None,
        "generated_image_url": None,
        "completed_at": None,
    }
    return {**row, **changes}


def test_a_row_becomes_a_session() -> None:
    session = read_session(Channel.B2C, user_row(status="pending", completed_at="2026-11-24T13:00:00+01:00"))

    assert (session.ref.channel, session.ref.owner_id, session.ref.session_id) == (Channel.B2C, USER, SESSION)
    assert session.status is Status.PENDING
    assert session.created_at == NOON
    assert session.completed_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert session.request_id is None


def test_a_stores_row_has_its_request() -> None:
    row = user_row(store_id=STORE, request_id="req_1")

    session = read_session(Channel.B2B, row)

    assert (session.ref.owner_id, session.request_id) == (STORE, "req_1")


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-24T12:00:00.0005",
        "2026-11-24 12:00:00.0005",
        "2026-11-24T12:00:00.000500Z",
        "2026-11-24T17:30:00.0005+05:30",
    ],
)
def test_a_moment_without_a_zone_is_utc(moment: str) -> None:
    assert read_session(Channel.B2C, user_row(created_at=moment)).created_at == NOON


def test_no_price_is_the_normal_price() -> None:
    assert read_session(Channel.B2C, user_row(credits_used=None)).credits_used == 1
    assert read_session(Channel.B2C, user_row(credits_used=0)).credits_used == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "paused"),
        ("status", None),
        ("id", "7"),
        ("created_at", None),
        ("created_at", "yesterday"),
        ("credits_used", -1),
        ("credits_used", "many"),
        ("completed_at", "soon"),
        ("generated_image_url", {"a": 1}),
    ],
)
def test_a_surprising_row_names_its_column_and_no_value(column: str, value: object) -> None:
    with pytest.raises(SessionUnreadable) as unreadable:
        read_session(Channel.B2C, user_row(**{column: value}))

    assert str(unreadable.value) == f"cannot read {column} of a row of generation_sessions"
    assert unreadable.value.__suppress_context__


def test_a_row_without_an_owner_is_unreadable() -> None:
    with pytest.raises(match="owner_id"):
        read_session(Channel.B2C, user_row(user_id=None))


def test_a_store_is_never_asked_for_a_status_that_it_does_not_know() -> None:
    assert Status.PENDING not in SESSION_TABLES[Channel.B2B].open_statuses
    assert Status.PENDING in SESSION_TABLES[Channel.B2C].open_statuses


def test_odd_numbers_for_people_do_not_make_a_row_unreadable() -> None:
    session = read_session(
        Channel.B2C, user_row(processing_time_ms="soon", input_tokens=[], output_tokens=7, estimated_cost_usd="a lot")
    )
    assert (session.processing_time_ms, session.input_tokens, session.output_tokens) == (None, None, 7)
    assert session.estimated_cost_usd is None
