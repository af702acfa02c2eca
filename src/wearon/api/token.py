"""Tokens: which role a caller proves. Wrong ones are counted together with those of the console's login."""

import asyncio
import hashlib
import hmac
import secrets

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Scope

from wearon.api.guesses import Guesses
from wearon.api.roles import Access, Role
from wearon.metrics import Metrics

TOO_MANY = "Too many wrong tokens: try again in {} s"


class Tokens:
    """Knows the tokens of all roles, and checks bearer tokens."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        self.access = access
        self.guesses = Guesses()
        # Digests are compared, so that the time it takes reveals neither length nor content.
        self._salt = secrets.token_bytes(32)
        self._digests = {role: self._digest_of(token.encode()) for role, token in access.tokens.items()}
        self._metrics = metrics

    async def check(self, scope: Scope, wanted: frozenset[Role]) -> Role | JSONResponse:
        """The role that the request's bearer token proves, if it is one of `wanted`; else the refusal."""
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:  # not a guess
            return refuse(401, "Missing or wrong bearer token")
        address = address_of(scope)
        wait_s = self.guesses.turn(address)
        if wait_s is None:
            return self._too_many(address)
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        role = self.role_of(token.encode("latin-1"))
        if role is not None:
            self.guesses.note_right(address)
            return role if role in wanted else forbid(role)
        limited = self.guesses.wait_s(address)
        self.guesses.note_wrong(address)
        if limited:
            return self._too_many(address)
        self._metrics.wrong_tokens.labels("bearer", "refused").inc()
        return refuse(401, "Missing or wrong bearer token")

    def role_of(self, token: bytes) -> Role | None:
        """The role whose token this is. All are compared in any case, so that the time reveals none of them."""
        digest = self._digest_of(token)
        fitting = [role for role, known in self._digests.items() if hmac.compare_digest(digest, known)]
        return fitting[0] if fitting else None

    def _digest_of(self, token: bytes) -> bytes:
        return hmac.digest(self._salt, token, hashlib.sha256)

    def _too_many(self, address: str) -> JSONResponse:
        self._metrics.wrong_tokens.labels("bearer", "limited").inc()
        wait_s = max(1, self.guesses.wait_s(address))
        answer = refuse(429, TOO_MANY.format(wait_s))
        answer.headers["Retry-After"] = str(wait_s)
        answer.headers["Connection"] = "close"
        return answer


def address_of(scope: Scope) -> str:
    """The peer's address; headers that name another one are not believed."""
    client = scope.get("client")
    return client[0] if client else ""


def refuse(status: int, detail: str) -> JSONResponse:
    """A refusal that asks for the token."""
    return JSONResponse({"detail": detail}, status, headers={"WWW-Authenticate": "Bearer"})


def forbid(role: Role) -> JSONResponse:
    """The refusal of a token that is right, and not for this."""
    return JSONResponse({"detail": f"The {role} token is not for this: it needs another role"}, 403)
