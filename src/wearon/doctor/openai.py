"""Checks of OpenAI's key and models, by looking the models up: nothing is made and nothing is paid."""

import ssl
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import httpx

from wearon.doctor.clock import http_reading, judge_clock
from wearon.doctor.findings import Finding, Promise, fault, ok, warning
from wearon.net.whole_answers import asking
from wearon.tryon.image_model import KeyRejected, ModelUnavailable, QuotaExhausted, RateLimited, ServiceUnavailable
from wearon.tryon.openai.answers import error_of
from wearon.tryon.openai.last_days import days_left, last_day, tell_last_day

OWN_HOST = "api.openai.com"

VERY_SOON_DAYS = 7
"""The limit of the alarm in `monitoring/alerts.yml`: an operator who is paged runs the doctor next."""

ALL_FAIL = "every generation fails and is refunded"

REQUEST_S = 10.0
"""A look-up takes a fraction of a second."""


async def check_openai(
    key: str, base_url: str, model: str, tls: ssl.SSLContext | None = None, fallbacks: Sequence[str] = ()
) -> AsyncGenerator[Finding, None]:
    """Check that the key is taken, that it may use the models, and that their last days are not near."""
    if not key.isascii() or not key.isprintable() or " " in key:
        yield fault(
            "openai key",
            f"holds characters that no key has: {ALL_FAIL}",
            "copy OPENAI_API_KEY again",
            Promise.EVERY_TASK_ENDS,
        )
        return
    host = httpx.URL(base_url).host
    headers = {"Authorization": f"Bearer {key}"}
    asked = datetime.now(UTC)
    try:
        async with asking(REQUEST_S, tls) as client:
            answer, *others = [
                await client.get(f"{base_url}/models/{quote(name, safe='/:@')}", headers=headers)
                for name in (model, *fallbacks)
            ]
    except httpx.HTTPError as error:
        yield fault(
            "openai",
            f"{host} cannot be reached ({type(error).__name__}): {ALL_FAIL}",
            "see OPENAI_BASE_URL and the network between",
            Promise.EVERY_TASK_ENDS,
        )
        return
    yield judge_model(
        answer, host, model, [name for name, other in zip(fallbacks, others, strict=True) if other.is_success]
    )
    for finding in judge_last_day(answer, model, "OPENAI_MODEL"):
        yield finding
    for name, other in zip(fallbacks, others, strict=True):
        for finding in judge_fallback(other, name):
            yield finding
    yield judge_clock("openai clock", host, http_reading(asked, answer.headers))


def judge_last_day(answer: httpx.Response, model: str, setting: str) -> Iterator[Finding]:
    """The finding about a last day, only when it is near."""
    day = last_day(model, answer.content)
    words = day and tell_last_day(model, day)
    if day is None or not words:
        return
    hint = f"name another model in {setting}"
    if setting == "OPENAI_MODEL" and days_left(day) <= VERY_SOON_DAYS:
        yield fault("openai model", words, hint, Promise.EVERY_TASK_ENDS)
    else:
        yield warning("openai model", words, hint)


def judge_fallback(answer: httpx.Response, model: str) -> Iterator[Finding]:
    """The findings about a fallback model, unless all is well."""
    if answer.status_code == 404 and isinstance(error_of(404, answer.headers, answer.content), ModelUnavailable):
        yield warning(
            "openai model",
            f"{model} does not exist, or is not for this account: nothing falls back on it",
            "take it out of OPENAI_FALLBACK_MODELS, or see the account's verification",
        )
    yield from judge_last_day(answer, model, "OPENAI_FALLBACK_MODELS")


def judge_model(answer: httpx.Response, host: str, model: str, others: Sequence[str] = ()) -> Finding:
    """The finding about the first model. `others` are the fallback models that are there."""
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
    if answer.status_code == 404 and (host == OWN_HOST or isinstance(error, ModelUnavailable)):
        if others:
            return warning(
                "openai model",
                f"{model} does not exist, or is not for this account: {others[0]} makes the pictures",
                "see OPENAI_MODEL, and the account's verification",
            )
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
