"""Pending tasks: documents between the producers' list and their tenants' lines, mostly for a few milliseconds.

A crash leaves some there, and so does a document that is too large to travel.

Documents are measured in Redis: one of hundreds of megabytes would hold a consumer's connection for as long as it
travels, and all tasks behind it. What no task can be is cut there, and goes to the dead letters without leaving Redis.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from wearon.queue import keys
from wearon.queue.dead_letters import MAX_LETTERS, DeadLetter, DeadLetters
from wearon.queue.task import MAX_LENIENT_BYTES
from wearon.redis.scripts import load_script

CUT_BYTES = 1024
"""Kept of one that is too large: enough to see who wrote it."""

READ_BYTES = 1024 * 1024
"""About as much is read at once, and two or three times as much is sent back as jobs; hosted Redis takes 10 MB."""

LOOKED_AT = 100
"""Documents that are measured at once: each is copied within Redis for that."""

_BULK = re.compile(rb"\$([0-9]{1,18})\r\n")
"""How an answer begins that is one document: its length."""

_UNREADABLE = re.compile(rb"[^\x20-\x7e]")


class PendingTasks:
    """The list in Redis."""

    def __init__(self, redis: Redis, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._read_pending = redis.register_script(load_script("queue", "read_pending"))
        self._move = redis.register_script(load_script("queue", "move"))
        self._cut = redis.register_script(load_script("queue", "cut_pending"))

    async def documents(self) -> Sequence[bytes]:
        """What lies there, the oldest first: all of it, or as much as is read at once. Raises redis errors.

        Documents that are too large are gone from it afterwards.
        """
        while True:
            marker = f"cut:{secrets.token_hex(16)}"
            found, is_cut = await self._read(self._read_pending, [keys.PENDING, keys.DEAD_LETTERS], marker)
            if found or not is_cut:
                return found

    async def move(self) -> tuple[Sequence[bytes], bool]:
        """Move the oldest tasks here from the producers' list, as many as are read at once. Raises redis errors.

        Returns the documents, and whether the one behind them was too large, and is cut.
        """
        return await self._read(self._move, [keys.PENDING, keys.DEAD_LETTERS, keys.TASKS])

    async def _read(self, script: AsyncScript, lists: Sequence[str], *more: str) -> tuple[Sequence[bytes], bool]:
        at = _now()
        found, cut = await script(
            keys=lists, args=[MAX_LENIENT_BYTES, CUT_BYTES, MAX_LETTERS, at, READ_BYTES, LOOKED_AT, *more]
        )
        for letter in cut:
            letter_id, reason, payload = (part.decode() for part in letter)
            await self._dead_letters.announce(DeadLetter(letter_id, at, reason, payload))
        return list(found), bool(cut)

    async def cut(self, start: bytes) -> bool:
        """Cut the newest document, when moving it was answered with something so long that it began with `start`.

        False when it must be looked for (`documents`). Raises redis errors.
        """
        head = _BULK.match(start)
        if head is None or int(head[1]) <= MAX_LENIENT_BYTES:
            return False
        letter = DeadLetter(
            id=f"cut-{hashlib.sha256(start).hexdigest()[:8]}",
            at=_now(),
            reason=f"{int(head[1])} bytes: longer than any task",
            payload=_UNREADABLE.sub(b"?", start[head.end() :][:CUT_BYTES]).decode(),
        )
        lists = [keys.PENDING, keys.DEAD_LETTERS]
        if not await self._cut(keys=lists, args=[MAX_LENIENT_BYTES, letter.dump(), MAX_LETTERS]):
            return False
        await self._dead_letters.announce(letter)
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
