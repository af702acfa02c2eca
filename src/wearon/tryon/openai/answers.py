"""What OpenAI's answers mean: the picture and its price, or exactly one of the errors in `tryon.image_model`.

`tests/unit/tryon/openai/test_client.py` walks the whole map. No reason here repeats OpenAI's message, which may quote
the prompt or the key: it names status, error code, parameter and OpenAI's request id.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wearon.tryon.image_model import (
    BadAnswer,
    GenerationError,
    KeyRejected,
    ModelUnavailable,
    Moderated,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
    Usage,
)
from wearon.tryon.openai.error_bodies import ErrorBody, read_error_body
from wearon.tryon.openai.models import Prices, prices_of
from wearon.tryon.openai.rate_limits import GATEWAY_PREFIX, retry_after_s
from wearon.tryon.openai.wrappings import unwrap

log = structlog.get_logger()

QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "budget_exceeded"})
"""The first two are the contract's; the others stand for an unpaid bill and for LiteLLM's own budgets."""

KEY_CODES = frozenset({"invalid_api_key", "no_db_connection", "token_not_found_in_db", "expired_key"})
"""Our key is refused, whatever the status: the first is OpenAI's, the others are LiteLLM's (`no_db_connection` with
status 400 is what it says to a key that it does not know, when it has no database)."""

MODEL_CODES = frozenset({"model_not_found", "key_model_access_denied", "team_model_access_denied"})
"""The first is the contract's; the others are LiteLLM's, for a key that may use other models only. To a model that it
does not have it says "Invalid model name passed in model=..." with status 400."""

PASSING_STATUSES = frozenset({408, 409, 423, 425})
"""A time-out in the service's own word, a conflict or lock that ends, and "too early"."""

LOST_STATUSES = frozenset({408, 504, 524})
"""A server between the model and us gave up waiting: the picture may have been made, and paid."""


LOST_BEHIND_A_GATEWAY = re.compile(
    r"disconnected|connection (?:was )?(?:reset|closed|lost|aborted)|timed? ?out|litellm\.APIError", re.IGNORECASE
)
"""A gateway's word, with 500, for an answer of the model that it lost or could not read."""

_MODEL = re.compile(r"\bmodel\b")

_WORD = re.compile(r"[A-Za-z0-9_./:@+-]{1,200}")
"""What may be the name of a model."""

_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")

TokenCount = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""The session row's columns are 32-bit integers."""

COST_LIMIT = Decimal(10_000)
"""USD. The session row's column is numeric(10, 6), and refuses more."""


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
    """JSON and base64 in one go: 1 ms for a picture of 1.2 MB, where json and base64 need 7.

    What is not as OpenAI writes it is looked through for its picture. Raises BadAnswer, and Moderated for a gateway
    that tells a refusal with status 200.
    """
    complaint = "there is neither a picture nor a URL in it"
    try:
        answer = Answer.model_validate_json(body)
        if answer.data[0].b64_json:
            return answer
    except ValidationError as error:
        # Not chained: it quotes the answer.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "body"
        complaint = f"{where}: {first['type']}"
    found = unwrap(body)
    if found is not None:
        return Answer(data=[Picture.model_construct(b64_json=found.picture, url=found.url)], usage=found.usage)
    said = read_error_body(body)
    if said.flagged:
        raise Moderated(_reason(200, {}, said.named))
    raise BadAnswer(f"the answer is not as promised ({complaint})")


def usage_of(raw: object, model: str | None) -> Usage | None:
    """Tokens and cost as the answer tells them; None when it does not. No `model`: it is not known which it was.

    No picture takes zero tokens: that is how LiteLLM says that it does not know.
    """
    if raw is None:
        return None
    try:
        usage = _Usage.model_validate(raw)
    except ValidationError:
        log.warning("openai answered with unreadable usage")
        return None
    if usage.output_tokens == 0:
        return None
    prices = prices_of(model)
    cost = None if prices is None else _cost(usage, prices)
    if cost is not None and cost >= COST_LIMIT:
        log.warning("openai answered with an absurd usage", cost_usd=str(cost))
        cost = None
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


def error_of(status: int, headers: Mapping[str, str], body: bytes, model: str | None = None) -> GenerationError:
    """What an answer that holds no picture means. Header names may be in any case. `model`: which was asked for."""
    said = read_error_body(body)
    reason = _reason(status, headers, said.named)
    error: GenerationError
    if said.flagged:
        error = Moderated(reason)
    elif status == 402 or said.codes & QUOTA_CODES:
        error = QuotaExhausted(reason)
    elif _is_about_the_model(status, said, model):
        error = ModelUnavailable(reason)
    elif status in {401, 403, 407} or said.codes & KEY_CODES:
        error = KeyRejected(reason)
    elif status == 429:
        error = RateLimited(reason, retry_after_s(headers, message=said.text))
    elif status < 300:
        error = BadAnswer(reason)
    elif status >= 500 or status in PASSING_STATUSES or _is_about_the_address(status, body, said):
        error = ServiceUnavailable(
            reason, may_be_paid=status in LOST_STATUSES or bool(LOST_BEHIND_A_GATEWAY.search(said.text))
        )
    else:
        error = RequestRefused(reason)
    return error


def _is_about_the_model(status: int, said: ErrorBody, model: str | None) -> bool:
    """Whether the model does not exist or is not for us: not the key, the path or the request.

    For an organisation that is not verified for a model, the answer names the model (403).
    """
    if said.codes & MODEL_CODES and status < 500:
        return True
    if status == 403:
        return model in {name.rstrip(".") for name in _WORD.findall(said.text)}
    return (status == 404 and names_a_model(said)) or (status == 400 and "Invalid model name" in said.text)


def names_a_model(said: ErrorBody) -> bool:
    """Whether a 404 is about a model, and not about the path."""
    return bool(_MODEL.search(said.text))


def name_like(value: str | None) -> str | None:
    """The value when it looks like a name; anything longer or freer could quote what we sent."""
    return value if value and _NAME.fullmatch(value) else None


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


def _reason(status: int, headers: Mapping[str, str], details: Mapping[str, str]) -> str:
    request_id = headers.get("x-request-id") or headers.get(f"{GATEWAY_PREFIX}x-request-id")
    named = {**details, "openai request": request_id}
    return ", ".join([f"status {status}", *(f"{name} {value}" for name, value in named.items() if name_like(value))])


def _is_about_the_address(status: int, body: bytes, said: ErrorBody) -> bool:
    """Whether it says nothing about the request: a page or a redirect of something before the service, or "no such
    path".
    """
    is_page = body.lstrip()[:1] == b"<"
    return is_page or status < 400 or status == 405 or (status == 404 and not names_a_model(said))
