"""Picture URLs become prepared JPEGs: fetched and prepared side by side, one error for the first that fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from wearon.errand import Purpose, current_errand, errand
from wearon.fair_slots import FairSlots
from wearon.metrics import Metrics
from wearon.net import FetchError
from wearon.pictures.decode import PictureError
from wearon.shortage import is_shortage
from wearon.tryon.garments import Garments

log = structlog.get_logger()

DOWNLOAD_DEADLINE_S = 30.0
"""For one picture, all tries together, from waiting for a connection to the last byte; 10 MB need 2.7 Mbit/s."""

PAUSE_S = (0.3, 1.2)
"""Before the second and the third try: a reset or a 503 is often gone a moment later."""

MOST_HELD = 16
"""Pictures being fetched or waiting to be prepared, for each of trusted and other origins. More than there are
connections, and enough that the decoding processes never wait; 150 jobs that start together would else hold 300 raw
pictures in memory."""


class PhotoError(Exception):
    """One of the pictures cannot be used. `again_later`: our own storage did not answer, or this machine could not
    ask, so it is not the picture.
    """

    def __init__(self, reason: str, *, again_later: bool) -> None:
        super().__init__(reason)
        self.again_later = again_later


class Fetcher(Protocol):
    """What is needed of the guarded downloader (`wearon.net.fetch.PictureFetcher`)."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Download one picture. Raises FetchError."""

    def trusts(self, url: str) -> bool:
        """Whether the URL's origin is one of the configured trusted ones; False for what is no URL."""


class Photos:
    """Fetches with `fetcher`; `prepare` turns downloaded bytes into an upright JPEG of at most 1024 px.

    Every picture is fetched each time, but a garment or accessory is prepared once (`wearon.tryon.garments`). The photo
    of the person is never kept.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        prepare: Callable[[bytes], Awaitable[bytes]],
        metrics: Metrics | None = None,
        *,
        is_stored: Callable[[str], bool] = lambda _url: False,
    ) -> None:
        """`is_stored` tells whether a URL is one of our own storage, which says no by JSON with status 400."""
        self._fetcher = fetcher
        self._prepare = prepare
        self._is_stored = is_stored
        self._garments = Garments(prepare, metrics)
        # Apart, as the downloader's own connections are: strangers' slow servers must not keep ours waiting.
        self._own_room, self._strangers_room = FairSlots(MOST_HELD, MOST_HELD), FairSlots(MOST_HELD)

    async def prepared(self, urls: Sequence[str]) -> list[bytes]:
        """The pictures in the order of their URLs. Raises PhotoError."""
        try:
            with errand(Purpose.GENERATION):
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        # By the URL, not the place: the person's photo given as the garment, too, stays a person's.
                        group.create_task(self._one(url, _role(number), is_person=url == urls[0]))
                        for number, url in enumerate(urls)
                    ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, url: str, role: str, *, is_person: bool) -> bytes:
        owner = current_errand().owner
        trusted = self._fetcher.trusts(url)
        async with self._own_room.hold(owner) if trusted else self._strangers_room.hold(owner, _host(url)):
            data = await self._fetch(url, role)
            try:
                return await (self._prepare(data) if is_person else self._garments.prepared(data))
            except PictureError as error:
                raise PhotoError(f"{role}: {error}", again_later=False) from error

    async def _fetch(self, url: str, role: str) -> bytes:
        began = time.monotonic()
        left_s = DOWNLOAD_DEADLINE_S
        for pause_s in (*PAUSE_S, None):
            try:
                return await self._fetcher.fetch(url, deadline_s=left_s)
            except FetchError as error:
                left_s = round(DOWNLOAD_DEADLINE_S - (time.monotonic() - began) - (pause_s or 0), 1)
                if not error.transient or pause_s is None or left_s <= 0:
                    again_later = (
                        (error.transient and self._fetcher.trusts(url))
                        or (error.says_nothing and self._is_stored(url))
                        or is_shortage(error)
                    )
                    raise PhotoError(f"{role}: {error.reason}", again_later=again_later) from error
                log.info("download is tried again", picture=role, error=error.reason)
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _role(number: int) -> str:
    return {0: "person", 1: "garment"}.get(number, f"accessory {number - 1}")
