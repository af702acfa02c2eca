"""Login with `API_TOKEN`: what the cookie holds, who may try, and the two routes.

The cookie is not the token: it is an expiry, a random part, and an HMAC over both keyed with the token. Every process
that has the token knows it for genuine, nothing is stored, and a new token ends all logins.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from wearon.api.guesses import Guesses
from wearon.api.token import TOO_MANY, address_of

log = structlog.get_logger()

COOKIE = "wearon_console"
COOKIE_PATH = "/console"

LOGIN_SECONDS = 12 * 3600
"""A working day."""

LONGEST_COOKIE = 200
"""Ours has 108 characters."""


class Doorkeeper:
    """Knows the token, makes and checks cookies, counts wrong tries."""

    def __init__(self, token: str, clock: Callable[[], float] = time.time, guesses: Guesses | None = None) -> None:
        """`clock` gives seconds since 1970; `guesses` counts those of bearer tokens, too."""
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"wearon console login", hashlib.sha256)
        self._clock = clock
        self.guesses = guesses or Guesses(clock)

    def fits(self, token: bytes) -> bool:
        """Whether it is the token; the time says nothing about its length or content."""
        return hmac.compare_digest(
            hmac.digest(self._key, token, "sha256"), hmac.digest(self._key, self._token, "sha256")
        )

    def issue(self) -> str:
        """A cookie's value."""
        claim = f"{int(self._clock()) + LOGIN_SECONDS}.{secrets.token_hex(16)}"
        return f"{claim}.{self._sign(claim)}"

    def knows(self, cookie: str) -> bool:
        """Whether we issued it, and it has not expired."""
        claim, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(claim).encode(), signature.encode()):
            return False
        return int(claim.partition(".")[0]) > self._clock()

    def seconds_to_wait(self, address: str) -> int:
        """How long that address must wait before it may try again; 0: not at all."""
        return self.guesses.wait_s(address)

    def note_wrong_try(self, address: str) -> None:
        """Count it."""
        self.guesses.note_wrong(address)

    def _sign(self, claim: str) -> str:
        return hmac.new(self._key, claim.encode(), hashlib.sha256).hexdigest()


def cookie_of(headers: Headers, name: str) -> str:
    """A cookie's value; empty when there is none.

    Ours has nothing to unquote. `http.cookies` would parse all the others, too, and on Pythons before 3.11.10 and
    3.12.6 a few kilobytes of backslashes keep it busy for seconds.
    """
    for pair in headers.get("cookie", "").split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name and len(value) <= LONGEST_COOKIE:
            return value
    return ""


router = APIRouter()


class Login(BaseModel):
    """The form."""

    token: str = Field(min_length=1, max_length=1024)


@router.post("/login", status_code=204)
async def login(form: Login, request: Request) -> Response:
    """Set the cookie."""
    doorkeeper: Doorkeeper | None = request.app.state.console.doorkeeper
    answer = Response(status_code=204)
    if doorkeeper is None:
        return answer
    address = address_of(request.scope)
    # Others' guesses do not keep the right token out: what all together have left only makes a wrong one a 429.
    if doorkeeper.guesses.own_wait_s(address):
        raise _too_many(request, doorkeeper.seconds_to_wait(address))
    if not doorkeeper.fits(form.token.encode(errors="replace")):
        wait_s = doorkeeper.seconds_to_wait(address)
        doorkeeper.note_wrong_try(address)
        if wait_s:
            raise _too_many(request, wait_s)
        _count(request, "refused")
        log.warning("console login refused", client=address)
        raise HTTPException(401, "That is not the token")
    doorkeeper.guesses.note_right(address)
    log.info("console login", client=address)
    answer.set_cookie(
        COOKIE,
        doorkeeper.issue(),
        max_age=LOGIN_SECONDS,
        path=COOKIE_PATH,
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout", status_code=204)
async def logout() -> Response:
    """Take the cookie back."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True, samesite="strict")
    return answer


def _too_many(request: Request, wait_s: int) -> HTTPException:
    _count(request, "limited")
    return HTTPException(429, TOO_MANY.format(wait_s), {"Retry-After": str(wait_s), "Connection": "close"})


def _count(request: Request, answer: str) -> None:
    request.app.state.parts.metrics.wrong_tokens.labels("login", answer).inc()


def _is_https(request: Request) -> bool:
    """A made-up header only keeps the caller's own cookie off plain http, so the proxy need not be known."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or forwarded == "https"
