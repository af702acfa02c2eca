"""Session rows of both channels: where they lie, what their columns are called, and how one is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from wearon.platform.base import (
    FINAL_STATUSES,
    OPEN_STATUSES,
    Channel,
    PlatformUnavailable,
    Session,
    SessionRef,
    SessionUnreadable,
    Status,
)


@dataclass(frozen=True, slots=True)
class SessionTable:
    """The table of a channel's sessions."""

    name: str
    owner_column: str
    columns: tuple[str, ...]
    open_statuses: tuple[Status, ...]

    def known(self, statuses: Sequence[Status]) -> Sequence[Status]:
        """Those of the statuses that a row may have."""
        return [status for status in statuses if status in (*self.open_statuses, *FINAL_STATUSES)]


_COLUMNS = (
    "id", "status", "credits_used", "created_at", "error_message", "generated_image_url", "completed_at",
    "processing_time_ms", "input_tokens", "output_tokens", "estimated_cost_usd",
)  # fmt: skip

SESSION_TABLES = {
    Channel.B2C: SessionTable("generation_sessions", "user_id", (*_COLUMNS, "user_id"), OPEN_STATUSES),
    Channel.B2B: SessionTable(
        "store_generation_sessions",
        "store_id",
        (*_COLUMNS, "store_id", "request_id"),
        # Stores have no legacy rows, and where their status is an enum, asking for a word it lacks is an error.
        tuple(status for status in OPEN_STATUSES if status is not Status.PENDING),
    ),
}


def read_session(channel: Channel, row: Mapping[str, Any]) -> Session:
    """Turn a row into a session. Raises SessionUnreadable, which names the columns and never their values."""
    try:
        fields = _Row.model_validate({**row, "owner_id": row.get(SESSION_TABLES[channel].owner_column)})
    except ValidationError as error:
        names = sorted({".".join(map(str, details["loc"])) for details in error.errors(include_input=False)})
        raise SessionUnreadable(f"cannot read {', '.join(names)} of a row of {SESSION_TABLES[channel].name}") from None
    ref = SessionRef(channel, str(fields.owner_id), str(fields.id))
    return Session(ref, **fields.model_dump(exclude={"id", "owner_id"}))


def place_of(row: Mapping[str, Any]) -> tuple[datetime, UUID]:
    """Where a row stands in the order of creation, also one that cannot be read otherwise."""
    try:
        place = _Place.model_validate(row)
    except ValidationError:
        raise PlatformUnavailable("list sessions: a row has no time of creation, or no id") from None
    return place.created_at, place.id


def needs_result(row: Mapping[str, Any], ended_after: datetime) -> bool:
    """Whether the session of a row is not final, or became so after that moment: so is one that cannot be read."""
    try:
        ended = _Ended.model_validate(row)
    except ValidationError:
        return True
    if ended.status not in FINAL_STATUSES:
        return True
    return ended.completed_at is not None and ended.completed_at > ended_after


def as_uuid(text: str) -> str | None:
    """The one spelling that the tables hold; None for what is no uuid."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def timestamp(moment: datetime) -> str:
    """A moment as the tables take it: UTC, so that a column without a time zone means the same."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC, which a moment without a time zone is in already.

    A column without one holds UTC: that is what the platform's now() writes.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _one_when_null(credits_used: object) -> object:
    return 1 if credits_used is None else credits_used  # the column's default, in rows older than the column


def _none_when_unreadable(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValueError:
        return None


_ForPeople = WrapValidator(_none_when_unreadable)
"""Nothing is decided by these columns: a row in which one is odd is still a session to be finished and refunded."""

_Moment = Annotated[datetime, AfterValidator(in_utc)]


class _Row(BaseModel):
    id: UUID
    owner_id: UUID
    status: Status
    credits_used: Annotated[int, BeforeValidator(_one_when_null), Field(ge=0)]
    created_at: _Moment
    request_id: str | None = None
    error_message: str | None = None
    generated_image_url: str | None = None
    completed_at: _Moment | None = None
    processing_time_ms: Annotated[int | None, _ForPeople] = None
    input_tokens: Annotated[int | None, _ForPeople] = None
    output_tokens: Annotated[int | None, _ForPeople] = None
    estimated_cost_usd: Annotated[Decimal | None, _ForPeople] = None


class _Place(BaseModel):
    id: UUID
    created_at: _Moment


class _Ended(BaseModel):
    status: str
    completed_at: _Moment | None
