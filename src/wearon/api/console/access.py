"""Access to the console, and what its answers forbid the browser.

The page itself holds no data and is open; everything below `/console/api/` is not. Where the operator's or the
viewer's token is set, a request needs one of them as bearer token, or the cookie of a login with it; with the viewer's
it may only read. Local mode without a token has no secret, so only this machine may call: peer and `Host` must both be
loopback (a web page could reach in by a foreign name that resolves to 127.0.0.1), and a request that came through a
proxy is refused.

Requests that another page may have caused (`Sec-Fetch-Site`, `Origin`) are refused, and those that change something
must carry a header that no form can send. A browser never adds a bearer token by itself, so a request with one needs
none of this.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wearon.api.console.login import COOKIE, Doorkeeper, cookie_of
from wearon.api.roles import OPENED_BY, Door, Role
from wearon.api.this_machine import THIS_MACHINE, is_from_another_site, is_from_this_machine
from wearon.api.token import Tokens, forbid
from wearon.queue.audit_log import Actor, Via

PAGE = "/console"
API = "/console/api/"
UNGUARDED = {"/console/api/login", "/console/api/logout"}
"""Paths that need no cookie: login makes one, logout deletes it."""

ACTION_HEADER = "x-wearon-console"
"""Any value. A form cannot send it, and another origin's script only after a preflight, which is not answered."""

STATIC = "/console/static/"
"""Files that each visit asks for, so that their requests are not logged."""

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

READING_POSTS = re.compile(r"/console/api/(measure|sessions/[^/]+/pictures/.+)", re.ASCII)
"""What is asked with POST and changes nothing: sizes, and signed URLs of pictures."""


def is_console(path: str) -> bool:
    """Whether the path belongs to the console."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class ConsoleAccess:
    """Guards the console's paths; requests to other paths pass. Without a `doorkeeper` only this machine may call."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper | None, tokens: Tokens, picture_origin: str) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._tokens = tokens
        self._headers = _security_headers(picture_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_console(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                # Browsers ask for static files each time, but get them only when they have changed (ETag).
                headers["Cache-Control"] = "no-store" if scope["path"].startswith(API) else "no-cache"
            await send(message)

        refusal = await self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._doorkeeper is None and not is_from_this_machine(scope):
            return _refuse(403, "The console of local mode is open on this machine only; set API_TOKEN to log in")
        if not scope["path"].startswith(API):
            return None
        wanted = OPENED_BY[Door.CONSOLE if _only_reads(scope) else Door.ACTIONS]
        found: Role | JSONResponse | None = None
        via = Via.HTTP
        if self._doorkeeper is not None and "authorization" in headers:
            found = await self._tokens.check(scope, wanted)
        if found is None or (isinstance(found, JSONResponse) and found.status_code == 401):
            found, via = self._role_of_page(scope, headers, wanted), Via.CONSOLE
        if isinstance(found, JSONResponse):
            return found
        if found is not None:
            name = found.value if self._doorkeeper else THIS_MACHINE
            scope.setdefault("state", {}).update(role=found, actor=Actor(name, via))
        return None

    def _role_of_page(self, scope: Scope, headers: Headers, wanted: frozenset[Role]) -> Role | JSONResponse | None:
        """The role of whom the page belongs to, or the refusal; None: a path that needs no role."""
        if is_from_another_site(headers):
            return _refuse(403, "Called by another site")
        if scope["method"] not in SAFE_METHODS and ACTION_HEADER not in headers:
            return _refuse(403, f"The header {ACTION_HEADER} is missing")
        if scope["path"] in UNGUARDED:
            return None
        if self._doorkeeper is None:
            return Role.OPERATOR
        role = self._doorkeeper.role_of(cookie_of(headers, COOKIE))
        if role is None:
            return _refuse(401, "Log in first", {"WWW-Authenticate": "Bearer"})
        return role if role in wanted else forbid(role)


def _only_reads(scope: Scope) -> bool:
    method, path = scope["method"], scope["path"]
    return method in SAFE_METHODS or (method == "POST" and READING_POSTS.fullmatch(path) is not None)


def _refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers=headers)


def _security_headers(picture_origin: str) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' data: blob: {picture_origin}",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",  # no markup can be made out of text at all
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
