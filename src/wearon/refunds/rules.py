"""Which credit is owed for a failed generation: read from the ledger, never guessed. Pure rules, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from wearon.platform.base import (
    Channel,
    LedgerEntry,
    LedgerEntryType,
    Refund,
    Session,
    SessionRef,
    ShopperRefund,
    StoreRefund,
    UserRefund,
)

SHOPPER = "(shopper="
"""How a deduction names the shopper whose credit it took, at the end of its description (the contract)."""


@dataclass(frozen=True, slots=True)
class NothingOwed:
    """Nothing was taken, or it has been refunded already."""

    why: str
    already_refunded: bool = False


@dataclass(frozen=True, slots=True)
class ReviewNeeded:
    """There is no credit to refund, and a person has to look at it."""

    why: str


Verdict = Refund | NothingOwed | ReviewNeeded


def refund_description(ref: SessionRef) -> str:
    """What the ledger says of a refund: by the session's id it is found again."""
    return f"Refund: generation failed (session {ref.session_id})"


def what_is_owed(session: Session, entries: Sequence[LedgerEntry]) -> Verdict:
    """Decide from the session and the ledger rows of its charge.

    b2c: `credits_used` to the user, unless a refund already carries the session id. b2b: to whom the deduction
    row of the session's request was charged; without one (an overage, or nothing at all) nothing is given.
    """
    if any(entry.type is LedgerEntryType.REFUND for entry in entries):
        return NothingOwed("the refund is in the ledger already", already_refunded=True)
    if session.credits_used <= 0:
        return NothingOwed(f"credits_used is {session.credits_used}")
    owner_id = session.ref.owner_id
    description = refund_description(session.ref)
    if session.ref.channel is Channel.B2C:
        return UserRefund(owner_id, session.credits_used, description)
    if session.request_id is None:
        return ReviewNeeded("the session has no request_id, so its charge cannot be found in the ledger")
    deduction = next((entry for entry in entries if entry.type is LedgerEntryType.DEDUCTION), None)
    if deduction is None:
        overage = any(entry.type is LedgerEntryType.OVERAGE for entry in entries)
        return ReviewNeeded("charged in money as an overage" if overage else "the ledger has no deduction for it")
    if email := _shopper(deduction.description):
        return ShopperRefund(owner_id, email, session.credits_used, session.request_id, description)
    if SHOPPER in deduction.description:
        return ReviewNeeded("the deduction names a shopper in a way that cannot be read")
    return StoreRefund(owner_id, session.credits_used, session.request_id, description)


def _shopper(description: str) -> str:
    """The e-mail address in `(shopper=<email>)` at the end of a description, "" where there is none."""
    *_, last_word = ("", *description.split())
    return last_word.removesuffix(")").partition(SHOPPER)[2] if last_word.endswith(")") else ""
