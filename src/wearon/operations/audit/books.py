"""What an audit finds, and what is kept of the last one: the same models in Redis, in the status and as JSON."""

from enum import StrEnum

from pydantic import BaseModel

from wearon.operations.readable import Moment


class Kind(StrEnum):
    """What does not agree, worst first."""

    REFUND_MISSING = "refund_missing"
    """It failed, its credit was taken, and no refund is in the ledger or on its way."""
    REFUNDED_TWICE = "refunded_twice"
    REFUND_OF_ANOTHER = "refund_of_another"
    """The refund went to another owner."""
    REFUND_AMOUNT = "refund_amount"
    """The refund is not what was taken."""
    REFUND_OF_COMPLETED = "refund_of_completed"
    """The shopper has the picture and the credit."""
    PICTURE_MISSING = "picture_missing"
    """It completed, and its picture is not in Storage although its URL is still valid."""
    SESSION_MISSING = "session_missing"
    """The history knows that its picture was paid for, and the platform has no such session any more."""
    PAID_TWICE = "paid_twice"
    """More than one request for its picture was answered."""
    HISTORY_MISSING = "history_missing"
    """It completed, and the history does not know that its picture was paid for."""
    HISTORY_COST = "history_cost"
    """History and session name different costs."""


REPAIRABLE = frozenset({Kind.REFUND_MISSING})
"""What the refund outbox can settle."""


class Finding(BaseModel):
    """One thing that does not agree."""

    kind: Kind
    session_id: str
    channel: str
    owner_id: str
    created_at: Moment
    detail: str
    """One clause for people."""


class Books(BaseModel):
    """The last audit, in short."""

    at: Moment | None = None
    """When it ended; None: none has ended yet."""
    next_from: Moment
    """Sessions created before this moment have been audited; the next audit begins here."""
    history_from: Moment
    """What ended before this moment is not compared with the history: Redis may have been emptied since."""
    sessions: int = 0
    """How many it looked at."""
    counts: dict[str, int] = {}
    """Findings by kind, worst first."""
    examples: list[Finding] = []
    """The first few findings, worst first."""
    error: str = ""
    """Why the newest audit could not be finished."""
