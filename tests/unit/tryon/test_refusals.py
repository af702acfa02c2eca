"""Who each refusal of Supabase is about, and what becomes of the job: statuses x codes x steps, with real bodies."""

import time

import httpx
import pytest

from wearon.platform.base import About, PlatformRefused, PlatformUnavailable
from wearon.platform.supabase_answers import Refusal, attempt, raise_for_answer
from wearon.queue.jobs import Attempt, Retry
from wearon.tryon.retry_policy import OUTAGE_PAUSE_S, Fail, RetryPolicy

POLICY = RetryPolicy(max_rate_limited=3, deadline_s=540.0)

STEPS = {"start": False, "photos": False, "upload": True, "sign": True, "complete": True}
"""Steps of a job, and whether its picture is paid for by then."""

HTML = "<html><head><title>Attention required</title></head></html>"


def postgrest(status: int, code: str, message: str) -> httpx.Response:
    """As PostgREST answers."""
    return httpx.Response(status, json={"code": code, "details": None, "hint": None, "message": message})


def storage(meant: int, error: str, code: str, message: str, status: int = 400) -> httpx.Response:
    """As Storage answers: 400, and what it means in the body."""
    return httpx.Response(status, json={"statusCode": str(meant), "error": error, "code": code, "message": message})


ABOUT_US = {
    "key rotated, gateway": httpx.Response(401, json={"message": "Invalid authentication credentials"}),
    "key unknown, gateway": httpx.Response(401, json={"message": "Invalid API key", "hint": "Double check your key."}),
    "clock skew": postgrest(401, "PGRST303", "JWT issued at future"),
    "token expired": postgrest(401, "PGRST303", "JWT expired"),
    "token of another secret": postgrest(401, "PGRST301", "No suitable key or wrong key type"),
    "project not paid": httpx.Response(402, json={"message": "Service for this project is restricted"}),
    "project not paid, page": httpx.Response(402, html=HTML),
    "right refused": postgrest(403, "42501", "permission denied for table generation_sessions"),
    "firewall's page": httpx.Response(403, html=HTML),
    "gateway knows no route": httpx.Response(404, json={"message": "no Route matched with those values"}),
    "gateway's page": httpx.Response(404, html=HTML),
    "table not in the cache": postgrest(404, "PGRST205", "Could not find the table 'public.x' in the schema cache"),
    "column not in the cache": postgrest(400, "PGRST204", "Could not find the 'x' column in the schema cache"),
    "function not in the cache": postgrest(404, "PGRST202", "Could not find the function public.x(p_a)"),
    "table is gone": postgrest(404, "42P01", "relation does not exist"),
    "method refused": httpx.Response(405, json={"message": "Method not allowed"}),
    "read-only": postgrest(405, "25006", "cannot execute UPDATE in a read-only transaction"),
    "in recovery": postgrest(400, "0A000", "cannot set transaction read-write mode during recovery"),
    "malformed for it": postgrest(400, "PGRST100", "unexpected 'x' expecting field name"),
    "schema not exposed": postgrest(406, "PGRST106", "The schema must be one of the following: api"),
    "a trigger's own words": postgrest(400, "P0001", "maintenance"),
    "nothing is told": httpx.Response(400),
    "key refused by Storage on upload": storage(403, "Unauthorized", "AccessDenied", "Invalid Compact JWS"),
    "row level security of Storage": storage(
        403, "Unauthorized", "AccessDenied", "new row violates row-level security"
    ),
    "key refused by Storage on info": storage(404, "Bucket not found", "NoSuchBucket", "Bucket not found"),
    "no bucket, older": httpx.Response(400, json={"statusCode": "404", "error": "Bucket not found", "message": "x"}),
    "upload exists": storage(409, "Duplicate", "KeyAlreadyExists", "The resource already exists"),
    "too large for the bucket": storage(413, "Payload too large", "EntityTooLarge", "The object exceeded the maximum"),
    "type refused by the bucket": storage(415, "invalid_mime_type", "InvalidMimeType", "mime type is not supported"),
    "proxy's limit": httpx.Response(413, html=HTML),
}
"""Refused, so it has not happened; and the next request of anybody would be refused as well."""

ABOUT_A_PICTURE = {
    "object gone": storage(404, "not_found", "NoSuchKey", "Object not found"),
    "object gone, older": httpx.Response(400, json={"statusCode": "404", "error": "not_found", "message": "x"}),
    "object gone, honest status": storage(404, "not_found", "NoSuchKey", "Object not found", 404),
}

ABOUT_THE_SESSION = {
    "no uuid": postgrest(400, "22P02", "invalid input syntax for type uuid"),
    "out of range": postgrest(400, "22003", "numeric field overflow"),
    "a check of the row": postgrest(400, "23514", "new row violates check constraint"),
    "not null": postgrest(400, "23502", "null value in column"),
    "a reference": postgrest(409, "23503", "violates foreign key constraint"),
    "a key": postgrest(409, "23505", "duplicate key value violates unique constraint"),
}

