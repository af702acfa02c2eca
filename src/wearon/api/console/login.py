"""Login with `API_TOKEN`: what the cookie holds, who may try, and the two routes.

The cookie is not the token: it is an expiry, a random part, and an HMAC over both keyed with the token. Every process
that has the token knows it for genuine, nothing is stored, and a new token ends all logins.
"""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

log = structlog.get_logger()

COOKIE = "wearon_console"
COOKIE_PATH = "/console"

LOGIN_SECONDS = 12 * 3600
"""A working day."""

TRIES_EACH = 5
TRIES_ALL = 60
WINDOW_S = 60.0
"""Wrong tokens within a minute from one address, and from all: the second bounds what we remember, too. Behind a proxy
everybody has its address; the bearer token goes on working then."""


class Doorkeeper:
    """Knows the token, makes and checks cookies, counts wrong tries."""

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"wearon console login", hashlib.sha256)
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def fits(self, token: bytes) -> bool:
        """Whether it is the token."""
        return hmac.compare_digest(token, self._token)

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
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_S:
            self._wrong.popleft()
        theirs = [at for at, who in self._wrong if who == address]
        if len(theirs) >= TRIES_EACH:
            return max(1, round(theirs[-TRIES_EACH] + WINDOW_S - now))
        if len(self._wrong) >= TRIES_ALL:
            return max(1, round(self._wrong[0][0] + WINDOW_S - now))
        return 0

    def note_wrong_try(self, address: str) -> None:
        """Count it."""
        self._wrong.append((self._clock(), address))

    def _sign(self, claim: str) -> str:
        return hmac.new(self._key, claim.encode(), hashlib.sha256).hexdigest()


def cookie_of(headers: Headers, name: str) -> str:
    """A cookie's value; empty when there is none, or the header cannot be read."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


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
    address = request.client.host if request.client else ""
    wait_s = doorkeeper.seconds_to_wait(address)
    if wait_s:
        raise HTTPException(429, f"Too many wrong tokens: try again in {wait_s} s", {"Retry-After": str(wait_s)})
    if not doorkeeper.fits(form.token.encode(errors="replace")):
        doorkeeper.note_wrong_try(address)
        log.warning("console login refused", client=address)
        raise HTTPException(401, "That is not the token")
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


def _is_https(request: Request) -> bool:
    """A made-up header only keeps the caller's own cookie off plain http, so the proxy need not be known."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or forwarded == "https"
