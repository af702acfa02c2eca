"""The map of what Supabase can answer, walked whole: each answer is exactly one error, and no reason tells secrets."""

import asyncio
import json

import httpx
import pytest

from wearon.platform.base import PlatformError, PlatformRefused, PlatformUnavailable
from wearon.platform.supabase_answers import REASON_CHARACTERS, Refusal, attempt, raise_for_answer

JSON = {"Content-Type": "application/json"}
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl"


def postgrest_error(code: str, message: str = "x", **others: str) -> bytes:
    """As PostgREST writes it."""
    return json.dumps({"code": code, "message": message, "details": None, "hint": None, **others}).encode()


def storage_error(status: str, error: str, code: str | None = None) -> bytes:
    """As Storage writes it; `code` came later."""
    return json.dumps({"statusCode": status, "error": error, "message": "x", "code": code or error}).encode()


async def error_of(answer: httpx.Response | Exception, path: str = "/rest/v1/x") -> PlatformError | None:
    """What an attempt makes of an answer; None is success."""

    def serve(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    hooks = {"response": [raise_for_answer]}
    async with httpx.AsyncClient(transport=httpx.MockTransport(serve), event_hooks=hooks) as client:
        try:
            async with attempt("doing it", 5):
                await client.get(f"https://project.example{path}")
        except PlatformError as error:
            return error
    return None


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/vnd.pgrst.object+json"])
async def test_json_is_success(media_type: str) -> None:
    assert await error_of(httpx.Response(200, content=b"[]", headers={"Content-Type": media_type})) is None


async def test_nothing_is_success_only_from_a_function() -> None:
    assert await error_of(httpx.Response(204), "/rest/v1/rpc/refund_credits") is None
    assert isinstance(await error_of(httpx.Response(200)), PlatformUnavailable)
    assert isinstance(await error_of(httpx.Response(204)), PlatformUnavailable)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>Checking your browser</html>"),
        httpx.Response(200, text="OK"),
        httpx.Response(301, headers={"Location": "https://elsewhere.example"}),
        httpx.Response(408),
        httpx.Response(423, content=storage_error("423", "ResourceLocked")),
        httpx.Response(425),
        httpx.Response(429, content=b'{"message": "too many requests"}'),
        httpx.Response(500, content=postgrest_error("57014", "canceling statement due to statement timeout")),
        httpx.Response(500, content=postgrest_error("40001", "could not serialize access")),
        httpx.Response(502, html="<html>Bad gateway</html>"),
        httpx.Response(503, content=postgrest_error("PGRST001", "no connection to the database")),
        httpx.Response(504, content=postgrest_error("PGRST003", "timed out acquiring connection")),
        httpx.Response(520),
        httpx.Response(540),
        httpx.Response(544, content=storage_error("544", "DatabaseTimeout")),
        httpx.Response(400, content=storage_error("503", "DatabaseConnectionLimit")),
        httpx.Response(400, content=storage_error("429", "too_many_connections", "SlowDown")),
        httpx.Response(400, content=storage_error("409", "TransactionError")),
        httpx.Response(400, content=storage_error("423", "ResourceLocked")),
        httpx.Response(500, content=storage_error("404", "not_found")),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.content[:40]!r}",
)
async def test_a_maybe_is_unavailable(answer: httpx.Response) -> None:
    assert isinstance(await error_of(answer), PlatformUnavailable)


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (httpx.Response(400, content=postgrest_error("22P02")), 400, "22P02"),
        (httpx.Response(400, content=postgrest_error("P0001")), 400, "P0001"),
        (httpx.Response(401, content=b'{"message": "Invalid API key"}'), 401, ""),
        (httpx.Response(401, content=postgrest_error("PGRST301")), 401, "PGRST301"),
        (httpx.Response(403, html="<html>Forbidden</html>"), 403, ""),
        (httpx.Response(404, content=postgrest_error("PGRST202")), 404, "PGRST202"),
        (httpx.Response(404, content=b'["a list"]'), 404, ""),
        (httpx.Response(409, content=postgrest_error("23505")), 409, "23505"),
        (httpx.Response(409, content=postgrest_error("23503")), 409, "23503"),
        (httpx.Response(400, content=storage_error("404", "not_found", "NoSuchKey")), 404, "NoSuchKey"),
        (httpx.Response(400, content=b'{"statusCode": "404", "error": "not_found"}'), 404, "not_found"),
        (httpx.Response(404, content=b'{"statusCode": 404, "error": "not_found"}'), 404, "not_found"),
        (httpx.Response(400, content=storage_error("413", "Payload too large")), 413, "Payload too large"),
        (httpx.Response(400, content=b'{"statusCode": "oops", "error": "x"}'), 400, "x"),
    ],
)
async def test_a_definite_no_is_refused_with_its_status_and_code(
    answer: httpx.Response, status: int, code: str
) -> None:
    error = await error_of(answer)

    assert isinstance(error, Refusal)
    assert isinstance(error, PlatformRefused)
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.ReadError("x"),
        httpx.ReadTimeout("x"),
        httpx.WriteError("x"),
        httpx.PoolTimeout("x"),
        httpx.RemoteProtocolError("Server disconnected"),
        httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}\\n'"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_no_answer_is_unavailable_and_only_its_kind_is_told(error: httpx.HTTPError) -> None:
    found = await error_of(error)

    assert isinstance(found, PlatformUnavailable)
    assert str(found) == f"doing it: {type(error).__name__}"


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("Key"), TypeError("x")])
async def test_a_shape_that_the_libraries_trip_over_is_unavailable(error: Exception) -> None:
    with pytest.raises(PlatformUnavailable, match="doing it: unexpected answer"):
        async with attempt("doing it", 5):
            raise error


