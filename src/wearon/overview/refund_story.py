"""Did the shopper get the credit back? Said from what outbox and ledger hold, and from nothing else. Pure rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wearon.overview.models import LedgerLine, RefundState, RefundStory
from wearon.overview.problems import duration
from wearon.platform.base import LedgerEntryType, Session, Status
from wearon.tryon.refund_intents import NeedsAPerson, Outstanding


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """What is known. `ledger`: the rows of the session's charge, masked already."""

    session: Session
    ledger: Sequence[LedgerLine] = ()
    outstanding: Outstanding | None = None
    by_hand: NeedsAPerson | None = None


def tell_refund(facts: RefundFacts, clean: Callable[[str], str]) -> RefundStory:
    """The answer, with what says so. `clean` takes out what must not be seen."""
    state, sentence = _judge(facts)
    error = facts.outstanding.error if facts.outstanding else ""
    return RefundStory(
        state=state,
        sentence=clean(sentence),
        evidence=list(facts.ledger),
        last_error=clean(error) if error and state is RefundState.OUTSTANDING else None,
    )


def _judge(facts: RefundFacts) -> tuple[RefundState, str]:
    session = facts.session
    if session.status is Status.COMPLETED:
        return RefundState.NOT_OWED, "Nothing to give back: the picture was made."
    if session.status is not Status.FAILED:
        return RefundState.NOT_OWED, "Nothing to give back yet: the session is still open."
    if session.credits_used <= 0:
        return RefundState.NOT_OWED, "Nothing to give back: no credit was taken."
    # The ledger before the outbox: an intent may outlive its refund for a moment, and a person may have paid by hand.
    if any(line.type == LedgerEntryType.REFUND for line in facts.ledger):
        return RefundState.GIVEN_BACK, f"{_credits(session.credits_used)} given back: the ledger has the refund."
    if facts.outstanding is not None:
        age = duration(facts.outstanding.intent.age_s)
        return RefundState.OUTSTANDING, f"Still to be given back, for {age} now: it is tried until it succeeds."
    if facts.by_hand is not None:
        return RefundState.BY_HAND, f"A person has to put it right: {facts.by_hand.why}."
    return RefundState.NOT_SEEN, "No refund is in the ledger, and none is on its way: look into it."


def _credits(number: int) -> str:
    return "1 credit was" if number == 1 else f"{number} credits were"
