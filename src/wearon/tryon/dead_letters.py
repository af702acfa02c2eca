"""Dead letters: documents that no session can be charged with, kept where people look, with the reason."""

import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis

from wearon.tryon import keys

log = structlog.get_logger()

MAX_PAYLOAD_BYTES = 64 * 1024
"""Longer payloads are cut: a dead letter is for reading."""

MAX_LETTERS = 10_000
"""At most 640 MB in the worst case and a few MB in practice; the oldest go first."""

CHUNK = 100
"""Letters read at once while looking for one: at most 6 MB."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One document that could not become a picture, and why."""

    id: str
    """The start of the payload's SHA-256: the same document has the same id."""
    at: str
    """ISO 8601, UTC."""
    reason: str
    payload: str
    session_id: str | None = None
    request_id: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the payload is the document as it was pushed: not cut, and no byte of it replaced."""
        return _id_of(self.payload.encode(errors="replace")) == self.id


class DeadLetters:
    """The list in Redis, newest first."""

    def __init__(self, redis: Redis, on_added: Callable[[DeadLetter], Awaitable[None]] | None = None) -> None:
        """`on_added` is told of each new one; it must not raise."""
        self._redis = redis
        self._on_added = on_added

    async def add(
        self, document: bytes, reason: str, *, session_id: str | None = None, request_id: str = ""
    ) -> DeadLetter:
        """Keep the document and say so in the log. Raises redis errors."""
        letter = DeadLetter(
            id=_id_of(document),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            reason=reason,
            payload=document[:MAX_PAYLOAD_BYTES].decode(errors="replace"),
            session_id=session_id,
            request_id=request_id,
        )
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(keys.DEAD_LETTERS, json.dumps(asdict(letter)))
            pipe.ltrim(keys.DEAD_LETTERS, 0, MAX_LETTERS - 1)
            await pipe.execute()
        await self.announce(letter)
        return letter

    async def announce(self, letter: DeadLetter) -> None:
        """Say in the log, and to whom it concerns, that the letter has been added."""
        log.error(
            "dead letter",
            letter=letter.id,
            reason=letter.reason,
            session_id=letter.session_id,
            request_id=letter.request_id,
        )
        if self._on_added is not None:
            await self._on_added(letter)

    async def list(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The newest ones. Raises redis errors, like all that follow."""
        entries = await self._redis.lrange(keys.DEAD_LETTERS, 0, limit - 1)
        return [_read(entry) for entry in entries]

    async def find(self, letter_id: str) -> DeadLetter | None:
        """The newest one with that id."""
        entries = await self._entries(letter_id)
        return _read(entries[0]) if entries else None

    async def push_again(self, letter: DeadLetter) -> None:
        """Give the document back to the producers' list, as if it had just been pushed, and forget the letter.

        Its payload must be whole.
        """
        entries = await self._entries(letter.id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(keys.TASKS, letter.payload)
            for entry in entries:
                pipe.lrem(keys.DEAD_LETTERS, 1, entry)  # type: ignore[arg-type] # redis-py forgot bytes here
            await pipe.execute()

    async def discard(self, letter: DeadLetter) -> None:
        """Forget the letter; a document that was pushed several times has several entries."""
        for entry in await self._entries(letter.id):
            await self._redis.lrem(keys.DEAD_LETTERS, 1, entry)  # type: ignore[arg-type] # redis-py forgot bytes here

    async def _entries(self, letter_id: str) -> Sequence[bytes]:
        found: deque[bytes] = deque()
        start = 0
        while entries := await self._redis.lrange(keys.DEAD_LETTERS, start, start + CHUNK - 1):
            found.extend(entry for entry in entries if _read(entry).id == letter_id)
            start += CHUNK
        return found


def _id_of(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()[:12]


def _read(entry: bytes) -> DeadLetter:
    """Fields of a newer version are left out."""
    found = json.loads(entry)
    return DeadLetter(**{field.name: found[field.name] for field in fields(DeadLetter) if field.name in found})
