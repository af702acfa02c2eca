"""The queue document: what a producer pushes, checked before anything is done with it.

`read_task` never raises. A document that cannot be a task becomes a `Rejected` with one clear reason, and with the
session that it names, if it names one: that session's shopper is waiting and has paid.
"""

import json
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from opentelemetry.trace import format_trace_id
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from wearon.observability.tracing import parse_traceparent, write_traceparent
from wearon.platform.base import Channel, SessionRef
from wearon.platform.session_rows import in_utc

MAX_DOCUMENT_BYTES = 512 * 1024
"""Ten of the longest URLs (40 KB) and the longest prompt fit, in any script and however it is spelt: as JSON escapes a
character outside of Latin takes 6 bytes, an emoji 12, so 32,000 of them 384 KB. Reading it takes 2 ms."""

MAX_LENIENT_BYTES = 1024 * 1024
"""What is no task is still looked through for the session that it names, up to here: 10 ms of the event loop."""

MAX_REASON_CHARACTERS = 500
"""A reason quotes what it complains about, and a number may have thousands of digits."""

MAX_PROMPT_CHARACTERS = 32_000
"""The image model's own limit."""

KNOWN_VERSION = 1

_HALF_OR_CONTROL = re.compile(rb"\\u[dD][89a-fA-F]|[\x00-\x1f]")
"""Escapes of surrogates, in pairs or not, and control characters, between fields or in texts."""


def _refuse_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    return text


def _drop_nul(text: str) -> str:
    """Remove NUL, which means nothing in a text for people, and which PostgreSQL cannot keep."""
    return text.replace("\x00", "")


