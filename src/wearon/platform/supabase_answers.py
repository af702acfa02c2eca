"""What an answer of Supabase, or its absence, means to the worker: every failure becomes one of the platform's errors.

The libraries above httpx lose the HTTP status of most errors, so answers are judged below them, by
`raise_for_answer` as a response hook of the HTTP client; `attempt` turns everything else that can go wrong on the
way into an error of ours.

    AnsweredNo              a hook's finding: not 2xx, or 2xx without JSON; never leaves `attempt`
    PlatformUnavailable     network, time-out, 5xx, 408, 423, 425, 429, passing conflicts, 3xx, garbage
    PlatformRefused
    └── Refusal             any other 4xx, with its status and code; `about` says who it is about:
        ├── SESSION         data and integrity errors of PostgreSQL (classes 22 and 23): this row cannot hold that
        ├── PICTURE         Storage's not_found and NoSuchKey: that object is not there
        └── US              all else. Key: 401, PGRST301, PGRST303, Storage's AccessDenied. Money: 402. Rights: 403,
                            42501. Schema or bucket: PGRST2xx, NoSuchBucket. Database: 25006 and 0A000 (read-only, in
                            recovery). Gateway: HTML, 405. Bucket's limits: 409, 413, 415. All that is unknown

Only what is surely about one session may fail it: whatever else it was, it is an outage, and those pass.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from wearon.dependencies import RefusalKind
from wearon.net.whole_answers import AnswerTooLarge
from wearon.platform.base import About, PlatformRefused, PlatformUnavailable

TRY_AGAIN_STATUSES = frozenset({408, 423, 425, 429})
"""4xx that say "not now": time-out, locked (Storage, two uploads of one path), too early, too many requests."""

TRY_AGAIN_CODES = frozenset({"TransactionError", "ResourceLocked"})
"""Storage's names for a lost race, which it answers as 409 or 423."""

MISSING_OBJECT_CODES = frozenset({"not_found", "NoSuchKey"})
"""Storage's old and new name for a missing object. A missing bucket is a 404 too, and about us."""

MISSING_BUCKET_CODES = frozenset({"NoSuchBucket", "Bucket not found"})

ABOUT_ONE_ROW = re.compile(r"2[23][0-9A-Z]{3}")
"""SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation). All ids that we send are uuids, so what
is left are a row's values and constraints."""

A_CODE = re.compile(r"[\w ]{0,40}", re.ASCII)
"""A code that may be shown: a server can write anything there."""

READ_ONLY_CODES = frozenset({"25006", "0A000"})
"""SQLSTATEs of a statement that would write, on a database that is a standby or in recovery."""

REASON_CHARACTERS = 300
"""Enough for PostgREST's longest hint-free message; a page of HTML does not help in a log."""

_READ_CHARACTERS = 8 * REASON_CHARACTERS
"""How much of a message is looked through: a proxy may write megabytes."""

_E_MAIL = re.compile(r"""[^\s<>"'=(),;:@]++(@[^\s<>"'=(),;]++)?""")
"""Each word whole, with or without the rest of an address: a word is looked through once, however long it is."""

_PRIVATE = re.compile(
    r"""
      eyJ[\w-]+(?:\.[\w-]+)*              # JSON web tokens: service keys and the tokens of signed URLs
    | \bsb_(?:secret|publishable)_[\w-]+  # the newer kind of service keys
    | (?<=\?)\S+                          # query strings
    """,
    re.VERBOSE,
)

_A_STATUS = re.compile(r"[45]\d\d")


