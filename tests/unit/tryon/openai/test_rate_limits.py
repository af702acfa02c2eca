"""When to come back after a 429."""

from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.tryon.image_model import RateLimited
from wearon.tryon.openai.answers import error_of
from wearon.tryon.openai.rate_limits import retry_after_s

NOW = datetime(2026, 11, 24, 15, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "0", "x-ratelimit-reset-requests": "9s"}, 0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 15:00:30 GMT"}, 30),
        ({"retry-after": "Tue, 24 Nov 2026 14:59:00 GMT"}, 0),
        ({"retry-after": "Tue, 24 Nov 2026 16:00:30 +0100"}, 30),
        ({"retry-after": "99999999"}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1" * 5000}, None),
        ({"retry-after": "soon", "x-ratelimit-reset-requests": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "1h2m3s"}, 3600),
        ({"x-ratelimit-reset-requests": "s"}, None),
        ({"x-ratelimit-reset-requests": "later"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=datetime(2026, 11, 24, 15, 0, 0, tzinfo=UTC)) == seconds


def limits(prefix: str = "", **dimensions: tuple[str | None, str | None]) -> dict[str, str]:
    """Headers of dimensions: what remains, and when it is full again."""
    headers = {}
    for name, (remaining, reset) in dimensions.items():
        dimension = name.replace("_", "-")
        if remaining is not None:
            headers[f"{prefix}x-ratelimit-remaining-{dimension}"] = remaining
        if reset is not None:
            headers[f"{prefix}x-ratelimit-reset-{dimension}"] = reset
    return headers


USED_UP_TOKENS = limits(requests=("299", "120ms"), tokens=("0", "12s"))


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        (USED_UP_TOKENS, "", 12),
        (USED_UP_TOKENS, "Please try again in 3s.", 12),
        ({**USED_UP_TOKENS, "retry-after": "1"}, "", 12),
        (limits(requests=("0", "9s"), tokens=("0", "12s"), images=("5", "40s")), "", 12),
        (limits(requests=("299", "120ms"), input_images=("0", "1m2s")), "", 62),
        (limits(requests=("299", "120ms"), anything_new=("0", "7s")), "", 7),
        (limits(tokens=("-3", "12s")), "", 12),
        (limits(tokens=("0.0", "12.5")), "", 12.5),
        (limits(tokens=("0", "2026-11-24T15:00:20Z")), "", 20),
        (limits(tokens=("0", str(int(NOW.timestamp()) + 30))), "", 30),
        (limits(tokens=("0", str((int(NOW.timestamp()) + 30) * 1000))), "", 30),
        (limits("llm_provider-", requests=("299", "120ms"), tokens=("0", "12s")), "", 12),
        # LiteLLM hands what remains on in its own name, and the reset only under its prefix.
        ({"x-ratelimit-remaining-tokens": "0", **limits("llm_provider-", tokens=("0", "12s"))}, "", 12),
        # Nothing is used up, as far as the headers say: the message knows better.
        (limits(requests=("299", "120ms"), tokens=("100", "50s")), "Please try again in 12s.", 12),
        (limits(requests=("299", "120ms")), "", None),
        (limits(tokens=("0", None)), "Please try again in 12s.", 12),
        (limits(tokens=("0", "0s")), "Please try again in 12s.", 12),
        (limits(tokens=("0", "soon")), "", None),
        (limits(tokens=("nan", "12s"), requests=("many", "3s")), "", 12),
        (limits(tokens=("0", "999999h")), "", 3600),
        ({"retry-after": "5"}, "Please try again in 12s.", 12),
        ({"llm_provider-retry-after": "7"}, "", 7),
        ({"llm_provider-retry-after-ms": "1500"}, "", 1.5),
        ({"retry-after": "5", "llm_provider-retry-after": "7"}, "", 5),
        ({"Retry-After": "5"}, "", 5),
        ({}, "Please try again in 1m30s. Visit our page to learn more.", 90),
        ({}, "try again in 850ms", 0.85),
        ({}, "Please try again in 6m0s.", 360),
        ({}, "Please try again in 10m3.5s.", 603.5),
        ({}, "Please retry after 26 seconds.", 26),
        ({}, "Try again in 1 minute and 5 seconds", 65),
        ({}, "try again in 2 minutes, 1 second.", 121),
        ({}, "try again in 5 more", None),
        ({}, "try again in a minute", None),
        ({}, "try again in " + "9" * 500 + "s", None),
        ({}, "try again in 999999999h", 3600),
    ],
)
def test_who_is_believed_first(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert retry_after_s(headers, now=NOW, message=message) == seconds


def test_a_message_within_a_gateways_message_is_read() -> None:
    inner = r"{\"error\": {\"message\": \"Please try again in 12s.\", \"code\": \"rate_limit_exceeded\"}}"
    body = f'{{"error": {{"message": "litellm.RateLimitError: OpenAIException - {inner}", "code": "429"}}}}'
    error = error_of(429, httpx.Headers({"Retry-After": "1"}), body.encode())
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 12


HEADER_NAMES = st.sampled_from(
    [
        "retry-after", "retry-after-ms", "llm_provider-retry-after", "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "llm_provider-x-ratelimit-reset-tokens",
    ]
)  # fmt: skip
HOSTILE_VALUES = st.text() | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str)


@given(st.dictionaries(HEADER_NAMES, HOSTILE_VALUES), st.text())
def test_no_header_breaks_it(headers: dict[str, str], message: str) -> None:
    seconds = retry_after_s(headers, message=message)
    assert seconds is None or 0 <= seconds <= 3600
