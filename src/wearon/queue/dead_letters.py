"""Dead letters: tasks that cannot be used, kept where operators look, with the reason."""

import hashlib
import json
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import cast

import structlog
from redis.asyncio import Redis

from wearon.events import Events
from wearon.queue import keys
from wearon.redis.scripts import load_script

log = structlog.get_logger()

MAX_PAYLOAD_BYTES = 64 * 1024
"""Longer payloads are cut: a dead letter is for reading."""

MAX_LETTERS = 10_000
"""At most 640 MB in the worst case and a few MB in practice; the oldest go first."""

PAGE, PAGE_BYTES = 200, 1024 * 1024
"""Entries read at once, until there are so many or enough bytes: reading them takes the event loop some 10 ms."""

BATCH = 100
"""Entries ended at once: Redis looks through the list once for them, some 5 ms."""


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

    @classmethod
    def of(cls, document: bytes, reason: str, *, session_id: str | None = None, request_id: str = "") -> "DeadLetter":
        """A new one, with as much of the document as is kept."""
        return cls(
            id=_id_of(document),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            reason=reason,
            payload=document[:MAX_PAYLOAD_BYTES].decode(errors="replace"),
            session_id=session_id,
            request_id=request_id,
        )

    def dump(self) -> str:
        """The entry in Redis."""
        return json.dumps(asdict(self))

    @property
    def is_whole(self) -> bool:
        """Whether the payload is the document as it was pushed: not cut, and no byte of it replaced."""
        return _id_of(self.payload.encode(errors="replace")) == self.id


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter, and the bytes that it is in Redis."""

    raw: bytes
    letter: DeadLetter
    place: int | None = None
    """How many older ones there were when it was read, if that is known."""


@dataclass(frozen=True, slots=True)
class DeadLetterAdded:
    """An event: this process has put a document into the dead letters."""

    letter: DeadLetter


class DeadLetters:
    """The list in Redis, newest first."""

    def __init__(self, redis: Redis, events: Events) -> None:
        self._redis = redis
        self._events = events
        self._read_some = redis.register_script(load_script("queue", "read_dead_letters"))
        self._end = redis.register_script(load_script("queue", "end_dead_letters"))

    async def add(
        self, document: bytes, reason: str, *, session_id: str | None = None, request_id: str = ""
    ) -> DeadLetter:
        """Keep the document and say so in the log. Raises redis errors."""
        letter = DeadLetter.of(document, reason, session_id=session_id, request_id=request_id)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(keys.DEAD_LETTERS, letter.dump())
            pipe.ltrim(keys.DEAD_LETTERS, 0, MAX_LETTERS - 1)
            await pipe.execute()
        await self.announce(letter)
        return letter

    async def announce(self, letter: DeadLetter) -> None:
        """Say in the log and to the subscribers that the dead letter has been added."""
        log.error(
            "dead letter",
            letter=letter.id,
            reason=letter.reason,
            session_id=letter.session_id,
            request_id=letter.request_id,
        )
        await self._events.publish(DeadLetterAdded(letter))

    async def list(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The newest ones. Raises redis errors, like all that follow."""
        found: list[DeadLetter] = []
        while len(found) < limit and (page := await self.read(len(found))):
            found += [entry.letter for entry in page]
        return found[:limit]

    async def find(self, letter_id: str) -> Sequence[Entry]:
        """All entries with that id, the newest first: a document that was pushed several times has several."""
        found: deque[Entry] = deque()
        passed = 0
        while page := await self.read(passed):
            found.extend(entry for entry in page if entry.letter.id == letter_id)
            passed += len(page)
        return found

    async def read(self, passed: int, *, oldest_first: bool = False) -> Sequence[Entry]:
        """Some entries behind the `passed` newest or oldest ones; none at the end."""
        end = "oldest" if oldest_first else "newest"
        found = await self._read_some(keys=[keys.DEAD_LETTERS], args=[passed, end, PAGE, PAGE_BYTES])
        return [
            Entry(raw, _read(raw), passed + number if oldest_first else None)
            for number, raw in enumerate(cast("list[bytes]", found))
        ]

    async def end(self, entries: Mapping[Entry, bool], audit_entry: str) -> Sequence[Entry]:
        """Forget entries, oldest first; those with True are pushed like new tasks in the same step of Redis.

        `audit_entry` goes to the audit log with each step, with the ids of its letters.

        Returns those that were still there: of two callers at the same time, one gets and pushes an entry. A document
        must be whole to be pushed.
        """
        ended: deque[Entry] = deque()
        gone = 0
        for batch in _batches(entries):
            args: list[bytes | str | int] = [f"ended:{secrets.token_hex(16)}", audit_entry]
            for entry in batch:
                where = "" if entry.place is None else gone - entry.place - 1
                args += [entry.raw, where, entry.letter.payload if entries[entry] else "", entry.letter.id]
            done = await self._end(keys=[keys.DEAD_LETTERS, keys.TASKS], args=args)
            gone += len(batch)
            ended.extend(entry for entry, there in zip(batch, cast("list[int]", done), strict=True) if there)
        return ended


def _batches(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    """Entries in steps that do not hold Redis up."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += 2 * len(entry.raw)
        if len(batch) == BATCH or size > PAGE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _id_of(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()[:12]


def _read(raw: bytes) -> DeadLetter:
    """Fields of a newer version are left out; what is no dead letter is shown as one."""
    try:
        found = json.loads(raw)
        known = {field.name: found[field.name] for field in fields(DeadLetter) if field.name in found}
        if not all(
            isinstance(value, str) for name, value in known.items() if name != "session_id" or value is not None
        ):
            raise TypeError("a dead letter has texts only")
        return DeadLetter(**known)
    except (ValueError, TypeError, RecursionError):
        return DeadLetter(_id_of(raw), "", "this entry is no dead letter", raw.decode(errors="replace"))
