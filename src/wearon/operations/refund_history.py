"""Whether the shopper got the credit back, from what outbox and ledger hold and nothing else. Pure rules."""

from collections.abc import Callable, Sequence

from wearon.operations.models import LedgerLine, RefundHistory, RefundState
from wearon.operations.words import duration
from wearon.platform.base import LedgerEntryType, Session, Status
from wearon.refunds.intents import NeedsReview, Outstanding


def tell_refund(
    session: Session,
    clean: Callable[[str], str],
    ledger: Sequence[LedgerLine] = (),
    outstanding: Outstanding | None = None,
    by_hand: NeedsReview | None = None,
) -> RefundHistory:
    """Where the credit is, and the evidence. `clean` removes what must not be seen.

    `ledger`: the rows of its charge, cleaned already.
    """
    state, sentence = _judge(session, ledger, outstanding, by_hand)
    error = outstanding.error if outstanding else ""
    return RefundHistory(
        state=state,
        sentence=clean(sentence),
        evidence=list(ledger),
        last_error=clean(error) if error and state is RefundState.OUTSTANDING else None,
    )


def _judge(
    session: Session, ledger: Sequence[LedgerLine], outstanding: Outstanding | None, by_hand: NeedsReview | None
) -> tuple[RefundState, str]:
    if session.status is Status.COMPLETED:
        return RefundState.NOT_OWED, "Nothing to refund: the picture was made."
    if session.status is not Status.FAILED:
        return RefundState.NOT_OWED, "Nothing to refund yet: the session is still open."
    if session.credits_used <= 0:
        return RefundState.NOT_OWED, "Nothing to refund: no credit was taken."
    # The ledger counts before the outbox: an intent may outlive its refund for a moment, and a person may have paid.
    if any(line.type == LedgerEntryType.REFUND for line in ledger):
        return RefundState.GIVEN_BACK, f"{_credits(session.credits_used)} refunded: the ledger says so."
    if outstanding is not None:
        age = duration(outstanding.intent.age_s)
        return RefundState.OUTSTANDING, f"The refund has been outstanding for {age}: it is tried until it succeeds."
    if by_hand is not None:
        return RefundState.BY_HAND, f"The refund needs review: {by_hand.why}."
    return RefundState.NOT_SEEN, "No refund is in the ledger, and none is on its way: check the ledger."


def _credits(number: int) -> str:
    return "1 credit was" if number == 1 else f"{number} credits were"
