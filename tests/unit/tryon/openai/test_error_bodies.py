"""What an error's body says, in OpenAI's form and as gateways wrap it."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.tryon.image_model import (
    KeyRejected,
    Moderated,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
)
from wearon.tryon.openai.answers import error_of
from wearon.tryon.openai.error_bodies import read_error_body

REJECTED = "Your request was rejected by the safety system. safety_violations=[sexual]."
CODES = ["moderation_blocked", "content_policy_violation", "content_safety_violation"]


def openai(code: str | None, message: str = REJECTED, kind: str = "image_generation_user_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def litellm(status: int, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """The error that LiteLLM's proxy makes (seen with 1.104.3)."""
    told = f"{message}\n\nLiteLLM: model group 'gpt-image-2' failed with the error above. No fallback was attempted."
    return {"error": {"message": told, "type": kind, "param": None, "code": str(status)}}


def wrapped(status: int, body: dict[str, Any], exception: str = "BadRequestError") -> dict[str, Any]:
    return litellm(status, f"litellm.{exception}: OpenAIException - {json.dumps(body)}")


WRAPPINGS = [
    ("openai", lambda code: openai(code)),
    ("as type", lambda code: openai(None, kind=code)),
    ("litellm", lambda code: wrapped(400, openai(code))),
    ("litellm twice", lambda code: wrapped(400, wrapped(400, openai(code)))),
    ("litellm, code in the text", lambda code: litellm(400, f"litellm.BadRequestError: OpenAIException {code}")),
    ("python's spelling", lambda code: {"error": f"Error code: 400 - {openai(code)!r}"}),
    ("python's spelling in litellm", lambda code: litellm(400, f"litellm.APIError: Error code: 400 - {openai(code)}")),
    ("an assignment", lambda code: {"detail": f"upstream said no (status=400, code={code})"}),
    ("detail is text", lambda code: {"detail": f"{code}: {REJECTED}"}),
    ("detail is an error", lambda code: {"detail": openai(code)}),
    ("detail is a list", lambda code: {"detail": [{"type": code, "msg": REJECTED}]}),
    ("error is text", lambda code: {"error": f"Request refused - {code}"}),
    ("no error around it", lambda code: {"code": code, "message": REJECTED}),
    ("vague code", lambda code: openai("bad_request", f"OpenAI refused: {code}")),
    ("text", lambda code: f"Rejected ({code})"),
    ("a json text", lambda code: json.dumps(openai(code))),
]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("wrap", [case[1] for case in WRAPPINGS], ids=[case[0] for case in WRAPPINGS])
@pytest.mark.parametrize("status", [400, 403, 422, 500, 503])
def test_flagged_is_flagged_however_it_is_wrapped(wrap: Any, code: str, status: int) -> None:
    body = wrap(code)
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert type(error_of(status, {}, data)) is Moderated


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "content_filter", "message": "The response was filtered"}},
        {"error": {"code": "400", "inner_error": {"code": "ResponsibleAIPolicyViolation"}, "message": "no"}},
        wrapped(400, openai(None), "ContentPolicyViolationError"),
        litellm(400, f"litellm.ContentPolicyViolationError: AzureException - {REJECTED}"),
        {"error": {"message": "no", "type": "ContentPolicyViolationError", "param": None, "code": "400"}},
    ],
)
def test_azures_and_litellms_own_names_are_known(body: Any) -> None:
    assert type(error_of(400, {}, json.dumps(body).encode())) is Moderated


