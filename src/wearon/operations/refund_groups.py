"""Refunds by cause: the error of the last try, or why a refund needs review. Pure rules."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from pydantic import BaseModel

from wearon.refunds.intents import Intent, NeedsReview, Outstanding

_NUMBER = re.compile(r"[0-9]+")


class RefundGroup(BaseModel):
    """Refunds that have one cause."""

    id: str
    needs_review: bool
    cause: str
    """Of the oldest one; empty: it was not tried yet."""
    refunds: int
    late: int = 0
    """Outstanding for longer than the contract's 30 s."""
    first_at: str


class RefundCase(BaseModel):
    """A refund that is outstanding or needs review, as command line and console say it in JSON."""

    session_id: str
    channel: str
    owner_id: str
    request_id: str
    failed_at: str
    age_s: float
    reason: str
    late: bool = False
    """Outstanding for longer than the contract's 30 s."""
    error: str = ""
    """Outstanding: the error of the last try."""
    why: str = ""
    """Needs review: why it cannot be refunded as credit."""

    @classmethod
    def of(cls, intent: Intent, **more: Any) -> Self:
        """Make the case of an intent; `more` are the fields of its kind."""
        return cls(
            session_id=intent.session_id,
            channel=intent.channel.value,
            owner_id=intent.owner_id,
            request_id=intent.request_id,
            failed_at=intent.completed_at,
            age_s=round(intent.age_s, 1),
            reason=intent.reason,
            **more,
        )


@dataclass(frozen=True, slots=True)
class Refunds:
    """Refunds that are outstanding, and those that need review, oldest first."""

    outstanding: Sequence[Outstanding]
    by_hand: Sequence[NeedsReview]

    @property
    def groups(self) -> Sequence[RefundGroup]:
        """All of them, counted; the largest groups first."""
        found: dict[str, RefundGroup] = {}
        for intent, cause, needs_review in self._causes():
            key = _group(cause, needs_review=needs_review)
            if (group := found.get(key)) is None:
                group = RefundGroup(
                    id=key, needs_review=needs_review, cause=cause, refunds=0, first_at=intent.completed_at
                )
                found[key] = group
            group.refunds += 1
            group.late += intent.is_late and not needs_review
        return sorted(found.values(), key=lambda group: -group.refunds)

    def cases(self, limit: int | None = None) -> tuple[Sequence[RefundCase], Sequence[RefundCase]]:
        """The oldest ones of both kinds, for JSON."""
        return (
            [RefundCase.of(one.intent, late=one.intent.is_late, error=one.error) for one in self.outstanding[:limit]],
            [RefundCase.of(one.intent, why=one.why) for one in self.by_hand[:limit]],
        )

    def of_group(self, group: str) -> Iterator[Intent]:
        """The intents of one group, oldest first."""
        return (one for one, cause, review in self._causes() if _group(cause, needs_review=review) == group)

    def _causes(self) -> Iterable[tuple[Intent, str, bool]]:
        yield from ((case.intent, case.error, False) for case in self.outstanding)
        yield from ((case.intent, case.why, True) for case in self.by_hand)


@lru_cache(maxsize=256)  # after an outage thousands of refunds have one cause
def _group(cause: str, *, needs_review: bool) -> str:
    return hashlib.sha256(f"{needs_review} {_NUMBER.sub('#', cause)}".encode(errors="replace")).hexdigest()[:8]
