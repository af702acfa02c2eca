"""Login with the operator's or the viewer's token: the cookie, the limits for wrong tokens, and the two routes.

The cookie holds an expiry, a random part, and an HMAC over both whose key derives from the token. Every process with
the token can check it and knows its role, nothing is stored, and a new token ends all logins with the old one.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers

from wearon.api.console.login_entries import LoginEntries
from wearon.api.guesses import Guesses
from wearon.api.roles import Door, Role
from wearon.api.token import TOO_MANY, Tokens, address_of

log = structlog.get_logger()

COOKIE = "wearon_console"
COOKIE_PATH = "/console"

LOGIN_SECONDS = 12 * 3600
"""A working day."""

LONGEST_COOKIE = 200
"""Ours has 108 characters."""


class Doorkeeper:
    """Checks the token at the login, and makes and checks cookies."""

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._tokens = tokens
        self._keys = {
            role: hmac.digest(tokens.access.tokens[role].encode(), b"wearon console login", hashlib.sha256)
            for role in tokens.access.holders(Door.CONSOLE)
        }
        self._clock = clock

    @property
    def guesses(self) -> Guesses:
        """Wrong tokens, which were typed here or brought as bearer tokens."""
        return self._tokens.guesses

    def role_of_token(self, token: bytes) -> Role | None:
        """The role that this token has in the console; None: it has none."""
        role = self._tokens.role_of(token)
        return role if role in self._keys else None

    def issue(self, role: Role) -> str:
        """A new cookie's value."""
        claim = f"{int(self._clock()) + LOGIN_SECONDS}.{secrets.token_hex(16)}"
        return f"{claim}.{_sign(self._keys[role], claim)}"

    def role_of(self, cookie: str) -> Role | None:
        """The role that logged in with this cookie; None: it is not one of ours, or has expired."""
        claim, _, signature = cookie.rpartition(".")
        given = signature.encode()
        signers = [role for role, key in self._keys.items() if hmac.compare_digest(_sign(key, claim).encode(), given)]
        return signers[0] if signers and int(claim.partition(".")[0]) > self._clock() else None


def _sign(key: bytes, claim: str) -> str:
    return hmac.new(key, claim.encode(), hashlib.sha256).hexdigest()


def cookie_of(headers: Headers, name: str) -> str:
    """The value of that cookie; empty when there is none.

    Ours needs no unquoting. `http.cookies` would parse all other cookies as well, and on Pythons before 3.11.10 and
    3.12.6 a few kilobytes of backslashes keep it busy for seconds.
    """
    for pair in headers.get("cookie", "").split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name and len(value) <= LONGEST_COOKIE:
            return value
    return ""


async def _doorkeeper(request: Request) -> Doorkeeper | None:
    doorkeeper: Doorkeeper | None = request.app.state.doorkeeper
    return doorkeeper


TheDoorkeeper = Annotated[Doorkeeper | None, Depends(_doorkeeper)]
"""None: local mode without a token, open on loopback."""


async def _login_entries(request: Request) -> LoginEntries:
    entries: LoginEntries = request.app.state.login_entries
    return entries


TheLoginEntries = Annotated[LoginEntries, Depends(_login_entries)]

router = APIRouter()


class Login(BaseModel):
    """The login form."""

    token: str = Field(min_length=1, max_length=1024)


@router.post("/login", status_code=204)
async def login(form: Login, request: Request, doorkeeper: TheDoorkeeper, entries: TheLoginEntries) -> Response:
    """Set the cookie, if the token is right."""
    answer = Response(status_code=204)
    if doorkeeper is None:
        return answer
    address = address_of(request.scope)
    # Guesses of other clients never lock out the right token: the limit for all only turns a wrong one into a 429.
    guesses = doorkeeper.guesses
    if guesses.own_wait_s(address):
        raise _too_many(request, guesses.wait_s(address))
    role = doorkeeper.role_of_token(form.token.encode(errors="replace"))
    if role is None:
        wait_s = guesses.wait_s(address)
        guesses.note_wrong(address)
        if wait_s:
            raise _too_many(request, wait_s)
        _count(request, "refused")
        log.warning("console login refused", client=address)
        await entries.refused(address)
        raise HTTPException(401, "That is no token for the console")
    guesses.note_right(address)
    log.info("console login", client=address, role=role.value)
    await entries.granted(address, role.value)
    answer.set_cookie(
        COOKIE,
        doorkeeper.issue(role),
        max_age=LOGIN_SECONDS,
        path=COOKIE_PATH,
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout", status_code=204)
async def logout() -> Response:
    """Delete the cookie."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True, samesite="strict")
    return answer


def _too_many(request: Request, wait_s: int) -> HTTPException:
    _count(request, "limited")
    return HTTPException(429, TOO_MANY.format(wait_s), {"Retry-After": str(wait_s), "Connection": "close"})


def _count(request: Request, answer: str) -> None:
    request.app.state.services.metrics.wrong_tokens.labels("login", answer).inc()


def _is_https(request: Request) -> bool:
    """Whether the browser uses https. A forged header harms only its sender, so that any proxy may be believed."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or forwarded == "https"
