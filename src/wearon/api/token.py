"""`API_TOKEN`: whether a caller has it. Guesses are counted and slowed down, the same for bearer tokens and logins."""

import asyncio
import hashlib
import hmac
import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Scope

from wearon.api.guesses import Guesses
from wearon.metrics import Metrics

TOO_MANY = "Too many wrong tokens: try again in {} s"


class ApiToken:
    """Knows the token."""

    def __init__(self, token: str, guesses: Guesses | None = None, metrics: Metrics | None = None) -> None:
        # Compared by their digests, so that the time says nothing about length or content.
        self._salt = secrets.token_bytes(32)
        self._digest = self._digest_of(token.encode())
        self._guesses = guesses or Guesses()
        self._metrics = metrics or Metrics()

    async def refusal(self, scope: Scope) -> JSONResponse | None:
        """What to answer to a caller without the right bearer token; None: it has it."""
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:  # no guess
            return refuse(401, "Missing or wrong bearer token")
        address = address_of(scope)
        wait_s = self._guesses.turn(address)
        if wait_s is None:
            return self._too_many(address)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if self.fits(token.encode("latin-1")):
            self._guesses.note_right(address)
            return None
        limited = self._guesses.wait_s(address)
        self._guesses.note_wrong(address)
        if limited:
            return self._too_many(address)
        self._metrics.wrong_tokens.labels("bearer", "refused").inc()
        return refuse(401, "Missing or wrong bearer token")

    def fits(self, token: bytes) -> bool:
        """Whether it is the token."""
        return hmac.compare_digest(self._digest_of(token), self._digest)

    def _digest_of(self, token: bytes) -> bytes:
        return hmac.digest(self._salt, token, hashlib.sha256)

    def _too_many(self, address: str) -> JSONResponse:
        self._metrics.wrong_tokens.labels("bearer", "limited").inc()
        wait_s = max(1, self._guesses.wait_s(address))
        answer = refuse(429, TOO_MANY.format(wait_s))
        answer.headers["Retry-After"] = str(wait_s)
        answer.headers["Connection"] = "close"
        return answer


def address_of(scope: Scope) -> str:
    """The peer's: no header is believed."""
    client = scope.get("client")
    return client[0] if client else ""


def refuse(status: int, detail: str) -> JSONResponse:
    """An answer that asks for the token."""
    return JSONResponse({"detail": detail}, status, headers={"WWW-Authenticate": "Bearer"})
