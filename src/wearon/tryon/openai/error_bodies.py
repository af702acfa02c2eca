"""What the body of an error says, however a gateway has wrapped it.

OpenAI answers `{"error": {"code", "type", "param", "message"}}`. LiteLLM puts that body, as text, into the message of
an error of its own, whose code is the status; others answer `{"detail": ...}`, an error that is only a string, or no
JSON at all. So a body is read to its innermost error. A message is never handed on in a reason, since it may quote the
prompt or the key: only names and numbers are taken from it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_BODY_BYTES = 16 * 1024
"""Error bodies are a few hundred bytes, two gateways make a few thousand of them. Of a longer one this much is looked
at, on the event loop: 3 ms at worst."""

MAX_DEPTH = 8
"""Errors within errors: two gateways make four levels."""

MAX_NODES = 200
"""Objects, lists and texts that are looked at in one body."""

WHERE_MORE_STANDS = ("message", "msg", "detail", "details", "errors", "error", "inner_error", "innererror")
"""Messages and inner errors, by the names that OpenAI, Azure, LiteLLM and FastAPI's servers give them."""

MAX_EMBEDDED = 3
"""Places in one message where JSON may begin."""

FLAGGED = frozenset({"moderation_blocked", "content_policy_violation", "content_safety_violation"})
"""The contract's three codes."""

FLAGGED_ELSEWHERE = frozenset(
    {"content_filter", "contentfilter", "responsibleaipolicyviolation", "contentpolicyviolationerror"}
)
"""Names that Azure and LiteLLM have for a refusal by the safety filter."""

VAGUE_CODES = frozenset(
    {"error", "api_error", "bad_request", "badrequest", "invalid_request_error", "server_error", "internal_error",
     "internal_server_error", "provider_error", "upstream_error", "unknown", "unknown_error"}
)  # fmt: skip
"""What gateways write where they do not know the code. It says no more than the status, so the text is read too."""

_CODE_IN_TEXT = re.compile(r"""\b(?:code|type)\\?["']?\s?[:=]\s?\\?["']?([A-Za-z][A-Za-z_]{2,63})\b""")
"""`'code': 'moderation_blocked'`, as Python prints a body, and `code=moderation_blocked`."""

_FLAGGED_IN_TEXT = re.compile(
    # A code that stands by itself, not one that a sentence speaks of: "Error - moderation_blocked: ...".
    r"(?:^|[-:(\[\n]\s?)(?:" + "|".join(sorted(FLAGGED)) + r")(?![A-Za-z0-9_'\"])"
    # LiteLLM's own exception, which it names before the message.
    r"|\bContentPolicyViolationError\b"
)

_LITELLM = re.compile(r"\blitellm\.[A-Za-z]{1,60}(?:Error|Exception)\b")

_FLAGGED_WORD = re.compile(r"\b(?:" + "|".join(sorted(FLAGGED)) + r")\b")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """One error, read to its innermost."""

    named: dict[str, str]
    """`code`, `type` and `param` of the innermost error that has a code, else of the innermost one."""
    codes: frozenset[str]
    """Every code and type in the body, in lower case."""
    flagged: bool
    """Whether it says that the safety filter has refused pictures or prompt."""
    text: str = field(repr=False)
    """Its messages; they may quote what we sent."""


def read_error_body(body: bytes) -> ErrorBody:
    """Never raises, whatever the body is; takes time in proportion to its length."""
    text = body[:MAX_BODY_BYTES].decode("utf-8", "replace")
    content = _json_or_none(text)
    found = _Found()
    found.look_into(text if content is None else content)
    with_code = [error for error in found.errors if not _is_vague(error.get("code"))]
    named = (with_code or found.errors or [{}])[-1]
    codes = {value.lower() for error in found.errors for name in ("code", "type") if (value := error.get(name))}
    if not with_code:  # else a text may quote a prompt that speaks of codes
        codes |= {code.lower() for message in found.plain for code in _CODE_IN_TEXT.findall(message)}
    flagged = bool(codes & (FLAGGED | FLAGGED_ELSEWHERE)) or (
        not with_code and any(_speaks_of_flagging(message) for message in found.plain)
    )
    return ErrorBody(named, frozenset(codes), flagged, "\n".join(found.plain))


class _Found:
    """What a walk through a body comes across, outermost first."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []
        self.plain: list[str] = []
        """Messages without the JSON that they hold."""
        self._nodes = 0

    def look_into(self, value: object, depth: int = 0) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            return
        match value:
            case str():
                before, embedded = _split_embedded(value)
                self.plain.append(before)
                if embedded is not None:
                    self.look_into(embedded, depth + 1)
            case list():
                for item in value[:10]:
                    if depth or isinstance(item, dict):  # a bare list of texts is nobody's error
                        self.look_into(item, depth + 1)
            case dict():
                self._look_into_object(value, depth)

    def _look_into_object(self, value: dict[str, object], depth: int) -> None:
        named = {name: text for name in ("code", "type", "param") if (text := _name(value.get(name)))}
        if named:
            self.errors.append(named)
        for name in WHERE_MORE_STANDS:
            if value.get(name):
                self.look_into(value[name], depth + 1)


def _name(value: object) -> str:
    """A code as text; some write the status as a number."""
    return str(value) if isinstance(value, str) or type(value) is int else ""


def _is_vague(code: str | None) -> bool:
    return not code or code.isdigit() or code.lower() in VAGUE_CODES


def _speaks_of_flagging(message: str) -> bool:
    pattern = _FLAGGED_WORD if _LITELLM.search(message) else _FLAGGED_IN_TEXT
    return bool(pattern.search(message) or _FLAGGED_IN_TEXT.search(message))


def _split_embedded(message: str) -> tuple[str, object]:
    """The message up to the JSON in it, and that; None when there is none."""
    for start in _beginnings(message):
        try:
            return message[:start], json.JSONDecoder().raw_decode(message, start)[0]
        except (ValueError, RecursionError):
            continue
    return message, None


def _beginnings(message: str) -> Iterator[int]:
    start = -1
    for _ in range(MAX_EMBEDDED):
        start = message.find("{", start + 1)
        if start < 0:
            return
        yield start


def _json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