@pytest.mark.parametrize(
    "body",
    [
        openai("invalid_value", "Invalid value for 'prompt': 'a shirt that says moderation_blocked'"),
        openai("unknown_parameter", "Unknown parameter: moderation_blocked"),
        openai(None, "Invalid value: 'moderation_blocked'. Supported values of 'moderation' are 'low' and 'auto'."),
        openai(None, "The prompt says content_policy_violation, which is too long."),
        openai("invalid_value", "Invalid prompt: code=moderation_blocked"),
        wrapped(400, openai("invalid_value", "a prompt of moderation_blocked and {braces}")),
        {"detail": [{"loc": ["body", "moderation"], "msg": "Field required", "type": "missing"}]},
        openai(None, "Your prompt was not flagged."),
        openai(None, "Unknown parameter: 'moderation'."),
        ["moderation_blocked and more"],
    ],
)
def test_an_innocent_message_stays_innocent(body: Any) -> None:
    assert type(error_of(400, {}, json.dumps(body).encode())) is RequestRefused


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, wrapped(429, openai("insufficient_quota", "You exceeded your current quota")), QuotaExhausted),
        (400, wrapped(400, openai("billing_hard_limit_reached", "Billing hard limit")), QuotaExhausted),
        (429, wrapped(429, openai("rate_limit_exceeded", "Slow down")), RateLimited),
        (401, wrapped(401, openai("invalid_api_key", "Incorrect API key")), KeyRejected),
        (500, wrapped(500, openai("invalid_api_key", "Incorrect API key")), KeyRejected),
        (400, {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}}, KeyRejected),
        (400, {"error": {"message": "Over budget", "type": "budget_exceeded", "code": "400"}}, QuotaExhausted),
        (403, wrapped(403, openai(None, "Your organization must be verified")), KeyRejected),
    ],
)
def test_other_refusals_are_read_through_a_gateway_too(status: int, body: Any, error: type[Exception]) -> None:
    assert type(error_of(status, {}, json.dumps(body).encode())) is error


@pytest.mark.parametrize(
    ("message", "may_be_paid"),
    [
        ("litellm.InternalServerError: InternalServerError: OpenAIException - Server disconnected", True),
        ("litellm.InternalServerError: OpenAIException - Connection reset by peer", True),
        ("litellm.APIError: APIError: OpenAIException - <html>this is not JSON</html>", True),
        ("litellm.InternalServerError: OpenAIException - The request timed out", True),
        ("litellm.InternalServerError: OpenAIException - All connection attempts failed", False),
        ("litellm.InternalServerError: OpenAIException - Connection refused", False),
        ("The server had an error while processing your request", False),
    ],
)
def test_what_a_gateway_has_lost_may_be_paid(message: str, may_be_paid: bool) -> None:
    error = error_of(500, {}, json.dumps(litellm(500, message, "internal_server_error")).encode())
    assert isinstance(error, ServiceUnavailable)
    assert error.may_be_paid is may_be_paid


def test_a_reason_names_the_innermost_code_and_quotes_nothing() -> None:
    body = json.dumps(wrapped(400, openai("moderation_blocked", "sk-secret 'a prompt'"))).encode()
    error = error_of(400, {"llm_provider-x-request-id": "req_1"}, body)
    assert error.reason == (
        "status 400, code moderation_blocked, type image_generation_user_error, openai request req_1"
    )


HOSTILE = [
    b"{" * 65_536,
    b"[" * 65_536,
    b'{"error":' * 8_000,
    json.dumps({"error": {"message": "{" * 60_000}}).encode(),
    json.dumps({"error": {"message": "code: " * 10_000}}).encode(),
    json.dumps({"error": {"message": "litellm." * 8_000}}).encode(),
    json.dumps({"error": {"message": "try again in " + "1m" * 30_000}}).encode(),
    json.dumps([[{"detail": ["x"] * 1000}] * 1000]).encode(),
    b'{"error": {"code": ' + b"9" * 60_000 + b"}}",
    b"\xff\xfe\x00" * 20_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_reading_takes_no_longer_than_the_body_is_long(body: bytes) -> None:
    began = time.process_time()
    read_error_body(body)
    error_of(429, {}, body)
    # Quadratic time over 64 KB would be much longer: this is no measure of speed.
    assert time.process_time() - began < 5


@given(st.binary(max_size=500), st.integers(min_value=300, max_value=599))
def test_no_body_is_too_much(body: bytes, status: int) -> None:
    error_of(status, {}, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from(CODES),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "msg", "errors"]), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_json_is_too_much(value: Any) -> None:
    error_of(400, {}, json.dumps(value).encode())
