"""Who may call where there is no secret: in local mode without tokens, only this machine."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wearon.queue.audit_log import Actor, Via

THIS_MACHINE = "this machine"
"""The actor's name in the audit log."""

REFUSED = "Without tokens, local mode does this for this machine only; set API_TOKEN"

PROXY_HEADERS = {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip"}
FORWARDED = "x-forwarded-"
"""Headers that proxies add. A proxy that adds none and puts our own address into `Host`, as nginx does by default, is
recognised only by what a browser says about the page (`_asked_elsewhere`)."""


class ThisMachineOnly:
    """Refuses requests for a path, and what is below it, that come from elsewhere or from another site's page.

    No header is asked for, as the console does for its actions: a page cannot send PUT or DELETE to another origin
    without a preflight, which is not answered.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{self._path}/"):
            await self._app(scope, receive, send)
        elif not is_from_this_machine(scope) or is_from_another_site(Headers(scope=scope)):
            await JSONResponse({"detail": REFUSED}, 403)(scope, receive, send)
        else:
            scope.setdefault("state", {})["actor"] = Actor(THIS_MACHINE, Via.HTTP)
            await self._app(scope, receive, send)


def is_from_this_machine(scope: Scope) -> bool:
    """Whether peer and `Host` are loopback, no proxy stands between, and no page of another name asks."""
    headers = Headers(scope=scope)
    client = scope.get("client")
    if client is None or any(name in PROXY_HEADERS or name.startswith(FORWARDED) for name in headers):
        return False
    if _asked_elsewhere(headers):
        return False
    return _is_loopback(client[0]) and _is_loopback(_host_name(headers.get("host", "")))


def _asked_elsewhere(headers: Headers) -> bool:
    """Whether a browser shows the page under another name: a proxy rewrote `Host` and left `Origin` and `Referer`."""
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
    # A socket for both families shows an IPv4 peer as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_from_another_site(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin has caused the request."""
    # "none": typed into the address bar.
    if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    # The scheme is not compared: behind a proxy that ends TLS, ours is http and the browser's https.
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
