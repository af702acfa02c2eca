"""Reading the refund intents that lie in Redis: those that wait in the outbox, and those that need review."""

import json
from collections.abc import Sequence
from typing import cast

import structlog
from redis.asyncio import Redis

from wearon.platform.base import SessionRef
from wearon.queue import keys
from wearon.queue.audit_log import MAX_NAMED
from wearon.redis.scripts import load_script
from wearon.refunds.intents import Intent, NeedsReview, Outstanding, intent_key, read_intent

log = structlog.get_logger()


class RefundIntents:
    """The intents of all processes. All methods raise redis errors."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def pending(self) -> Sequence[Intent]:
        """All intents that are not settled, oldest first."""
        return [intent for intent, _ in await self._read(keys.REFUNDS)]

    async def outstanding(self) -> Sequence[Outstanding]:
        """The intents in the outbox, each with the last try's error."""
        errors = cast("dict[bytes, bytes]", await self._redis.hgetall(keys.REFUND_ERRORS))
        return [
            Outstanding(intent, errors.get(intent.key.encode(), b"").decode(errors="replace"))
            for intent in await self.pending()
        ]

    async def in_review(self) -> Sequence[NeedsReview]:
        """The charges that only a person can settle, oldest first."""
        return [_needs_review(intent, entry) for intent, entry in await self._read(keys.REFUNDS_IN_REVIEW)]

    async def outstanding_of(self, ref: SessionRef) -> Outstanding | None:
        """The session's intent, with the last try's error; None: there is none that can be read."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.REFUNDS, intent_key(ref))
            pipe.hget(keys.REFUND_ERRORS, intent_key(ref))
            entry, error = await pipe.execute()
        intent = read_intent(entry)
        return None if intent is None else Outstanding(intent, (error or b"").decode(errors="replace"))

    async def in_review_of(self, ref: SessionRef) -> NeedsReview | None:
        """The session's case if it needs review; None: there is none that can be read."""
        entry = cast("bytes | None", await self._redis.hget(keys.REFUNDS_IN_REVIEW, intent_key(ref)))
        intent = read_intent(entry)
        return None if entry is None or intent is None else _needs_review(intent, entry)

    async def resolve(self, intents: Sequence[Intent], audit_entry: str) -> Sequence[Intent]:
        """A person has settled the charges: forget the cases. Returns those that were still there.

        `audit_entry` goes to the audit log with each step, with the sessions concerned.
        """
        end_reviews = self._redis.register_script(load_script("queue", "resolve_reviews"))
        resolved: list[Intent] = []
        for start in range(0, len(intents), MAX_NAMED):
            some = intents[start : start + MAX_NAMED]
            args = [audit_entry, *(text for intent in some for text in (intent.key, intent.session_id))]
            there = cast("list[int]", await end_reviews(keys=[keys.REFUNDS_IN_REVIEW], args=args))
            resolved += [intent for intent, was_there in zip(some, there, strict=True) if was_there]
        return resolved

    async def _read(self, name: str) -> Sequence[tuple[Intent, bytes]]:
        """Intents with their entries, oldest first. One that cannot be read stays, and keeps no other one waiting."""
        found = []
        for key, entry in cast("dict[bytes, bytes]", await self._redis.hgetall(name)).items():
            if (intent := read_intent(entry)) is None:
                log.error("refund intent cannot be read", intent=key.decode(errors="replace"))
            else:
                found.append((intent, entry))
        return sorted(found, key=lambda each: each[0].completed_at)


def _needs_review(intent: Intent, entry: bytes) -> NeedsReview:
    return NeedsReview(intent, str(json.loads(entry).get("why", "")))
