"""What is kept of a refund that is owed: an entry of the outbox in Redis, written before anything is done about it."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum

from wearon.observability.tracing import outgoing_headers
from wearon.platform.base import Channel, SessionRef

LATE_S = 30.0
"""An intent older than this is an alarm: the contract with the shopper is a refund within 30 s."""

SETTLED_S = 3600
"""How long a settled intent is remembered: longer than any process goes on with one that it holds. Only then an intent
that is not in the outbox can be told from one that a failover lost. (One that is settled twice pays once all the same:
the ledger says so.)"""


@dataclass(frozen=True, slots=True)
class Intent:
    """One session that is to be failed and refunded."""

    channel: Channel
    owner_id: str
    session_id: str
    request_id: str
    error_message: str
    """What the shopper reads."""
    reason: str
    """What the operator reads."""
    completed_at: str
    """ISO 8601 with microseconds: the stamp by which we know our own transition again."""
    traceparent: str | None = None
    """The trace of the run that failed: a later try belongs to it."""

    @property
    def ref(self) -> SessionRef:
        """The session and its owner."""
        return SessionRef(self.channel, self.owner_id, self.session_id)

    @property
    def key(self) -> str:
        """One intent a session."""
        return intent_key(self.ref)

    @property
    def stamp(self) -> datetime:
        """`completed_at` as a point in time."""
        return datetime.fromisoformat(self.completed_at)

    @property
    def age_s(self) -> float:
        """Seconds since the generation failed."""
        return (datetime.now(UTC) - self.stamp).total_seconds()

    @property
    def is_late(self) -> bool:
        """Whether the shopper has waited for longer than was promised."""
        return self.age_s > LATE_S


class Settled(StrEnum):
    """What became of a refund intent."""

    REFUNDED = "given_back"
    ALREADY_REFUNDED = "already_given_back"
    """The ledger had the refund."""
    NOTHING_OWED = "nothing_owed"
    """Nothing was taken."""
    NOT_OURS = "not_ours"
    """The session was ended otherwise, or there is no such session of that owner."""
    NEEDS_REVIEW = "by_hand"
    POSTPONED = "postponed"
    """It stays in the outbox."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a refund intent, and in `detail` what was refunded to whom, or why not; no e-mail address."""

    settled: Settled
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RefundSettled:
    """An event: a refund intent was settled, or postponed."""

    ref: SessionRef
    request_id: str
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An intent that is not settled, and why the last try did not succeed (empty: not known)."""

    intent: Intent
    error: str


@dataclass(frozen=True, slots=True)
class NeedsReview:
    """A failed session whose charge cannot be refunded as credit: only a person can settle it."""

    intent: Intent
    why: str


def new_intent(ref: SessionRef, request_id: str, error_message: str, reason: str) -> Intent:
    """The intent to fail and refund the session, stamped now."""
    return Intent(
        ref.channel,
        ref.owner_id,
        ref.session_id,
        request_id,
        error_message,
        reason,
        datetime.now(UTC).isoformat(timespec="microseconds"),
        outgoing_headers().get("traceparent"),
    )


def intent_key(ref: SessionRef) -> str:
    """A session's field in the outbox: it has one intent at most."""
    return f"{ref.channel}:{ref.session_id}"


def dump(intent: Intent) -> str:
    """The entry, as JSON."""
    return json.dumps(asdict(intent))


def read_intent(entry: bytes | None) -> Intent | None:
    """The intent of an entry, without fields of a newer version; None for no entry, and for one that cannot be read."""
    try:
        found = json.loads(entry or b"")
        known = {field.name: found[field.name] for field in fields(Intent) if field.name in found}
        intent = Intent(**known | {"channel": Channel(known["channel"])})
        return intent if intent.stamp.tzinfo is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
