"""OpenAI's key and model, by looking the model up: nothing is made and nothing is paid."""

import ssl
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import httpx

from wearon.doctor.clock import http_reading, judge_clock
from wearon.doctor.findings import Finding, Promise, fault, ok, warning
from wearon.net.tls import trusting
from wearon.tryon.generator import KeyRejected, QuotaExhausted, RateLimited, ServiceUnavailable
from wearon.tryon.openai_answers import error_of

OWN_HOST = "api.openai.com"

ALL_FAIL = "every generation fails and is given back"

REQUEST_S = 10.0
"""A look-up takes a fraction of a second."""


async def check_openai(
    key: str, base_url: str, model: str, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Finding, None]:
    """Whether the key is taken, and whether it may use the model."""
    if not key.isascii() or not key.isprintable() or " " in key:
        yield fault(
            "openai key",
            f"holds characters that no key has: {ALL_FAIL}",
            "copy OPENAI_API_KEY again",
            Promise.EVERY_TASK_ENDS,
        )
        return
    url = f"{base_url}/models/{model}"
    host = httpx.URL(url).host
    asked = datetime.now(UTC)
    try:
        async with httpx.AsyncClient(timeout=REQUEST_S, trust_env=False, verify=tls or trusting()) as client:
            answer = await client.get(url, headers={"Authorization": f"Bearer {key}"})
    except httpx.HTTPError as error:
        yield fault(
            "openai",
            f"{host} cannot be reached ({type(error).__name__}): {ALL_FAIL}",
            "see OPENAI_BASE_URL and the network between",
            Promise.EVERY_TASK_ENDS,
        )
        return
    yield judge_model(answer, host, model)
    yield judge_clock("openai clock", host, http_reading(asked, answer.headers))


def judge_model(answer: httpx.Response, host: str, model: str) -> Finding:
    """What the look-up says."""
    if answer.status_code == 200:
        return ok("openai", f"{host} takes the key, and {model} is there (whether money is left shows only in use)")
    error = error_of(answer.status_code, answer.headers, answer.content)
    if answer.status_code == 403:
        return warning(
            "openai",
            f"the key may not look models up ({error.reason}): whether it may make pictures cannot be told",
            f"give the key the right to read models, or see that {model} is allowed to its project",
        )
    if isinstance(error, KeyRejected):
        return fault(
            "openai key",
            f"is refused ({error.reason}): {ALL_FAIL}",
            "make a new key and put it into OPENAI_API_KEY",
            Promise.EVERY_TASK_ENDS,
        )
    if isinstance(error, QuotaExhausted):
        return fault("openai", f"no money is left ({error.reason})", "see the account", Promise.EVERY_TASK_ENDS)
    if isinstance(error, RateLimited | ServiceUnavailable):
        return warning("openai", f"{host} has no time ({error.reason})", "ask again; see status.openai.com")
    if answer.status_code == 404 and (host == OWN_HOST or "model_not_found" in error.reason):
        return fault(
            "openai model",
            f"{model} does not exist, or is not for this account: {ALL_FAIL}",
            "see OPENAI_MODEL, and the account's verification",
            Promise.EVERY_TASK_ENDS,
        )
    return warning(
        "openai model",
        f"{host} does not know {model} ({error.reason})",
        "see OPENAI_BASE_URL and OPENAI_MODEL; a gateway without /models cannot tell",
    )
