"""The live stream: one gatherer for all, only while somebody watches, and a prompt end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from support.console_side import HandMadeConsole, HandMadeStatus, a_status
from wearon.api.console import live
from wearon.api.console.live import EventStream, LiveFeed
from wearon.api.console.mount import close_console
from wearon.operations.models import FleetStatus

pytestmark = pytest.mark.filterwarnings("error")


class Watching:
    """A browser on the stream: what came, and whether it has ended."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.stuck = False

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.stuck:
            await asyncio.Event().wait()
        await self.sent.put(message)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return await self.sent.get()


def feed_of(status: HandMadeStatus) -> LiveFeed:
    return LiveFeed(status, status.wait_for_change)  # type: ignore[arg-type]


@asynccontextmanager
async def watching(feed: LiveFeed) -> AsyncIterator[tuple[Watching, asyncio.Task[None]]]:
    browser = Watching()
    task = asyncio.create_task(EventStream(feed)({"type": "http"}, browser.receive, browser.send))
    try:
        yield browser, task
    finally:
        browser.gone.set()
        async with asyncio.timeout(10):
            await task


async def events_of(browser: Watching) -> bytes:
    """The body of the first event, past head and hello."""
    head = await browser.next()
    assert head["status"] == 200
    assert dict(head["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert (await browser.next())["body"] == live.HELLO
    return bytes((await browser.next())["body"])


async def test_an_unwatched_console_asks_nothing() -> None:
    status = HandMadeStatus()
    feed = feed_of(status)
    await asyncio.sleep(0)
    assert status.gathered == 0
    async with watching(feed) as (browser, _):
        assert (await events_of(browser)).startswith(b"event: now\ndata: {")
    gathered = status.gathered
    status.change.set()
    await asyncio.sleep(0.05)
    assert (feed.watchers, status.gathered) == (0, gathered)


async def test_the_gatherer_ends_although_redis_py_swallows_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 0.01)
    monkeypatch.setattr(live, "PAUSE_S", 0.01)
    status = HandMadeStatus()
    asked = asyncio.Event()

    async def swallowing() -> FleetStatus:
        status.gathered += 1
        if not asked.is_set():
            asked.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return a_status()

    monkeypatch.setattr(status, "read", swallowing)
    feed = feed_of(status)
    watcher = feed.join()
    await asked.wait()
    feed.leave(watcher)
    await asyncio.sleep(0.1)
    assert status.gathered == 1


async def test_a_gatherer_that_ends_while_it_reads_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    status = HandMadeStatus()
    asked = asyncio.Event()

    async def slow() -> FleetStatus:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(status, "read", slow)
    before = asyncio.all_tasks()
    feed = feed_of(status)
    watcher = feed.join()
    await asked.wait()
    feed.leave(watcher)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_many_watchers_cost_as_much_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    status = HandMadeStatus()
    feed = feed_of(status)
    async with watching(feed) as (first, _), watching(feed) as (second, _), watching(feed) as (third, _):
        bodies = [await events_of(browser) for browser in (first, second, third)]
        assert len(set(bodies)) == 1
        assert status.gathered == 1


async def test_a_change_is_told_at_once_but_not_faster_than_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY_S", 3600.0)
    monkeypatch.setattr(live, "PAUSE_S", 0.01)
    status = HandMadeStatus()
    async with watching(feed_of(status)) as (browser, _):
        await events_of(browser)
        status.change.set()
        assert (await browser.next())["body"].startswith(b"event: now")
        assert status.gathered == 2


async def test_it_says_that_it_is_still_there_and_outlives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(live, "EVERY_S", 0.05)
    monkeypatch.setattr(live, "PAUSE_S", 0.01)
    status = HandMadeStatus()
    status.error = RuntimeError("a bug")
    async with watching(feed_of(status)) as (browser, _):
        assert await events_of(browser) == live.HEARTBEAT
        status.error = None
        while not (await browser.next())["body"].startswith(b"event: now"):
            pass


async def test_closing_ends_all_streams_and_takes_no_more() -> None:
    console = HandMadeConsole()
    feed: LiveFeed = console.app.state.feed
    async with watching(feed) as (first, one), watching(feed) as (second, other):
        await events_of(first)
        await events_of(second)
        close_console(console.app)
        async with asyncio.timeout(10):
            await asyncio.gather(one, other)
    assert feed.is_full
    assert feed.watchers == 0


async def test_a_watcher_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEND_S", 0.05)
    feed = feed_of(HandMadeStatus())
    async with watching(feed) as (browser, task):
        await browser.next()
        browser.stuck = True
        async with asyncio.timeout(10):
            await task
    assert feed.watchers == 0


async def test_a_stream_ends_after_a_while_so_that_the_login_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAM_S", 0.05)
    async with watching(feed_of(HandMadeStatus())) as (browser, task):
        async with asyncio.timeout(10):
            await task
        last = [browser.sent.get_nowait() for _ in range(browser.sent.qsize())][-1]
        assert (last["body"], last["more_body"]) == (live.RENEW, False)  # not taken for a broken line


async def test_the_number_of_watchers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_WATCHERS", 1)
    feed = feed_of(HandMadeStatus())
    assert not feed.is_full
    async with watching(feed) as (browser, _):
        await events_of(browser)
        assert feed.is_full
