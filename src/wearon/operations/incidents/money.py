"""Refunds that are late, or that only a person can settle."""

from collections.abc import Iterator
from datetime import timedelta

from wearon.operations.incident_model import Action, Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.operations.words import duration, plural
from wearon.refunds.intents import LATE_S

LATE = IncidentKind(
    "refunds_late",
    Severity.CRITICAL,
    "The worker goes on trying. Shoppers have paid for a picture that they did not get.",
    "Read the last error of each refund; it is mostly Supabase. When it is back, retry them.",
    (
        Action(label="Retry refunds now", call="refunds/retry", command="wearon refunds retry"),
        Action(label="Show refunds", view="desk", command="wearon refunds list"),
    ),
)
IN_REVIEW = IncidentKind(
    "refunds_in_review",
    Severity.WARNING,
    "They stay as they are: the worker cannot settle them by itself.",
    "Settle each with the shop or the shopper, then note it as put right.",
    (Action(label="Show refunds", view="desk", command="wearon refunds list"),),
)
KINDS = (LATE, IN_REVIEW)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Incidents of the refunds."""
    queues = fleet.queues
    if queues is None:
        return
    oldest_s = queues.oldest_refund_s or 0.0
    if oldest_s > LATE_S:
        yield LATE.incident(
            f"The oldest refund has been outstanding for {duration(oldest_s)}: it must not take {LATE_S:.0f} s.",
            fleet.at - timedelta(seconds=oldest_s),
            affected=queues.refunds,
            what="refunds outstanding",
        )
    if queues.refunds_by_hand:
        yield IN_REVIEW.incident(
            f"{plural(queues.refunds_by_hand, 'refund')} to be reviewed.",
            fleet.at,
            affected=queues.refunds_by_hand,
            what="refunds",
        )
