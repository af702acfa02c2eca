"""`GET /console/api/live`: the status of the fleet as server-sent events.

One gatherer serves all watchers of this process, and it works only while there are any, so that an unwatched console
costs no Redis command. It reads the status every `EVERY_S`, and at once when the state of this process changes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from wearon.operations.status import StatusReader
from wearon.redis.cancellation import heed_cancellation

log = structlog.get_logger()

EVERY_S = 2.0
"""Longest delay before changes in other processes are shown."""

PAUSE_S = 0.5
"""At least this long between two gatherings, however fast jobs change their steps."""

HEARTBEAT_S = 10.0
"""A comment is sent after so much silence, because the page takes a longer one for a broken connection."""

SEND_S = 20.0
"""A watcher that does not read for so long is disconnected."""

STREAM_S = 600.0
"""After this time the page connects again, and its cookie is checked again."""

MAX_WATCHERS = 32
"""Pages that may watch this process, of the 512 connections that the API accepts."""

HELLO = b"retry: 2000\n\n"
"""Milliseconds after which a browser connects again by itself."""

HEARTBEAT = b": still here\n\n"

RENEW = b"event: renew\ndata: connect again\n\n"
"""Tells a page that the stream's time is over, which is no fault either."""

BYE = b"event: bye\ndata: stopping\n\n"
"""Tells a page that the process was stopped in order, which is no fault."""

LEFT_OUT = {"running": {"__all__": {"steps"}}}
"""What the overview does not show: the page of a running session reads its steps."""


class LiveFeed:
    """The gatherer and its watchers."""

    def __init__(self, status: StatusReader, wait_for_change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._status = status
        self._wait_for_change = wait_for_change
        self._watchers: set[Watcher] = set()
        self._gathering: asyncio.Task[None] | None = None
        self._latest: bytes | None = None
        self.is_closed = False
        """Whether the API is closing."""

    @property
    def is_full(self) -> bool:
        """Whether no watcher can join, because there are too many or the API is closing."""
        return self.is_closed or len(self._watchers) >= MAX_WATCHERS

    @property
    def watchers(self) -> int:
        """The number of watchers."""
        return len(self._watchers)

    def join(self) -> "Watcher":
        """Add a watcher; the gatherer starts with the first one."""
        watcher = Watcher(self._latest)
        self._watchers.add(watcher)
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._gather())
        return watcher

    def leave(self, watcher: "Watcher") -> None:
        """Remove a watcher; the gatherer ends with the last one."""
        self._watchers.discard(watcher)
        if not self._watchers and self._gathering is not None:
            self._gathering.cancel()
            self._gathering = self._latest = None

    def close(self) -> None:
        """End all streams and accept no new ones, because the API is closing."""
        self.is_closed = True
        for watcher in self._watchers:
            watcher.end()

    async def _gather(self) -> None:
        while True:
            heed_cancellation()
            change = asyncio.create_task(self._wait_for_change())
            try:
                await self._tell_status()
                await asyncio.sleep(PAUSE_S)
                await asyncio.wait({change}, timeout=EVERY_S - PAUSE_S)
            finally:
                change.cancel()

    async def _tell_status(self) -> None:
        try:
            fleet = await self._status.read()
            self._latest = b"event: now\ndata: " + fleet.model_dump_json(exclude=LEFT_OUT).encode() + b"\n\n"
            for watcher in self._watchers:
                watcher.tell(self._latest)
        except Exception:
            log.exception("the console's overview could not be gathered")


class Watcher:
    """One open page. It gets the newest status; those that it was too slow for are skipped."""

    def __init__(self, news: bytes | None) -> None:
        self._news = news
        self._woken = asyncio.Event()
        self.ended = False
        if news is not None:
            self._woken.set()

    def tell(self, news: bytes) -> None:
        """Offer the newest event."""
        self._news = news
        self._woken.set()

    def end(self) -> None:
        """End the stream."""
        self.ended = True
        self._woken.set()

    async def news(self) -> bytes:
        """The next event, or a heartbeat when there is none for a while."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._woken.wait()
        except TimeoutError:
            return HEARTBEAT
        self._woken.clear()
        news, self._news = self._news, None
        return news or HEARTBEAT


class EventStream(Response):
    """Writes a watcher's events until the browser leaves or stops reading, the time is over, or the API closes."""

    media_type = "text/event-stream"

    def __init__(self, feed: LiveFeed) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        watcher = self._feed.join()
        gone = asyncio.create_task(_until_gone(receive))
        writing = asyncio.create_task(self._write(watcher, send))
        try:
            await asyncio.wait({gone, writing}, timeout=STREAM_S, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done() and not writing.done():
                watcher.end()
                await asyncio.wait({writing}, timeout=SEND_S)
        finally:
            self._feed.leave(watcher)
            for task in (gone, writing):
                task.cancel()
            await asyncio.gather(gone, writing, return_exceptions=True)

    async def _write(self, watcher: Watcher, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send_soon(send, {"type": "http.response.body", "body": HELLO, "more_body": True})
        while not watcher.ended:
            news = await watcher.news()
            if not watcher.ended:
                await _send_soon(send, {"type": "http.response.body", "body": news, "more_body": True})
        last = BYE if self._feed.is_closed else RENEW
        await _send_soon(send, {"type": "http.response.body", "body": last, "more_body": False})


async def _send_soon(send: Send, message: Message) -> None:
    async with asyncio.timeout(SEND_S):
        await send(message)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def live_route(feed: LiveFeed) -> APIRouter:
    """The route that serves the feed."""
    router = APIRouter()

    @router.get("/live")
    async def live() -> Response:
        if feed.is_full:
            answer = {"detail": "Too many pages watch this process already"}
            return JSONResponse(answer, 503, headers={"Retry-After": "10"})
        return EventStream(feed)

    return router
