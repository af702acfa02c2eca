"""Picture URLs become prepared JPEGs: fetched and prepared side by side, one error for the first that fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import structlog

from wearon.dependencies import Dependencies, Dependency, RefusalKind
from wearon.metrics import Metrics
from wearon.net.errors import FetchError
from wearon.pictures.decode import PictureError
from wearon.resources.fair_slots import FairSlots
from wearon.resources.shortage import is_shortage
from wearon.resources.work import Purpose, current_work, work_for
from wearon.tryon.garments import Garments

log = structlog.get_logger()

DOWNLOAD_DEADLINE_S = 30.0
"""For one picture, all tries together, from waiting for a connection to the last byte; 10 MB need 2.7 Mbit/s."""

PAUSE_S = (0.3, 1.2)
"""Before the second and the third try: a reset or a 503 is often gone a moment later."""

ASKED = "input pictures"
"""What our own storage is asked for."""

MOST_HELD = 16
"""Pictures being fetched or waiting to be prepared, for each of trusted and other origins. More than there are
connections, and enough that the decoding processes never wait; 150 jobs that start together would else hold 300 raw
pictures in memory."""


class InputImageError(Exception):
    """One of the pictures cannot be used. `again_later`: our own storage did not answer, or this machine could not
    ask, so it is not the picture.
    """

    def __init__(self, reason: str, *, again_later: bool) -> None:
        super().__init__(reason)
        self.again_later = again_later


@dataclass(frozen=True, slots=True)
class InputImage:
    """The place of an input image: its path in our storage, or its host. Never its URL, which is
    signed.
    """

    path: str | None = None
    host: str | None = None


class Fetcher(Protocol):
    """What is needed of the guarded fetcher (`wearon.net.fetch.PictureFetcher`)."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Download one picture. Raises FetchError."""

    def trusts(self, url: str) -> bool:
        """Whether the URL's origin is one of the configured trusted ones; False for what is no URL."""


class InputImages:
    """Fetches with `fetcher`; `prepare` turns downloaded bytes into an upright JPEG of at most 1024 px.

    Every picture is fetched each time, but a garment or accessory is prepared once (`wearon.tryon.garments`). The photo
    of the person is never kept.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        prepare: Callable[[bytes], Awaitable[bytes]],
        metrics: Metrics,
        *,
        stored_path: Callable[[str], str | None],
        dependencies: Dependencies,
    ) -> None:
        """`stored_path` says where in our own storage a URL points to; None: it points elsewhere.

        `dependencies` is notified when our own storage gives no picture.
        """
        self._fetcher = fetcher
        self._prepare = prepare
        self._stored_path = stored_path
        self._dependencies = dependencies
        self._garments = Garments(prepare, metrics)
        # Apart, as the fetcher's connections are: other origins' slow servers must not keep trusted ones waiting.
        self._trusted_slots, self._other_slots = FairSlots(MOST_HELD, MOST_HELD), FairSlots(MOST_HELD)

    def describe(self, urls: Sequence[str]) -> Sequence[InputImage]:
        """What may be kept of the URLs."""
        return describe_images(urls, self._stored_path)

    async def prepared(self, urls: Sequence[str]) -> list[bytes]:
        """The pictures in the order of their URLs. Raises InputImageError."""
        try:
            with work_for(Purpose.GENERATION):
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
        owner = current_work().owner
        trusted = self._fetcher.trusts(url)
        async with self._trusted_slots.hold(owner) if trusted else self._other_slots.hold(owner, _host(url)):
            data = await self._fetch(url, role)
            try:
                return await (self._prepare(data) if is_person else self._garments.prepared(data))
            except PictureError as error:
                raise InputImageError(f"{role}: {error}", again_later=False) from error

    async def _fetch(self, url: str, role: str) -> bytes:
        began = time.monotonic()
        left_s = DOWNLOAD_DEADLINE_S
        for pause_s in (*PAUSE_S, None):
            try:
                picture = await self._fetcher.fetch(url, deadline_s=left_s)
            except FetchError as error:
                left_s = round(DOWNLOAD_DEADLINE_S - (time.monotonic() - began) - (pause_s or 0), 1)
                if not error.transient or pause_s is None or left_s <= 0:
                    again_later = (
                        (error.transient and self._fetcher.trusts(url))
                        or (error.says_nothing and self._stored_path(url) is not None)  # which says no by JSON
                        or is_shortage(error)
                    )
                    if again_later and not is_shortage(error):
                        words = f"Supabase Storage gives us no picture ({error.reason})"
                        self._dependencies.refused(Dependency.SUPABASE, words, ASKED, RefusalKind.STORAGE_AWAY)
                    raise InputImageError(f"{role}: {error.reason}", again_later=again_later) from error
                log.info("download is tried again", picture=role, error=error.reason)
            else:
                if self._fetcher.trusts(url):
                    self._dependencies.answered(Dependency.SUPABASE, ASKED)
                return picture
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")


def describe_images(urls: Sequence[str], stored_path: Callable[[str], str | None]) -> Sequence[InputImage]:
    """Where the images lie; `stored_path` says where in our own storage, None: elsewhere."""
    paths = [(url, stored_path(url)) for url in urls]
    return [InputImage(host=_host(url) or None) if path is None else InputImage(path) for url, path in paths]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _role(number: int) -> str:
    return {0: "person", 1: "garment"}.get(number, f"accessory {number - 1}")
