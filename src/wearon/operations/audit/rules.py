"""Whether a session's books agree: what was taken, what was refunded, what was stored and paid. Pure rules, no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from wearon.operations.audit.books import Finding, Kind
from wearon.operations.entries import Entry, RunEntry
from wearon.operations.words import plural
from wearon.platform.base import LedgerEntry, LedgerEntryType, Session, Status
from wearon.platform.session_moves import COST_STEP
from wearon.refunds.rules import NothingOwed, ReviewNeeded, what_is_owed
from wearon.tryon.retry_policy import SHOPPER_MESSAGES
from wearon.tryon.run import Outcome, StepName


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an ended session."""

    session: Session
    ledger: Sequence[LedgerEntry] = ()
    elsewhere: Sequence[LedgerEntry] = ()
    """Refunds that name it, of any owner; they are only asked for when its own is missing."""
    is_on_its_way: bool = False
    """A refund intent of it is in the outbox, or was when the session was read."""
    has_picture: bool | None = None
    """None: it need not be there any more."""
    history: Sequence[Entry] | None = None
    """None: the history does not reach back so far."""


def judge(facts: Facts) -> Iterator[Finding]:
    """What does not agree about a session."""
    rules = _failed(facts) if facts.session.status is Status.FAILED else _completed(facts)
    for kind, detail in (*rules, *_paid_calls(facts)):
        ref = facts.session.ref
        yield Finding(
            kind=kind,
            session_id=ref.session_id,
            channel=ref.channel.value,
            owner_id=ref.owner_id,
            created_at=facts.session.created_at,
            detail=detail,
        )


def was_failed_by_us(session: Session) -> bool:
    """Whether its refund is ours to make: the party that fails a session owns the refund, and says why in its words."""
    return session.completed_at is not None and session.error_message in SHOPPER_MESSAGES


def _failed(facts: Facts) -> Iterator[tuple[Kind, str]]:
    session = facts.session
    refunds = [entry for entry in facts.ledger if entry.type is LedgerEntryType.REFUND]
    others = [entry for entry in facts.elsewhere if entry.owner_id != session.ref.owner_id]
    if others:
        yield Kind.REFUND_OF_ANOTHER, f"the refund went to {others[0].owner_id}"
    if refunds:
        yield from _amounts(refunds, session.credits_used)
        return
    owed = what_is_owed(session, facts.ledger)
    if isinstance(owed, NothingOwed | ReviewNeeded) or facts.is_on_its_way or not was_failed_by_us(session):
        return
    yield Kind.REFUND_MISSING, f"{owed.amount} owed, and no refund is in the ledger or on its way"


def _amounts(refunds: Sequence[LedgerEntry], taken: int) -> Iterator[tuple[Kind, str]]:
    amounts = [abs(entry.amount) for entry in refunds if entry.amount is not None]
    refunded = sum(amounts) if len(amounts) == len(refunds) else taken * len(refunds)
    if refunded != taken:
        kind = Kind.REFUNDED_TWICE if len(refunds) > 1 and refunded > taken else Kind.REFUND_AMOUNT
        yield kind, f"{plural(len(refunds), 'refund')} of {refunded} in all, and {plural(taken, 'credit')} taken"


def _completed(facts: Facts) -> Iterator[tuple[Kind, str]]:
    refunds = [entry for entry in facts.ledger if entry.type is LedgerEntryType.REFUND]
    if refunds:
        yield Kind.REFUND_OF_COMPLETED, f"the ledger has {plural(len(refunds), 'refund')}"
    if facts.has_picture is False:
        yield Kind.PICTURE_MISSING, f"nothing is at {facts.session.ref.picture_path}"
    if facts.history is None:
        return
    ends = [run for run in _runs(facts.history) if run.outcome is Outcome.COMPLETED]
    if not ends:
        yield Kind.HISTORY_MISSING, "the history has no attempt that completed"
    elif _cents(ends[-1].cost_usd) != _cents(facts.session.estimated_cost_usd):
        costs = f"{ends[-1].cost_usd} USD in the history, {facts.session.estimated_cost_usd} USD in the session"
        yield Kind.HISTORY_COST, costs


def _paid_calls(facts: Facts) -> Iterator[tuple[Kind, str]]:
    paid = sum(step.name is StepName.GENERATE and step.ok for run in _runs(facts.history or ()) for step in run.steps)
    if paid > 1:
        yield Kind.PAID_TWICE, f"{paid} requests to the image model were answered"


def _runs(history: Sequence[Entry]) -> Sequence[RunEntry]:
    return [entry for entry in history if isinstance(entry, RunEntry)]


def _cents(cost: Decimal | None) -> Decimal | None:
    return None if cost is None else cost.quantize(COST_STEP)
