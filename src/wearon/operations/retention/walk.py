"""A walk through the folders of shoppers' pictures, page by page, that can go on where it ended early."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from wearon.platform.base import Listed, Platform
from wearon.platform.outages import through_outages
from wearon.platform.picture_paths import ROOTS, ResultPath, UploadPath, is_folder, read_path

PAGE = 1000
"""Entries asked for at once: 400 KB as JSON."""

MOST_LISTINGS = 3000
"""Requests for a page that a round makes at most, within some five minutes. A user with pictures is a folder and costs
one, a store three. A round that ends early is gone on with ten minutes later: 18,000 folders an hour."""

EXAMPLES, EXAMPLE_CHARACTERS = 5, 200


class Take(Protocol):
    """Takes the old pictures of one page."""

    async def __call__(self, old: Sequence[ResultPath | UploadPath], *, more: bool) -> int:
        """Take `old`; returns how many of them are gone already when there is `more` of the folder, else 0."""


class _Enough(Exception):
    """The round has made as many requests as it may."""


class Walk:
    """One walk. Raises platform errors."""

    def __init__(
        self, platform: Platform, older_than: datetime, start: str, most_listings: int | None, pause_s: float
    ) -> None:
        """`start`: the folder where it begins; empty: with the first one. `pause_s` before each request."""
        self._platform = platform
        self._older_than = older_than
        self._start = _place(start)
        self._left = float("inf") if most_listings is None else most_listings
        self._pause_s = pause_s
        self.listed = 0
        """Entries so far."""
        self.unknown = 0
        """Entries whose names are not those of shoppers' pictures."""
        self.examples: list[str] = []

    async def through(self, take: Take) -> str:
        """Hand all old pictures to `take`. Returns the folder where the next walk goes on; empty: it is whole."""
        folders = [*reversed(ROOTS)]
        while folders:
            folder = folders.pop()
            place = _place(folder)
            if place < self._start and self._start[: len(place)] != place:
                continue  # it lies before the start, with all that is in it
            try:
                inner = await self._look_through(folder, take)
            except _Enough:
                return folder
            folders += sorted(inner, reverse=True)
        return ""

    async def _look_through(self, folder: str, take: Take) -> set[str]:
        """One folder; returns the folders in it."""
        inner: set[str] = set()
        offset, more = 0, True
        while more:
            page = await self._list(folder, offset)
            inner.update(path for entry in page if self._is_inner(entry, path := _path(folder, entry)))
            # The oldest come first: behind a young one there are no old ones.
            more = len(page) == PAGE and not self._is_young(page[-1])
            offset += len(page) - await take(self._old(folder, page), more=more)
        return inner

    async def _list(self, folder: str, offset: int) -> Sequence[Listed]:
        if self._left <= 0:
            raise _Enough
        self._left -= 1
        await asyncio.sleep(self._pause_s)
        page = await through_outages(lambda: self._platform.list_folder(folder, PAGE, offset))
        self.listed += len(page)
        return page

    def _is_inner(self, entry: Listed, path: str) -> bool:
        return entry.changed_at is None and is_folder(path)

    def _is_young(self, entry: Listed) -> bool:
        return entry.changed_at is not None and entry.changed_at > self._older_than

    def _old(self, folder: str, page: Sequence[Listed]) -> Sequence[ResultPath | UploadPath]:
        found = []
        for entry in page:
            path = _path(folder, entry)
            picture = read_path(path) if entry.changed_at is not None else None
            if picture is not None:
                if not self._is_young(entry):
                    found.append(picture)
            elif not self._is_inner(entry, path):
                self.unknown += 1
                if len(self.examples) < EXAMPLES:
                    self.examples.append(path[:EXAMPLE_CHARACTERS])
        return found


def _path(folder: str, entry: Listed) -> str:
    """Where an entry lies. A name with a slash, which no listing has, must not lead anywhere else."""
    return f"{folder}/{entry.name.replace('/', '//')}"


def _place(folder: str) -> tuple[str, ...]:
    """Where a folder lies in the order of a walk."""
    root, *inner = folder.split("/")
    return (str(ROOTS.index(root)), *inner) if root in ROOTS else ()
