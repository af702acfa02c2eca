"""Who may use the console, and what its answers forbid the browser.

The page itself holds no data and is open; everything below `/console/api/` is not. Where a token is set, it asks for
that token, as bearer token or as the cookie that the login leaves. Local mode without a token has no secret, so it
answers this machine only: peer and `Host` must both be loopback (a foreign name that resolves to 127.0.0.1 is how a web
page would reach in), and nothing that came through a proxy is taken.

Calls that the browser could have been talked into by another page (`Sec-Fetch-Site`, `Origin`) are refused, and those
that change something must carry a header that no form can send. A bearer token is nothing that a browser adds by
itself, so a call that brings one needs none of this.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wearon.api.console.login import COOKIE, Doorkeeper, cookie_of
from wearon.api.token import ApiToken

PAGE = "/console"
API = "/console/api/"
UNGUARDED = {"/console/api/login", "/console/api/logout"}
"""Where one is who has no cookie yet, or wants none any more."""

ACTION_HEADER = "x-wearon-console"
"""Any value. A form cannot send it, and another origin's script only after a preflight, which is not answered."""

STATIC = "/console/static/"
"""Asked for with every visit: no log line each."""

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
PROXY_HEADERS = {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip"}
FORWARDED = "x-forwarded-"
"""What proxies add. One that adds nothing and puts our own address into `Host`, as nginx does unless it is told
otherwise, is known only by what a browser says about the page (`_asked_elsewhere`)."""


def is_console(path: str) -> bool:
    """Whether the path is one of ours."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class ConsoleAccess:
    """Guards the console's paths; others pass untouched. Without a `doorkeeper`, only this machine may come."""

    def __init__(
        self, app: ASGIApp, doorkeeper: Doorkeeper | None, token: ApiToken | None, picture_origin: str
    ) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._token = token
        self._headers = _security_headers(picture_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_console(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                # Static files are asked for anew each time, but sent only when they have changed (ETag).
                headers["Cache-Control"] = "no-store" if scope["path"].startswith(API) else "no-cache"
            await send(message)

        refusal = await self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._doorkeeper is None and not _from_this_machine(scope, headers):
            return _refuse(403, "The console of local mode is open on this machine only; set API_TOKEN to log in")
        if not scope["path"].startswith(API):
            return None
        if self._token is not None and "authorization" in headers:
            guess = await self._token.refusal(scope)
            if guess is None or guess.status_code == 429:
                return guess
        return self._stranger(scope, headers)

    def _stranger(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        """What to answer to a caller without the bearer token."""
        if _from_another_site(headers):
            return _refuse(403, "Called by another site")
        if scope["method"] not in SAFE_METHODS and ACTION_HEADER not in headers:
            return _refuse(403, f"The header {ACTION_HEADER} is missing")
        if scope["path"] in UNGUARDED or self._doorkeeper is None:
            return None
        if self._doorkeeper.knows(cookie_of(headers, COOKIE)):
            return None
        return _refuse(401, "Log in first", {"WWW-Authenticate": "Bearer"})


def _from_this_machine(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    if client is None or any(name in PROXY_HEADERS or name.startswith(FORWARDED) for name in headers):
        return False
    if _asked_elsewhere(headers):
        return False
    return _is_loopback(client[0]) and _is_loopback(_host_name(headers.get("host", "")))


def _asked_elsewhere(headers: Headers) -> bool:
    """Whether a browser has our page under another name: a proxy rewrote `Host`, and not these."""
    named = (headers.get("origin"), headers.get("referer"))
    return any(not _is_loopback(_host_name(url.partition("://")[2])) for url in named if url)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    # A socket for both families tells an IPv4 peer as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _from_another_site(headers: Headers) -> bool:
    # "none": typed into the address bar.
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    # The scheme is not compared: behind a proxy that ends TLS, ours is http and the browser's https.
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


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
