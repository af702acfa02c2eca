"""Which uploads are named by tasks: those stay, however old they are.

An upload is known by the uuid at the end of its name. It counts as named when a file of that uuid stands anywhere in a
task, at whatever address. So no URL is taken apart, and a task that cannot be read counts, too.

Tasks are read in the direction in which they move, so that none is passed over: dead letters, the producers' list,
pending documents, jobs (waiting, deferred or running), and the newest dead letters again.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from redis.asyncio import Redis

from wearon.events import Events
from wearon.platform.picture_paths import EXTENSION, UUID
from wearon.queue import keys
from wearon.queue.dead_letters import DeadLetters, Entry
from wearon.queue.task import session_id_of
from wearon.redis.scripts import load_script

MOST_TASKS = 50_000
"""A backlog of nearly three hours at the account's limit, and some 75 MB to read. With more, no upload is deleted."""

CHUNK = 250
"""Documents read at once: 0.4 MB of honest ones."""

_NAME = re.compile(rf"(?i:({UUID}){EXTENSION})")


@dataclass(frozen=True, slots=True)
class Named:
    """The uuids of uploads that tasks name."""

    by_tasks: set[str] = field(default_factory=set)
    by_dead_letters: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """To the sessions of the dead letters that name it: a dead letter can be retried while its session is open."""


class NamedUploads:
    """Reads them from Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._letters = DeadLetters(redis, Events())
        self._read_jobs = redis.register_script(load_script("operations", "read_jobs"))

    async def read(self) -> Named | None:
        """Read which uploads the tasks name; None while too many tasks wait. Raises redis errors."""
        if await self._waiting() > MOST_TASKS:
            return None
        named = Named()
        passed = 0
        while page := await self._letters.read(passed):
            await self._add_letters(page, named)
            passed += len(page)
        async for documents in self._documents():
            for document in documents:
                named.by_tasks.update(uploads_in(document))
            await asyncio.sleep(0)
        await self._add_letters(await self._letters.read(0), named)
        return named

    async def _waiting(self) -> int:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.llen(keys.TASKS)
            pipe.zcard(keys.JOBS)
            return sum(await pipe.execute())

    async def _documents(self) -> AsyncIterator[Sequence[bytes]]:
        for name in (keys.TASKS, keys.PENDING):
            start = 0
            # From the left: a task's place only grows (`wearon.tryon.reconciler`).
            while documents := cast("list[bytes]", await self._redis.lrange(name, start, start + CHUNK - 1)):
                yield documents
                start += CHUNK
        cursor = -1
        while cursor:
            cursor, jobs = await self._redis.zscan(keys.JOBS, max(cursor, 0), count=CHUNK)
            if jobs:
                ids = [job for job, _ in cast("list[tuple[bytes, float]]", jobs)]
                yield await self._read_jobs(keys=[keys.JOB.encode() + job_id for job_id in ids])

    async def _add_letters(self, page: Sequence[Entry], named: Named) -> None:
        for letter in (entry.letter for entry in page):
            await asyncio.sleep(0)  # a document may take a millisecond to look at
            payload = letter.payload.encode(errors="replace")
            uploads = uploads_in(payload)
            session_id = (letter.session_id or session_id_of(payload)) if uploads else None
            if session_id is not None:
                for upload_id in uploads:
                    named.by_dead_letters[upload_id].add(session_id)


def uploads_in(document: bytes) -> set[str]:
    """The uuids of pictures that a document names, escaped or not."""
    text = document.decode(errors="replace")
    if "\\u" in text:
        with suppress(ValueError, RecursionError):
            text += json.dumps(json.loads(text), ensure_ascii=False)
    return {found.lower() for found in _NAME.findall(unquote(text))}
