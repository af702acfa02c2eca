"""Dead letters: documents that no session can be charged with, kept where people look, with the reason."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis

from wearon.tryon import keys

log = structlog.get_logger()

MAX_PAYLOAD_BYTES = 64 * 1024
"""Longer payloads are cut: a dead letter is for reading."""

MAX_LETTERS = 10_000
"""At most 640 MB in the worst case and a few MB in practice; the oldest go first."""


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


class DeadLetters:
    """The list in Redis, newest first."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(
        self, document: bytes, reason: str, *, session_id: str | None = None, request_id: str = ""
    ) -> DeadLetter:
        """Keep the document and say so in the log. Raises redis errors."""
        letter = DeadLetter(
            id=hashlib.sha256(document).hexdigest()[:12],
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
        log.error("dead letter", letter=letter.id, reason=reason, session_id=session_id, request_id=request_id)
        return letter

    async def list(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The newest ones."""
        entries = await self._redis.lrange(keys.DEAD_LETTERS, 0, limit - 1)
        return [DeadLetter(**json.loads(entry)) for entry in entries]
