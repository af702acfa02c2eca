"""What OpenAI's answers mean: the picture and its price, or exactly one of the errors of `wearon.tryon.generator`.

`tests/unit/tryon/test_openai.py` walks the whole map. No reason here repeats OpenAI's message, which may quote the
prompt or the key: it names status, error code, parameter and OpenAI's request id.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wearon.tryon.generator import (
    BadAnswer,
    GenerationError,
    KeyRejected,
    Moderated,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
    Usage,
)

log = structlog.get_logger()

MAX_RETRY_AFTER_S = 3600.0
"""A longer wait than any job's deadline means the same; this keeps a nonsense header from overflowing a clock."""

QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""The first is the contract's (with 429); the others are how a spent budget and an unpaid bill are told."""


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens."""

    text_in: Decimal
    image_in: Decimal
    text_out: Decimal
    image_out: Decimal


PRICES = {"gpt-image-1.5": Prices(Decimal("5.00"), Decimal("8.00"), Decimal("10.00"), Decimal("32.00"))}
"""The contract's. The cost of another model's picture is not guessed."""

TokenCount = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""The session row's columns are 32-bit integers."""


class Picture(BaseModel):
    """One picture of an answer, or where it is."""

    model_config = ConfigDict(val_json_bytes="base64")

    b64_json: bytes | None = None
    url: str | None = None


class Answer(BaseModel):
    """An answer with status 200. `usage` is looked at apart: a paid picture is never lost over it."""

    data: list[Picture] = Field(min_length=1)
    usage: Any = None


class _TokenDetails(BaseModel):
    text_tokens: TokenCount | None = None
    image_tokens: TokenCount | None = None


class _Usage(BaseModel):
    input_tokens: TokenCount
    output_tokens: TokenCount
    input_tokens_details: _TokenDetails | None = None
    output_tokens_details: _TokenDetails | None = None


def parse_answer(body: bytes) -> Answer:
    """JSON and base64 in one go: 1 ms for a picture of 1.2 MB, where json and base64 need 7. Raises BadAnswer."""
    try:
        return Answer.model_validate_json(body)
    except ValidationError as error:
        # Not chained: it quotes the answer.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "body"
        raise BadAnswer(f"the answer is not as promised ({where}: {first['type']})") from None


def usage_of(raw: object, model: str) -> Usage | None:
    """Tokens and cost as the answer tells them; None when it does not."""
    if raw is None:
        return None
    try:
        usage = _Usage.model_validate(raw)
    except ValidationError:
        log.warning("openai answered with unreadable usage")
        return None
    prices = PRICES.get(re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model))  # a dated snapshot costs what its model does
    cost = None if prices is None else _cost(usage, prices)
    return Usage(usage.input_tokens, usage.output_tokens, cost)


def tokens_of(raw: object) -> dict[tuple[str, str], int]:
    """Tokens by direction (input, output) and kind (text, image); empty when the answer does not tell."""
    try:
        usage = _Usage.model_validate(raw)
    except ValidationError:
        return {}
    text_in, image_in = _split(usage.input_tokens, usage.input_tokens_details)
    text_out, image_out = _split(usage.output_tokens, usage.output_tokens_details)
    return {
        ("input", "text"): text_in,
        ("input", "image"): image_in,
        ("output", "text"): text_out,
        ("output", "image"): image_out,
    }


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> GenerationError:
    """What an answer without status 200 means. Header names are expected in lower case, or case-insensitive."""
    details = _error_details(body)
    code = details.get("code")
    reason = _reason(status, headers, details)
    error: GenerationError
    if status in {401, 403}:
        error = KeyRejected(reason)
    elif QUOTA_CODES & {code, details.get("type")}:
        error = QuotaExhausted(reason)
    elif status == 429:
        error = RateLimited(reason, retry_after_s(headers))
    elif code == "moderation_blocked":
        error = Moderated(reason)
    elif status >= 500 or status == 408:  # 408 is the service's own word for a time-out
        error = ServiceUnavailable(reason)
    elif status < 300:
        error = BadAnswer(reason)
    else:
        error = RequestRefused(reason)
    return error


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """In how many seconds to come back; None when the answer does not say.

    `Retry-After-Ms` is OpenAI's own, `Retry-After` holds seconds or a date, and the rate limit's reset is the last
    resort: it tells when the whole minute's budget is back, mostly later than need be.
    """
    retry_after = headers.get("retry-after")
    candidates = (
        _number(headers.get("retry-after-ms"), unit_s=0.001),
        _number(retry_after),
        _seconds_until(retry_after, now or datetime.now(UTC)),
        _duration(headers.get("x-ratelimit-reset-requests")),
    )
    seconds = next((candidate for candidate in candidates if candidate is not None), None)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def name_like(value: str | None) -> str | None:
    """The value when it looks like a name; anything longer or freer could quote what we sent."""
    return value if value and re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,64}", value) else None


def _cost(usage: _Usage, prices: Prices) -> Decimal:
    """USD to the six decimals of the session row's column."""
    text_in, image_in = _split(usage.input_tokens, usage.input_tokens_details)
    text_out, image_out = _split(usage.output_tokens, usage.output_tokens_details)
    micro_usd = (
        text_in * prices.text_in
        + image_in * prices.image_in
        + text_out * prices.text_out
        + image_out * prices.image_out
    )
    return (micro_usd / 1_000_000).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def _split(total: int, details: _TokenDetails | None) -> tuple[int, int]:
    """Text and image tokens. What the details leave open counts as image tokens, the dearer kind."""
    details = details or _TokenDetails()
    text, image = details.text_tokens, details.image_tokens
    if image is None:
        image = max(0, total - (text or 0))
    if text is None:
        text = max(0, total - image)
    return text, image


def _error_details(body: bytes) -> dict[str, str]:
    """`code`, `type` and `param` of an error body, as far as they are there."""
    try:
        error = json.loads(body)["error"]
        return {name: error[name] for name in ("code", "type", "param") if isinstance(error.get(name), str)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _reason(status: int, headers: Mapping[str, str], details: Mapping[str, str]) -> str:
    named = {**details, "openai request": headers.get("x-request-id")}
    return ", ".join([f"status {status}", *(f"{name} {value}" for name, value in named.items() if name_like(value))])


def _number(text: str | None, unit_s: float = 1.0) -> float | None:
    if text and re.fullmatch(r" *[0-9]{1,12}(\.[0-9]{1,12})? *", text):
        return float(text) * unit_s
    return None


def _seconds_until(text: str | None, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds()


def _duration(text: str | None) -> float | None:
    """The rate limit headers' own spelling: 120ms, 7.2s, 6m0s, 1h2m3s."""
    if not text or not re.fullmatch(r"([0-9]{1,6}(\.[0-9]{1,6})?(h|ms|m|s))+", text):
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)(h|ms|m|s)", text))
