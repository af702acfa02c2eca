"""When to come back after a 429, by what the answer says of it.

The account has a limit for each of several dimensions (requests, tokens, input images), and headers tell of each what
remains and when it is full again. So the first word is that of a dimension that is used up. The other resets say only
when something is full again that was not empty.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 3600.0
"""A longer wait than any job's deadline means the same; this keeps a nonsense header from overflowing a clock."""

MAX_MESSAGE_CHARACTERS = 16 * 1024
"""Messages are a sentence or two, also within two gateways' own words."""

GATEWAY_PREFIX = "llm_provider-"
"""LiteLLM hands headers of the model's service on under this; without it, only some of them."""

_HEADER = re.compile(r"(?:llm_provider-)?x-ratelimit-(remaining|reset)(?:-([a-z0-9_-]{1,40}))?")

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_AMOUNT = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"

_DURATION = re.compile(rf"(?:{_AMOUNT}(?:h|ms|m|s)){{1,4}}")

_SPAN = re.compile(rf"({_AMOUNT})(h|ms|m|s)")

_PART = re.compile(rf"({_AMOUNT}) ?([A-Za-z]+)")

_NUMBER = re.compile(r" *-?[0-9]{1,15}(\.[0-9]{1,9})? *")

_SECONDS = re.compile(r" *[0-9]{1,15}(\.[0-9]{1,12})? *")

_IN_TEXT = re.compile(
    rf"\b(?:try again|retry) (?:in|after) ((?:{_AMOUNT} ?"
    r"(?:milliseconds?|ms|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z]),? ?(?:and )?){1,4})",
    re.IGNORECASE,
)
"""`Please try again in 1m30s.`, `in 850ms`, and Azure's `Please retry after 26 seconds.`"""


@dataclass(slots=True)
class _Dimension:
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def is_used_up(self) -> bool:
        return self.remaining is not None and self.remaining <= 0


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None, message: str = "") -> float | None:
    """In how many seconds to come back; None when the answer does not say.

    In this order: the reset of a dimension of which nothing remains (the latest, if several are used up), what the
    message says, `Retry-After-Ms` (OpenAI's own), `Retry-After` (seconds or a date), and, where no header says what
    remains, the latest reset.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    now = now or datetime.now(UTC)
    seconds = next((wait for wait in _candidates(lower, now, message) if wait is not None), None)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _candidates(headers: Mapping[str, str], now: datetime, message: str) -> Iterator[float | None]:
    dimensions = _dimensions(headers, now).values()
    # A reset of 0 contradicts "nothing remains": then another header's word is better.
    yield max((d.reset_s for d in dimensions if d.is_used_up and d.reset_s), default=None)
    yield _in_text(message)
    for prefix in ("", GATEWAY_PREFIX):
        yield _number(headers.get(f"{prefix}retry-after-ms"), unit_s=0.001)
        retry_after = headers.get(f"{prefix}retry-after")
        yield _number(retry_after)
        yield _until_date(retry_after, now)
    yield max((d.reset_s for d in dimensions if d.remaining is None and d.reset_s is not None), default=None)


def _dimensions(headers: Mapping[str, str], now: datetime) -> dict[str, _Dimension]:
    """The dimensions by name. A gateway's own headers come before those that it forwards."""
    found: dict[str, _Dimension] = {}
    for name in sorted(headers, key=lambda name: name.startswith(GATEWAY_PREFIX)):
        matched = _HEADER.fullmatch(name)
        if matched is None:
            continue
        dimension = found.setdefault(matched[2] or "", _Dimension())
        if matched[1] == "remaining" and dimension.remaining is None:
            dimension.remaining = _count(headers[name])
        elif matched[1] == "reset" and dimension.reset_s is None:
            dimension.reset_s = _reset_s(headers[name], now)
    return found


def _count(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _reset_s(text: str, now: datetime) -> float | None:
    """A duration (OpenAI), plain seconds, or a moment as a Unix time or in ISO 8601 (others)."""
    duration = _duration(text)
    if duration is not None:
        return duration
    number = _number(text)
    if number is None:
        return _until_iso(text, now)
    if number < 1e9:
        return number
    return (number / 1000 if number > 1e11 else number) - now.timestamp()


def _in_text(message: str) -> float | None:
    matched = _IN_TEXT.search(message[:MAX_MESSAGE_CHARACTERS])
    if matched is None:
        return None
    parts = _PART.findall(matched[1])
    return sum(float(amount) * _unit_s(unit.lower()) for amount, unit in parts)


def _unit_s(word: str) -> float:
    return _UNITS_S["ms"] if word.startswith(("ms", "milli")) else _UNITS_S[word[0]]


def _number(text: str | None, unit_s: float = 1.0) -> float | None:
    if text and _SECONDS.fullmatch(text):
        return float(text) * unit_s
    return None


def _duration(text: str) -> float | None:
    """The rate limit headers' own spelling: 120ms, 7.2s, 6m0s, 1h2m3s."""
    if not _DURATION.fullmatch(text.strip()):
        return None
    return sum(float(n) * _UNITS_S[unit] for n, unit in _SPAN.findall(text))


def _until_date(text: str | None, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()


def _until_iso(text: str, now: datetime) -> float | None:
    try:
        then = datetime.fromisoformat(text.strip())
        return (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