async def test_an_attempt_that_does_not_end_is_given_up() -> None:
    with pytest.raises(PlatformUnavailable, match=r"doing it: no answer within 0\.01 s"):
        async with attempt("doing it", 0.01):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    "secret",
    [
        "anna@shopper.example",
        "anna.o'neil+shop@mail.shopper.example",
        "ANNA@LOCALHOST",
        TOKEN,
        "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",
        "https://project.example/object/sign/x.jpg?token=abcdef&download=1",
    ],
)
@pytest.mark.parametrize("sentence", ["{}", "no shopper {} here", "(email)=({})", "key '{}', sorry", '"{}"'])
async def test_a_reason_tells_no_secret(secret: str, sentence: str) -> None:
    body = postgrest_error("P0001", sentence.format(secret))

    error = await error_of(httpx.Response(400, content=body, headers=JSON))

    assert isinstance(error, Refusal)
    private = secret.partition("?")[2] or secret.rpartition("@")[2]
    assert private not in str(error)
    assert secret.partition("@")[0] not in str(error) or "?" in secret
    assert error.__suppress_context__


async def test_a_reason_leaves_out_what_quotes_rows() -> None:
    body = postgrest_error("23514", "violates check", details="Failing row contains (anna, 1)", hint="anna?")

    error = await error_of(httpx.Response(400, content=body))

    assert str(error) == "doing it: 400 23514: violates check"


async def test_a_reason_is_one_short_line() -> None:
    error = await error_of(httpx.Response(500, content=postgrest_error("XX000", "long\n  story " * 1000)))

    assert "\n" not in str(error)
    assert len(str(error)) <= len("doing it: ") + REASON_CHARACTERS


@pytest.mark.parametrize("before", range(2300, 2420, 7))
async def test_a_long_reason_tells_no_half_of_a_secret(before: int) -> None:
    # All but the secret's own word is taken out, so that the place where the text is cut would come into sight.
    words = "a@b " * (before // 4)

    error = await error_of(httpx.Response(500, content=postgrest_error("XX000", f"{words}sb_secret_N7UND0Ugj {words}")))

    assert "sb_" not in str(error).replace("...", "")
    assert "N7UND" not in str(error)


async def test_a_word_of_megabytes_is_not_told() -> None:
    error = await error_of(httpx.Response(500, content=postgrest_error("XX000", "a" * 5_000_000)))

    assert str(error) == "doing it: 500 XX000: ..."
