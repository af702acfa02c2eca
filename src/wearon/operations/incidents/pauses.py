"""Pauses: shoppers wait, and an operator must know that."""

from collections.abc import Iterator

from wearon.operations.incident_model import Action, Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.operations.words import plural
from wearon.queue.pauses import FLEET, PROBE_S, Pause

WAITING = (
    "Jobs that run go on, and no other is started. A job that had begun before fails at its deadline, with one refund;"
    " the platform's cron fails b2c sessions after 10 minutes."
)
PAUSED = IncidentKind("paused", Severity.WARNING, WAITING, "Resume when what it was paused for is over.")
PAUSED_BY_ITSELF = IncidentKind(
    "paused_by_itself",
    Severity.CRITICAL,
    WAITING,
    f"Put right what is refused. One job in {PROBE_S:.0f} s tries, and the fleet goes on by itself when it succeeds; to"
    " go on at once, resume.",
)
KINDS = (PAUSED, PAUSED_BY_ITSELF)

SHOWN = 10
"""Paused tenants that are incidents of their own: the longest."""


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """One incident for each pause."""
    for pause in sorted(fleet.pauses, key=lambda pause: (pause.tenant != FLEET, pause.since_ms))[:SHOWN]:
        yield _incident(pause, fleet)


def _incident(pause: Pause, fleet: FleetStatus) -> Incident:
    whole = pause.tenant == FLEET
    store = pause.tenant.removeprefix("b2b:")
    who = "The fleet" if whole else "b2c" if pause.tenant == store else f"Store {store}"
    near = fleet.near_cron if whole or pause.tenant == store else []
    cron = f"The platform's cron soon fails {plural(len(near), 'b2c session')}: {', '.join(near)}." if near else ""
    told = "by itself" if pause.is_own else f"by {pause.by}" if pause.by else "by an operator"
    return (PAUSED_BY_ITSELF if pause.is_own else PAUSED).incident(
        f"{who} is paused {told}: {pause.reason or 'no reason was given'}.",
        pause.since,
        detail=cron,
        affected=fleet.queues.waiting if whole and fleet.queues else None,
        what="waiting tasks" if whole else "",
        tenant=None if whole else pause.tenant,
        actions=[
            Action(
                label="Resume",
                call="resume",
                body={} if whole else {"store": store},
                command="wearon resume" + ("" if whole else f" --store {store}"),
            )
        ],
    )