class Refusal(PlatformRefused):
    """A definite no, with the HTTP status that Supabase meant and its code (such as 23505 or NoSuchKey)."""

    def __init__(self, reason: str, status: int, code: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code

    @property
    def about(self) -> About:
        """What the refusal is about: us, or one session."""
        if self.code in MISSING_OBJECT_CODES:
            return About.PICTURE
        return About.SESSION if ABOUT_ONE_ROW.fullmatch(self.code) else About.US

    @property
    def is_about_the_key(self) -> bool:
        """Whether nothing at all is granted to it: then anything that is granted shows that it is over."""
        return self.status == 401 or self.code == "AccessDenied"

    @property
    def kind(self) -> RefusalKind:
        """The kind of incident that the refusal belongs to."""
        if self.is_about_the_key:
            return RefusalKind.KEY_REFUSED
        return RefusalKind.BUCKET_MISSING if self.code in MISSING_BUCKET_CODES else RefusalKind.REFUSED

    @property
    def words(self) -> str:
        """What an operator reads in `/health`: what is refused, and by which status and code."""
        told = f"{self.status} {self.code}".strip() if A_CODE.fullmatch(self.code) else str(self.status)
        if self.is_about_the_key:
            return f"Supabase refuses our key ({told})"
        if self.code in MISSING_BUCKET_CODES:
            return f"Supabase shows us no bucket of pictures: it is missing, or our key is refused ({told})"
        if self.code in READ_ONLY_CODES:
            return f"Supabase's database cannot be written ({told})"
        if self.code.startswith(("PGRST2", "42883", "42P01")):
            return f"Supabase lacks a table, column or function that we need, or its schema cache is stale ({told})"
        if self.status == 403:
            return f"Supabase gives us no right to do what we must ({told})"
        if self.status == 413:
            return f"Supabase's bucket takes no picture so large ({told})"
        return f"Supabase refuses what we ask ({told})"


class AnsweredNo(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}" if code else f"{status}: {message}")
        self.status = status
        self.code = code


async def raise_for_answer(response: httpx.Response) -> None:
    """httpx response hook: pass 2xx answers in JSON, raise AnsweredNo for all others."""
    await response.aread()
    if response.is_success:
        if response.content and "json" not in response.headers.get("content-type", ""):
            raise AnsweredNo(response.status_code, "", "not JSON")  # a proxy's page, whatever its status
        if not response.content and "/rpc/" not in response.request.url.path:
            # The library takes nothing for "no rows"; only a function without a result really answers so.
            raise AnsweredNo(response.status_code, "", "empty")
        return
    body = _json_object(response)
    # Storage says 400 to nearly everything and writes the status that it means into the body.
    meant = str(body.get("statusCode", ""))
    status = int(meant) if _A_STATUS.fullmatch(meant) and response.is_client_error else response.status_code
    raise AnsweredNo(status, str(body.get("code") or body.get("error") or ""), _message(body, response))


@asynccontextmanager
async def attempt(action: str, seconds: float) -> AsyncIterator[None]:
    """One attempt at `action`, within `seconds` in all (httpx itself only limits the time between two bytes).

    Raises PlatformUnavailable or Refusal and nothing else; their reasons carry no e-mail, token or query, and
    their causes are cut off because those do.
    """
    from postgrest.exceptions import APIError  # a slow import that local mode does without
    from storage3.utils import StorageException

    try:
        async with asyncio.timeout(seconds):
            yield
    except AnsweredNo as answer:
        reason = f"{action}: {_presentable(str(answer))}"
        if _may_pass(answer):
            raise PlatformUnavailable(reason) from None
        raise Refusal(reason, answer.status, answer.code) from None
    except TimeoutError:
        raise PlatformUnavailable(f"{action}: no answer within {seconds:g} s") from None
    except AnswerTooLarge as error:
        raise PlatformUnavailable(f"{action}: {error}") from None
    except httpx.HTTPError as error:
        # Only the kind: a protocol error quotes the header that it dislikes, and that may be the key.
        raise PlatformUnavailable(f"{action}: {type(error).__name__}") from None
    except (APIError, StorageException, ValueError, LookupError, TypeError) as error:
        # What the libraries raise when a 2xx answer does not have the shape that they expect.
        raise PlatformUnavailable(f"{action}: unexpected answer ({type(error).__name__})") from None


def _may_pass(answer: AnsweredNo) -> bool:
    return not 400 <= answer.status < 500 or answer.status in TRY_AGAIN_STATUSES or answer.code in TRY_AGAIN_CODES


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _message(body: dict[str, Any], response: httpx.Response) -> str:
    # `details` and `hint` are left out: PostgreSQL quotes whole rows there.
    return str(body.get("message") or response.reason_phrase)


def _presentable(text: str) -> str:
    words = text[:_READ_CHARACTERS].split()
    if len(text) > _READ_CHARACTERS:
        words[-1:] = ["..."]  # where it was cut may be the middle of a key
    public = _E_MAIL.sub(lambda word: "..." if word[1] else word[0], " ".join(words))
    return _PRIVATE.sub("...", public)[:REASON_CHARACTERS]
