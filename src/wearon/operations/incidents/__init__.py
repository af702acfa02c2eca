"""What is wrong with the fleet: pure rules that turn its status into incidents, and the one rule for "ok".

Each module has rules of one area, `find`, and the kinds of incidents that they make, `KINDS`. A new area is a module
with these two and a place in both tuples here; `docs/operations.md` has a row for each kind.
"""

from collections.abc import Callable, Iterator

from wearon.operations.incident_model import Incident, Severity
from wearon.operations.incidents import (
    books,
    components,
    dependencies,
    image_models,
    money,
    outcome,
    pauses,
    queue,
    retention,
)
from wearon.operations.incidents.costs import with_cost
from wearon.operations.incidents.dependencies import with_its_end
from wearon.operations.models import FleetStatus

__all__ = ["KINDS", "find_incidents", "is_well", "with_cost", "with_its_end", "worst_first"]

Rule = Callable[[FleetStatus], Iterator[Incident]]

RULES: tuple[Rule, ...] = (
    pauses.find,
    dependencies.find,
    money.find,
    books.find,
    queue.find,
    components.find,
    outcome.find,
    image_models.find,
    retention.find,
)
"""Among incidents of the same severity, those of the first area come first."""

KINDS = {
    kind.code: kind
    for kinds in (
        pauses.KINDS,
        dependencies.KINDS,
        money.KINDS,
        books.KINDS,
        queue.KINDS,
        components.KINDS,
        outcome.KINDS,
        image_models.KINDS,
        retention.KINDS,
    )
    for kind in kinds
}
"""All that there can be, by code."""


def find_incidents(fleet: FleetStatus) -> list[Incident]:
    """The incidents of this moment, the worst first."""
    return worst_first([incident for rule in RULES for incident in rule(fleet)])


def worst_first(incidents: list[Incident]) -> list[Incident]:
    """Sorted by severity; among those of the same one, nothing moves."""
    return sorted(incidents, key=lambda incident: incident.severity != Severity.CRITICAL)


def is_well(incidents: list[Incident]) -> bool:
    """Whether work goes on and no refund is late: the one rule for "ok", here and in `/health`."""
    return not any(incident.severity == Severity.CRITICAL for incident in incidents)
