"""Deletes shoppers' pictures that are older than promised: once an hour, in one process of the fleet.

The storage is listed folder by folder (`walk`). What is old is deleted when it has the name of a shopper's picture
(`platform.picture_paths`), and nobody needs it any more:

- a result by its session, which must have ended as long ago: the signed URL that it got then has ended, too;
- an upload by the tasks: none that waits or runs names it, nor a dead letter whose session is open (`named`).

Both are asked for after the pictures were listed, just before they are deleted. In doubt a picture stays.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from redis.asyncio import Redis

from wearon.metrics import Metrics
from wearon.operations.retention.named import Named, NamedUploads
from wearon.operations.retention.rounds import Round
from wearon.operations.retention.store import RoundStore
from wearon.operations.retention.walk import MOST_LISTINGS, Walk
from wearon.platform.base import DELETED_AT_ONCE, Channel, Platform, PlatformError
from wearon.platform.outages import repeat_every, through_outages
from wearon.platform.picture_paths import ResultPath, UploadPath

log = structlog.get_logger()

EVERY_S = 3600 - 300
"""A round is due when the last one began so long ago: with `ASK_S`, once in some 60 minutes."""

ASK_S = 600.0
"""How often each process asks whether a round is due: two Redis commands. One that had to end early goes on then."""

REQUESTS_PER_S = 20.0
"""To the platform, as the audit makes."""

NAMED_FOR_S = 10.0
"""How long what the tasks name is believed, while there is much to delete."""

AT_ONCE = 10 * DELETED_AT_ONCE
"""Old pictures that are gathered before they are judged."""

TOO_MANY_TASKS = "too many tasks wait to look for the uploads that they name: uploads are left for later"


@dataclass
class _Round:
    """A round under way."""

    now: datetime
    older_than: datetime
    dry_run: bool
    results: list[ResultPath] = field(default_factory=list)
    uploads: list[UploadPath] = field(default_factory=list)
    """Old, and not judged yet."""
    deleted_results: int = 0
    deleted_uploads: int = 0
    in_use: int = 0
    error: str = ""
    named: Named | None = None
    named_at: float = float("-inf")


class Sweeper:
    """Deletes old pictures of one platform."""

    def __init__(
        self,
        redis: Redis,
        platform: Platform,
        metrics: Metrics,
        *,
        hours: float,
        requests_per_s: float = REQUESTS_PER_S,
    ) -> None:
        """`hours`: pictures that are older are deleted."""
        self._redis = redis
        self._store = RoundStore(redis)
        self._platform = platform
        self._named = NamedUploads(redis)
        self._deleted = metrics.deleted_pictures
        self._hours = hours
        self._pause_s = 1 / requests_per_s

    async def run(self) -> None:
        """Delete when it is this process's turn, until cancelled."""
        await asyncio.sleep(ASK_S * random.uniform(0.2, 1.0))  # noqa: S311 (not all processes at once, nor at a start)
        await repeat_every(ASK_S, self.sweep_in_turn, trouble="retention postponed")

    async def sweep_in_turn(self) -> None:
        """Make a round, if no process has within the hour. Raises platform and redis errors."""
        if not await self._store.take_turn(EVERY_S):
            return
        try:
            newest = await self.sweep()
        except PlatformError as error:
            await self._note_failure(error)
            await self._store.release_turn()
            raise
        if not newest.is_whole:
            await self._store.release_turn()

    async def sweep(
        self,
        *,
        dry_run: bool = False,
        most_listings: int | None = MOST_LISTINGS,
        on_progress: Callable[[int], None] = lambda _listed: None,
    ) -> Round:
        """Delete what is too old, going on where the last round ended early. Raises platform and redis errors.

        `dry_run`: nothing is deleted, and the whole storage is looked through. `on_progress` gets how many entries were
        listed.
        """
        now = await self._now()
        before = None if dry_run else await self._store.read()
        this = _Round(now, now - timedelta(hours=self._hours), dry_run)
        start = before.next_folder if before and most_listings is not None else ""
        walk = Walk(self._platform, this.older_than, start, most_listings, self._pause_s)

        async def take(old: Sequence[ResultPath | UploadPath], *, more: bool) -> int:
            on_progress(walk.listed)
            this.results += [path for path in old if isinstance(path, ResultPath)]
            this.uploads += [path for path in old if isinstance(path, UploadPath)]
            if not more and len(this.results) + len(this.uploads) < AT_ONCE:
                return 0
            gone = await self._judge(this)
            return sum(path.path in gone for path in old)

        next_folder = await walk.through(take)
        await self._judge(this)
        pass_from = before.pass_from if before and start else now
        is_whole = not next_folder and not this.error
        newest = Round(
            hours=self._hours,
            at=await self._now(),
            pass_from=pass_from,
            whole_from=pass_from if is_whole or before is None else before.whole_from,
            next_folder=next_folder,
            results=this.deleted_results,
            uploads=this.deleted_uploads,
            in_use=this.in_use,
            unknown=walk.unknown,
            examples=walk.examples,
            error=this.error,
        )
        if not dry_run:
            await self._store.write(newest)
            told = newest.model_dump(include={"results", "uploads", "in_use", "unknown", "next_folder", "error"})
            log.info("old pictures deleted", listed=walk.listed, **told)
        return newest

    async def _judge(self, this: _Round) -> set[str]:
        """Delete what has been gathered and nobody needs. Returns the paths that are gone."""
        gone: set[str] = set()
        for channel in Channel:
            results = [path for path in this.results if path.channel is channel]
            for start in range(0, len(results), DELETED_AT_ONCE):
                batch = results[start : start + DELETED_AT_ONCE]
                needed = await self._needed(channel, [path.session_id for path in batch], this.older_than)
                free = [path.path for path in batch if path.session_id not in needed]
                this.deleted_results += await self._delete(free, "result", this)
                this.in_use += len(batch) - len(free)
                gone.update(free)
        for start in range(0, len(this.uploads), DELETED_AT_ONCE):
            uploads = this.uploads[start : start + DELETED_AT_ONCE]
            free = await self._unnamed(uploads, this)
            this.deleted_uploads += await self._delete(free, "upload", this)
            this.in_use += len(uploads) - len(free)
            gone.update(free)
        this.results, this.uploads = [], []
        return set() if this.dry_run else gone

    async def _unnamed(self, uploads: Sequence[UploadPath], this: _Round) -> list[str]:
        """The paths of those that no task names."""
        if time.monotonic() - this.named_at > NAMED_FOR_S:
            this.named, this.named_at = await self._named.read(), time.monotonic()
        named = this.named
        if named is None:
            this.error = TOO_MANY_TASKS
            return []
        letters = {upload.upload_id: named.by_dead_letters.get(upload.upload_id, set()) for upload in uploads}
        sessions = sorted(set().union(*letters.values()))
        open_ones: set[str] = set()
        for channel in Channel:
            for start in range(0, len(sessions), DELETED_AT_ONCE):
                open_ones |= await self._needed(channel, sessions[start : start + DELETED_AT_ONCE], this.now)
        return [
            upload.path
            for upload in uploads
            if upload.upload_id not in named.by_tasks and not letters[upload.upload_id] & open_ones
        ]

    async def _needed(self, channel: Channel, session_ids: Sequence[str], ended_after: datetime) -> set[str]:
        await asyncio.sleep(self._pause_s)
        return await through_outages(lambda: self._platform.needed_results(channel, session_ids, ended_after))

    async def _delete(self, paths: Sequence[str], kind: str, this: _Round) -> int:
        if this.dry_run or not paths:
            return len(paths)
        await asyncio.sleep(self._pause_s)
        deleted = await through_outages(lambda: self._platform.delete_pictures(paths))
        self._deleted.labels(kind).inc(deleted)
        return deleted

    async def _now(self) -> datetime:
        """The present by Redis' clock: a machine whose clock is ahead must not delete young pictures."""
        seconds, _ = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC)

    async def _note_failure(self, error: Exception) -> None:
        now = await self._now()
        newest = await self._store.read() or Round(hours=self._hours, at=now, pass_from=now, whole_from=now)
        await self._store.write(newest.model_copy(update={"hours": self._hours, "at": now, "error": str(error)}))