NO_ANSWER = {
    "redirect": httpx.Response(307, headers={"Location": "https://elsewhere.example"}),
    "gateway's page with 200": httpx.Response(200, html=HTML),
    "bad gateway": httpx.Response(502, html=HTML),
    "upstream gone": httpx.Response(503, json={"message": "name resolution failed"}),
    "shutting down": postgrest(503, "57P01", "terminating connection due to administrator command"),
    "starting up": postgrest(503, "57P03", "the database system is starting up"),
    "too many connections": postgrest(503, "53300", "too many connections"),
    "disk full": postgrest(503, "53100", "could not extend file"),
    "no schema cache": postgrest(503, "PGRST002", "Could not query the database for the schema cache"),
    "ambiguous function": postgrest(300, "PGRST203", "Could not choose the best candidate function"),
    "S3 trouble": storage(503, "SlowDown", "SlowDown", "Please reduce your request rate"),
    "Storage's database": storage(500, "DatabaseError", "DatabaseError", "Database connection error"),
    "locked": storage(423, "ResourceLocked", "ResourceLocked", "The resource is locked"),
    "too many requests": httpx.Response(429, html=HTML),
}
"""It may or may not have happened, and passes."""


async def error_of(answer: httpx.Response) -> PlatformUnavailable | Refusal:
    """What the platform raises for an answer."""
    transport = httpx.MockTransport(lambda _: answer)
    async with httpx.AsyncClient(transport=transport, event_hooks={"response": [raise_for_answer]}) as client:
        try:
            async with attempt("session to completed", 5):
                await client.patch("https://project.example/rest/v1/generation_sessions")
        except (PlatformUnavailable, Refusal) as error:
            return error
    raise AssertionError("it was taken for a success")


def at_age(age_s: float) -> Attempt:
    return Attempt(first_started_at=time.time() - age_s)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "answer",
    [*ABOUT_US.values(), *ABOUT_A_PICTURE.values(), *NO_ANSWER.values()],
    ids=[*ABOUT_US, *ABOUT_A_PICTURE, *NO_ANSWER],
)
async def test_what_is_about_us_or_the_gateway_fails_nobody_at_any_step(answer: httpx.Response, step: str) -> None:
    error = await error_of(answer)
    assert POLICY.decide(error, Attempt(first_started_at=0), paid=STEPS[step]) == Retry(OUTAGE_PAUSE_S)
    assert POLICY.decide(error, at_age(500), paid=STEPS[step]) == Retry(OUTAGE_PAUSE_S)
    beyond = POLICY.decide(error, at_age(600), paid=STEPS[step])
    assert isinstance(beyond, Retry if STEPS[step] else Fail)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("answer", ABOUT_THE_SESSION.values(), ids=list(ABOUT_THE_SESSION))
async def test_what_is_surely_about_the_session_is_final(answer: httpx.Response, step: str) -> None:
    error = await error_of(answer)
    assert isinstance(POLICY.decide(error, at_age(0), paid=STEPS[step]), Fail)


@pytest.mark.parametrize(
    ("answers", "about"),
    [(ABOUT_US, About.US), (ABOUT_A_PICTURE, About.PICTURE), (ABOUT_THE_SESSION, About.SESSION)],
    ids=["us", "picture", "session"],
)
async def test_each_refusal_is_about_exactly_one(answers: dict[str, httpx.Response], about: About) -> None:
    for name, answer in answers.items():
        error = await error_of(answer)
        assert isinstance(error, PlatformRefused), name
        assert error.about is about, name


async def test_no_answer_is_no_refusal() -> None:
    for name, answer in NO_ANSWER.items():
        assert isinstance(await error_of(answer), PlatformUnavailable), name


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 412, 413, 415, 416, 418, 431, 451]
)
@pytest.mark.parametrize("code", ["", "PGRST303", "PGRST205", "25006", "Duplicate", "something new"])
def test_a_status_or_code_that_nobody_has_seen_is_an_outage(status: int, code: str) -> None:
    error = Refusal(f"session to completed: {status} {code}", status, code)
    assert RetryPolicy(3, 540).decide(error, Attempt(first_started_at=0)) == Retry(OUTAGE_PAUSE_S)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clock skew", "Supabase refuses our key (401 PGRST303)"),
        ("key refused by Storage on upload", "Supabase refuses our key (403 AccessDenied)"),
        ("key refused by Storage on info", "Supabase shows us no bucket of pictures"),
        ("right refused", "Supabase gives us no right to do what we must (403 42501)"),
        ("read-only", "Supabase's database cannot be written (405 25006)"),
        ("in recovery", "Supabase's database cannot be written (400 0A000)"),
        ("table not in the cache", "its schema cache is stale (404 PGRST205)"),
        ("too large for the bucket", "Supabase's bucket takes no picture so large (413 EntityTooLarge)"),
        ("project not paid", "Supabase refuses what we ask (402)"),
    ],
)
async def test_an_operator_reads_what_is_refused(name: str, words: str) -> None:
    error = await error_of(ABOUT_US[name])
    assert isinstance(error, Refusal)
    assert words in error.words


def test_the_words_of_a_refusal_hold_nothing_that_a_server_wrote() -> None:
    assert Refusal("eyJhbGciOi secret", 401, "PGRST301").words == "Supabase refuses our key (401 PGRST301)"
    assert Refusal("x", 401, "no user anna@example.com").words == "Supabase refuses our key (401)"
