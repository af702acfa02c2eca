"""What every request passes: request id and log line, HEAD, the bearer token, limits for the body."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from wearon.api.console.access import STATIC, is_console
from wearon.api.observation import Observation
from wearon.api.token import Tokens
from wearon.queue.audit_log import Actor, Via

log = structlog.get_logger()

GOOD_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
"""An id of another form is not repeated into logs and headers; the request gets one of ours instead."""

MAX_BODY_BYTES = 16 * 1024
"""The largest honest body is an estimate request with two signed URLs and a size chart: some 5 KB."""

BODY_SECONDS = 5.0
"""Time for the whole body to arrive. The platform gives up after 5 s."""

WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}
"""Methods whose requests may have a body."""

OPEN_PATHS = {"/health", "/health/", "/health/live", "/health/live/"}
"""Open without a token, because load balancers have none."""

CHEAP = "cheap"
"""In the state of a request: its caller has given nothing for the answer, which is delayed when such are many. A
malformed question is one: 64 callers were told so 2,000 times a second, which is all that the loop can do."""

ABANDONED = "abandoned"
"""In the state of a request: its caller has hung up, and the work for it was given up."""

NO_CALLER = 499
"""The status of such a request in log and metrics, as in nginx. Nobody is answered with it."""

UNLOGGED = "unlogged"
"""In the state of a request: it is one of so many refused ones that its line is left out, which is a sixth of what the
refusal costs. 64 callers who hang up after 50 ms and come again would write 20 GB a day. Metrics count all."""

SIGNED_PREFIX = "/files/"
"""Local mode's pictures, whose URLs carry a signature of their own."""

ROUTED = ("route", "root_path")
"""Keys that the router leaves in a request's scope; metrics and traces name the route by them."""

QUIET_PATHS = {*OPEN_PATHS, "/metrics"}
"""Paths that machines ask all the time, so that their requests are not logged."""


class RequestId:
    """Gives each request its id (the caller's `X-Request-Id`, or a new one), in log lines and answer, and logs it.

    `observation` counts the request and starts its trace.
    """

    def __init__(self, app: ASGIApp, observation: Observation) -> None:
        self._app = app
        self._observation = observation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if GOOD_REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        # For the answer to an unexpected error, which Starlette gives outside of all middleware.
        scope.setdefault("state", {})["request_id"] = request_id
        status: int | None = None
        began = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                observed.answered(status)
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id), self._observation.of(scope, request_id) as observed:
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if status is None:
                    status = NO_CALLER if scope["state"].get(ABANDONED) else 500
                    observed.answered(status)
                if not (
                    scope["path"] in QUIET_PATHS or scope["path"].startswith(STATIC) or scope["state"].get(UNLOGGED)
                ):
                    log.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=status,
                        ms=round((time.monotonic() - began) * 1000),
                    )


class HeadAsGet:
    """Answers HEAD as GET is answered, without the body: FastAPI's routes for GET know nothing of HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        get = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope.update({name: get[name] for name in ROUTED if name in get})
                await send(message)
                # Ends the live view's answer, too, which would go on for hours: it sees the caller as gone.
                await send({"type": "http.response.body"})

        await self._app(get, receive, send_head)


class BearerToken:
    """Refuses requests without a bearer token that opens their path (`wearon.api.roles`).

    `OPEN_PATHS`, and URLs that carry their own signature, need none. The console has a guard of its own, which also
    accepts a cookie. The audit log knows the caller by the token's role.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_open(scope["path"]):
            wanted = self._tokens.access.wanted(scope["path"])
            found = await self._tokens.check(scope, wanted) if wanted else None
            if isinstance(found, JSONResponse):
                await found(scope, receive, send)
                return
            if found is not None:
                scope.setdefault("state", {})["actor"] = Actor(found.value, Via.HTTP)
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(SIGNED_PREFIX) or is_console(path)


@dataclass(frozen=True, slots=True)
class Uploads:
    """Paths that accept larger bodies and more time, but few at once, because each body is held in memory."""

    max_bytes: Mapping[str, int]
    """By path."""
    seconds: float
    at_once: int


class BodyLimit:
    """Answers 413 to a body over `MAX_BODY_BYTES` and 408 to one that drips; `uploads` have limits of their own.

    The body of a request that is `passing` is not read here: its route bounds it.

    The length counts as declared and as it streams in. Two declarations at once are a 400: they smuggle a request past
    a proxy that reads the other one.
    """

    def __init__(self, app: ASGIApp, uploads: Uploads, passing: Callable[[Scope], bool]) -> None:
        self._app = app
        self._uploads = uploads
        self._passing = passing
        self._uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "content-length" in headers and "transfer-encoding" in headers:
            await _refuse(400, "Both Content-Length and Transfer-Encoding", close=True)(scope, receive, send)
            return
        if scope["method"] not in WITH_BODY or self._passing(scope):
            await self._app(scope, receive, send)
            return
        uploads = self._uploads
        if scope["path"] not in uploads.max_bytes:
            await self._pass(MAX_BODY_BYTES, BODY_SECONDS, scope, receive, send)
            return
        if self._uploading >= uploads.at_once:
            await _refuse(503, "Too many uploads at once: try again")(scope, receive, send)
            return
        self._uploading += 1
        try:
            await self._pass(uploads.max_bytes[scope["path"]], uploads.seconds, scope, receive, send)
        finally:
            self._uploading -= 1

    async def _pass(self, max_bytes: int, seconds: float, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(seconds):
                body = await _read_at_most(max_bytes, Headers(scope=scope), receive)
        except TimeoutError:
            await _refuse(408, f"Body not here within {seconds:g} s", close=True)(scope, receive, send)
            return
        except _BrokenOff:
            # The caller is gone; the answer is for log and metrics.
            await _refuse(400, "The body broke off", close=True)(scope, receive, send)
            return
        if body is None:
            await _refuse(413, f"Body larger than {max_bytes} bytes", close=True)(scope, receive, send)
            return
        sent = False

        async def receive_again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_again, send)


def _refuse(status: int, detail: str, *, close: bool = False) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers={"Connection": "close"} if close else None)


class _BrokenOff(Exception):
    """The caller has gone, or was refused by the connection, before the body was whole."""


async def _read_at_most(limit: int, headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None when it is, or says it is, larger than `limit` bytes. Raises _BrokenOff."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _BrokenOff
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)
