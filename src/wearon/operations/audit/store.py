"""The last audit of the fleet, in Redis, and whose turn it is to make the next one."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from wearon.operations.audit.books import Books, Finding
from wearon.operations.entries import Entry, read_entry
from wearon.operations.readable import read
from wearon.queue import keys
from wearon.redis.scripts import load_script

SUMMARY = "summary"
FINDINGS = "findings"

MOST_KEPT = 100
"""Findings kept in Redis, 25 KB; the sessions of others are looked at again."""

_FINDINGS = TypeAdapter(list[Finding])


class BookStore:
    """Reads and writes it. All methods raise redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._histories = redis.register_script(load_script("operations", "read_histories"))

    async def now(self) -> datetime:
        """The present, by the clock of the Redis server."""
        seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    async def take_turn(self, for_s: int) -> bool:
        """Whether no process has taken its turn within `for_s` seconds; then it is this one's."""
        return bool(await self._redis.set(keys.BOOKS_TURN, "taken", nx=True, ex=for_s))

    async def release_turn(self) -> None:
        """Let another process try."""
        await self._redis.delete(keys.BOOKS_TURN)

    async def read(self) -> tuple[Books | None, Sequence[Finding]]:
        """The last audit and its findings; None: there is none that can be read."""
        found = await self._redis.hmget(keys.BOOKS, [SUMMARY, FINDINGS])
        summary, findings = cast("list[bytes | None]", found)
        books = read(Books, summary)
        with suppress(ValidationError):
            return books, _FINDINGS.validate_json(findings or b"[]") if books else []
        return books, []

    async def write(self, books: Books, findings: Sequence[Finding]) -> None:
        """Keep this audit instead of the last one."""
        listed = _FINDINGS.dump_json(list(findings[:MOST_KEPT]))
        await self._redis.hset(keys.BOOKS, mapping={SUMMARY: books.model_dump_json(), FINDINGS: listed})

    async def outstanding(self) -> set[str]:
        """The keys of all refund intents that are not settled."""
        return {key.decode(errors="replace") for key in cast("list[bytes]", await self._redis.hkeys(keys.REFUNDS))}

    async def histories(self, session_ids: Sequence[str]) -> Iterable[Sequence[Entry]]:
        """The history of each session, with one command for all of them."""
        found = await self._histories(keys=[keys.JOURNAL + session_id for session_id in session_ids])
        return [[entry for text in texts if (entry := read_entry(text)) is not None] for texts in found]
