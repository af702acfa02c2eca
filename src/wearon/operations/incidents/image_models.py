"""Image models whose last day is near."""

from collections.abc import Iterator

from wearon.operations.incident_model import Incident, IncidentKind, Severity
from wearon.operations.models import FleetStatus
from wearon.tryon.openai.last_days import tell_last_day

ENDS = IncidentKind(
    "image_model_ends",
    Severity.WARNING,
    "From that day on a fallback model makes the pictures; without one, none is made.",
    "Try another model, then name it in the setting.",
)
KINDS = (ENDS,)


def find(fleet: FleetStatus) -> Iterator[Incident]:
    """Each model once, and what to do by the place at which it stands."""
    said: set[str] = set()
    for process in fleet.processes:
        for place, model in enumerate(process.image_models):
            words = model.last_day and tell_last_day(model.name, model.last_day, fleet.at.date())
            if words and model.name not in said:
                said.add(model.name)
                setting = "OPENAI_FALLBACK_MODELS" if place else "OPENAI_MODEL"
                title = f"{words}: name another model in {setting}."
                yield ENDS.incident(title, fleet.at, model=model.name)
