"""What the last audit found, and whether audits are made at all."""

from collections.abc import Iterator
from datetime import timedelta

from wearon.operations.audit.books import Books, Finding, Kind
from wearon.operations.incident_model import Action, Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.operations.words import duration, plural

OVERDUE = timedelta(hours=3)
"""Audits are an hour apart; a platform that is away for a while postpones one."""

MISSING = IncidentKind(
    "books_refund_missing",
    Severity.CRITICAL,
    "Nobody pays them back: shoppers have paid for a picture that they did not get.",
    "`wearon audit --repair` makes the refunds, each once. Then ask why Redis has lost their intents.",
)
WRONG = IncidentKind(
    "books_refund_wrong",
    Severity.WARNING,
    "They stay as they are: a ledger is not changed by us. The audit names them for two days.",
    "See the session's ledger (`wearon session ID`), and settle it with the shop or the shopper.",
)
PICTURE = IncidentKind(
    "books_picture_missing",
    Severity.WARNING,
    "Shoppers whose session completed open a link to nothing.",
    "Look whether something deletes results earlier than after 6 hours.",
)
GONE = IncidentKind(
    "books_session_missing",
    Severity.WARNING,
    "Their pictures were paid for, and no session says so: nobody can see them, and sums over sessions are too low.",
    "Ask what deletes rows of sessions so early (an account that was deleted with all that was its own?).",
)
PAID = IncidentKind(
    "books_paid_calls",
    Severity.WARNING,
    "What the history and the counters say of money is less than what OpenAI charges.",
    "A killed worker leaves one or two. If there are more, look for a Redis that was away or evicts keys.",
)
OLD = IncidentKind(
    "books_not_audited",
    Severity.WARNING,
    "A refund that gets lost meanwhile is not noticed.",
    "The log of the workers says why (`audit postponed`). `wearon audit` makes one now.",
)
KINDS = (MISSING, WRONG, PICTURE, GONE, PAID, OLD)

_FOUND = (
    (MISSING, (Kind.REFUND_MISSING,), "failed session was not refunded", "failed sessions were not refunded"),
    (
        WRONG,
        (Kind.REFUNDED_TWICE, Kind.REFUND_OF_ANOTHER, Kind.REFUND_AMOUNT, Kind.REFUND_OF_COMPLETED),
        "refund is not as it should be",
        "refunds are not as they should be",
    ),
    (PICTURE, (Kind.PICTURE_MISSING,), "completed session has no picture", "completed sessions have no picture"),
    (GONE, (Kind.SESSION_MISSING,), "paid session has no row any more", "paid sessions have no rows any more"),
    (
        PAID,
        (Kind.PAID_TWICE, Kind.HISTORY_MISSING, Kind.HISTORY_COST),
        "paid call is not in the books as it was",
        "paid calls are not in the books as they were",
    ),
)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of the books."""
    books = fleet.books
    if books is None:
        return
    for kind, kinds, one, more in _FOUND:
        count = sum(books.counts.get(each, 0) for each in kinds)
        if count:
            examples = [each for each in books.examples if each.kind in kinds]
            yield kind.incident(
                f"{count} {one if count == 1 else more}.",
                fleet.at,
                detail=", ".join(f"{each.session_id}: {each.detail}" for each in examples),
                actions=[_look_at(each) for each in examples[:1]],
                affected=count,
                of=books.sessions if count <= books.sessions else None,
                what="sessions",
            )
    last = books.at or books.history_from
    if fleet.at - last > OVERDUE:
        ago = duration((fleet.at - last).total_seconds())
        yield OLD.incident(f"The books were last audited {ago} ago.", last + OVERDUE, detail=books.error)


def _look_at(finding: Finding) -> Action:
    """A button that opens the session."""
    view, command = f"sessions/{finding.session_id}", f"wearon session {finding.session_id}"
    return Action(label="Show the first session", view=view, command=command)


def summary(books: Books, fleet: FleetStatus) -> str:
    """The last audit in one line."""
    if books.at is None:
        return "not audited yet"
    found = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in books.counts.items() if count)
    ago = duration((fleet.at - books.at).total_seconds())
    return f"{found or 'in order'}; audited {ago} ago, {plural(books.sessions, 'session')}"
