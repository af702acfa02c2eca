"""Whether old pictures are deleted as promised."""

from collections.abc import Iterator

from wearon.operations.incident_model import Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.operations.retention.rounds import Round
from wearon.operations.words import duration, plural

BEHIND = IncidentKind(
    "retention_behind",
    Severity.WARNING,
    "Shoppers' pictures are kept for longer than they were promised.",
    "The log of the workers says why (`retention postponed`, `old pictures deleted`). `wearon retention` deletes now.",
)
KINDS = (BEHIND,)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """An incident while there may be pictures older than twice what is promised."""
    newest = fleet.retention
    if newest is not None and fleet.at > newest.behind_since():
        yield BEHIND.incident(
            f"There may be pictures that are more than {2 * newest.hours:g} hours old; {newest.hours:g} are promised.",
            newest.behind_since(),
            detail=newest.error,
        )


def summary(newest: Round, fleet: FleetStatus) -> str:
    """The newest round in one line."""
    ago = duration((fleet.at - newest.at).total_seconds())
    trouble = f"; {newest.error}" if newest.error else ""
    deleted = f"{plural(newest.results, 'result')} and {plural(newest.uploads, 'upload')} deleted {ago} ago"
    return deleted + (trouble or ("" if newest.is_whole else "; to be gone on with"))