def _in_whole_characters(value: object) -> object:
    """A text that was cut in the middle of an emoji ends with half of it, a lone surrogate, which has no UTF-8."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _iso_moment(value: object) -> object:
    """ISO 8601 has more spellings than pydantic reads (`20261124T150000Z`); without a zone it is UTC, as everywhere
    here. What Python cannot read either is left to pydantic to complain of.
    """
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        return value if moment is None else in_utc(moment)
    except (ValueError, OverflowError):
        return value


def _canonical_uuid(text: str) -> str:
    return str(UUID(text))


def _trace_context_or_none(value: object) -> str | None:
    context = parse_traceparent(value)
    return None if context is None else write_traceparent(context)


Text = Annotated[str, BeforeValidator(_in_whole_characters), AfterValidator(_drop_nul)]
Uuid = Annotated[str, AfterValidator(_canonical_uuid)]
Url = Annotated[
    str,
    BeforeValidator(_in_whole_characters),
    Field(min_length=1, max_length=4096),
    AfterValidator(_refuse_nul),
]


class GenerationTask(BaseModel):
    """One try-on to make. Fields as in the contract; unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: Uuid
    channel: Channel
    store_id: Uuid | None = None
    user_id: Uuid | None = None
    session_id: Uuid
    image_urls: Annotated[tuple[Url, ...], Field(min_length=1, max_length=10)]
    """First the person, second the garment, then accessories."""
    prompt: Annotated[Text, Field(max_length=MAX_PROMPT_CHARACTERS)] = ""
    request_id: Annotated[Text, Field(max_length=200)] = ""
    version: Annotated[int, Strict()] = KNOWN_VERSION
    """Strict: `true` and "1" are not version 1, and guessing is what a version is there to prevent."""
    created_at: Annotated[datetime | None, BeforeValidator(_iso_moment)] = None
    traceparent: Annotated[str | None, BeforeValidator(_trace_context_or_none)] = None
    """The producer's W3C trace context, which the contract does not have. A bad one is no reason to reject the task."""

    @model_validator(mode="before")
    @classmethod
    def _take_null_as_absent(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            return {name: value for name, value in fields.items() if value is not None}
        return fields

    @model_validator(mode="after")
    def _check_version_and_owner(self) -> "GenerationTask":
        if self.version != KNOWN_VERSION:
            raise ValueError(f"version {self.version} is not known to this worker, which knows {KNOWN_VERSION}")
        needed = "store_id" if self.channel is Channel.B2B else "user_id"
        if getattr(self, needed) is None:
            raise ValueError(f"{needed} is required for {self.channel}")
        return self

    @property
    def ref(self) -> SessionRef:
        """The session and its owner."""
        owner_id = self.store_id if self.channel is Channel.B2B else self.user_id
        assert owner_id is not None
        return SessionRef(self.channel, owner_id, self.session_id)

    @property
    def trace_id(self) -> str | None:
        """The trace of all that is done for this task: the producer's, or one of the session's own."""
        return _trace_id(self.traceparent, self.session_id)


def _trace_id(traceparent: str | None, session_id: str | None) -> str | None:
    context = parse_traceparent(traceparent)
    return format_trace_id(context.trace_id) if context else trace_of_session(session_id)


def trace_of_session(session_id: object) -> str | None:
    """The trace id of a session whose task brought none: the session's id without dashes.

    So the session's id finds the trace, and its attempts on all machines belong to it. None for what is no uuid.
    """
    try:
        named = UUID(str(session_id))
    except ValueError:
        return None
    return named.hex if named.int else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that is no task: why, and the session it names (None when it names none)."""

    reason: str
    ref: SessionRef | None = None
    request_id: str = ""
    traceparent: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace id, as a task has it; None when no session is named either."""
        return _trace_id(self.traceparent, self.ref.session_id if self.ref else None)


def read_task(document: bytes) -> GenerationTask | Rejected:
    """Check one queue document. A byte-order mark before it is passed over, as RFC 8259 lets a reader do."""
    document = document.removeprefix(BOM_UTF8)
    if len(document) > MAX_DOCUMENT_BYTES:
        return _rejected(f"larger than {MAX_DOCUMENT_BYTES} bytes", _read_leniently(document))
    try:
        fields = from_json(document, allow_inf_nan=False)
    except ValueError as error:
        fields = _read_broken_characters(document)
        if fields is None:
            return _rejected(f"not JSON: {error}", _read_leniently(document))
    return check_task(fields)


def check_task(fields: Any) -> GenerationTask | Rejected:
    """Check what has been read from JSON already."""
    if not isinstance(fields, dict):
        return Rejected("not a JSON object")
    try:
        return GenerationTask.model_validate(fields)
    except ValidationError as error:
        complaints = error.errors(include_input=False, include_url=False)[:5]
        return _rejected("; ".join(_complaint(details) for details in complaints), fields)


def session_id_of(document: bytes) -> str | None:
    """The session that a document names, whatever its owner and whatever else is wrong with it; None without one."""
    fields = _read_leniently(document)
    try:
        return _canonical_uuid(fields["session_id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _read_broken_characters(document: bytes) -> Any:
    """JSON in which nothing is wrong but characters: halves of emojis, broken UTF-8, control characters in texts.

    None when there are no such characters, or when more is wrong.
    """
    if not (_HALF_OR_CONTROL.search(document) or _is_broken_utf8(document)):
        return None
    try:
        return json.loads(document.decode("utf-8", "replace"), strict=False, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _is_broken_utf8(document: bytes) -> bool:
    try:
        document.decode()
    except UnicodeDecodeError:
        return True
    return False


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _rejected(reason: str, fields: Any) -> Rejected:
    """The rejection, with what the unusable task still says about its session, so that the shopper does not wait."""
    request_id = fields.get("request_id") if isinstance(fields, dict) else None
    return Rejected(
        reason[:MAX_REASON_CHARACTERS],
        _named_session(fields),
        _printable(request_id[:200]) if isinstance(request_id, str) else "",
        _trace_context_or_none(fields.get("traceparent")) if isinstance(fields, dict) else None,
    )


def _read_leniently(document: bytes) -> Any:
    """More than JSON allows: a byte-order mark, NaN, broken UTF-8, half a surrogate pair (a prompt that was cut in the
    middle of an emoji), and numbers longer than Python turns into integers.
    """
    if len(document) > MAX_LENIENT_BYTES:
        return None
    try:
        return json.loads(document.decode("utf-8-sig", errors="replace"), parse_int=float)
    except (ValueError, RecursionError):
        return None


def _printable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _complaint(details: Any) -> str:
    where = ".".join(str(part) for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _named_session(fields: Any) -> SessionRef | None:
    try:
        channel = Channel(fields["channel"])
        owner = fields["store_id"] if channel is Channel.B2B else fields["user_id"]
        return SessionRef(channel, _canonical_uuid(owner), _canonical_uuid(fields["session_id"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
