"""An incident: something wrong that an operator should act on, with all that a card, a terminal and an alarm tell."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel

SERVICES = {"redis": "Redis", "supabase": "Supabase", "openai": "OpenAI", "machine": "the machine"}
"""By how the codes of incidents about them begin."""


class Severity(StrEnum):
    """How bad an incident is."""

    CRITICAL = "critical"
    """Sessions fail or wait for it, or a refund is late: the status is degraded."""
    WARNING = "warning"
    """Somebody should look, though not in the middle of the night."""


class Action(BaseModel):
    """One thing that an operator can do about an incident: a button in the console, and a command for a terminal."""

    label: str
    view: str | None = None
    """What the button opens in the console, such as `desk` or `sessions?reason=openai`."""
    call: str | None = None
    """What the button posts instead, below `/console/api/`, such as `refunds/retry`."""
    body: dict[str, str] = {}
    """The JSON that is posted."""
    command: str | None = None
    """Such as `wearon refunds list`."""


class Cost(BaseModel):
    """What an incident has cost since it began, as far as the counters know."""

    failed: int = 0
    """Sessions."""
    refunded: int = 0
    """Sessions whose credit was refunded."""
    retried: int = 0
    """Attempts that go on later."""
    cost_usd: Decimal = Decimal(0)
    """Paid for pictures that no shopper got."""
    cause: str = ""
    """How the causes begin that are counted: with `failed:` or `retried:` before it a filter of the session list.
    Empty: all but those that are expected."""


class Incident(BaseModel):
    """One incident. Times are ISO 8601 in UTC."""

    code: str
    """Stable: alarms, documentation and other programs name an incident by it."""
    severity: Severity
    title: str
    """One sentence."""
    detail: str = ""
    """What exactly was said or measured."""
    since: AwareDatetime
    affected: int | None = None
    of: int | None = None
    """So many of how many are affected; None: not known, or there is nothing to count."""
    what: str = ""
    """What is counted, such as `processes`."""
    cost: Cost = Cost()
    if_nothing_is_done: str
    what_to_do: str
    actions: list[Action] = []
    tenant: str | None = None
    model: str | None = None
    component: str | None = None
    workers: list[str] = []
    """Whom it is about, where it is not about all."""
    recovered_at: AwareDatetime | None = None
    """When it ended; None: it goes on."""
    last_refused_at: AwareDatetime | None = None
    """The last refusal of all processes, noted at its end. The service may have been back since then. None: unknown."""
    answered_again_at: AwareDatetime | None = None
    """The first success of a process after that refusal, noted at its end: the service was back. None: unknown."""

    @property
    def key(self) -> str:
        """Tells incidents apart that have the same code."""
        about = self.tenant or self.model or self.component
        return f"{self.code}:{about}" if about else self.code

    @property
    def after_last_refusal_s(self) -> float | None:
        """How long after the last refusal it ended: at most so long after the service was back. None: unknown."""
        return self._ended_after_s(self.last_refused_at)

    @property
    def after_answer_s(self) -> float | None:
        """How long after the service was back it ended. None: unknown."""
        return self._ended_after_s(self.answered_again_at)

    @property
    def after_what(self) -> str:
        """What came before the end, such as "Supabase came back"; empty when it is not known."""
        if self.answered_again_at is not None:
            return f"{SERVICES.get(self.code.partition('_')[0], 'it')} came back"
        return "" if self.last_refused_at is None else "the last refusal"

    def _ended_after_s(self, moment: datetime | None) -> float | None:
        if self.recovered_at is None or moment is None:
            return None
        return round(max(0.0, (self.recovered_at - moment).total_seconds()), 1)


@dataclass(frozen=True, slots=True)
class IncidentKind:
    """What all incidents of one code have in common."""

    code: str
    severity: Severity
    if_nothing_is_done: str
    what_to_do: str
    actions: tuple[Action, ...] = ()

    def incident(self, title: str, since: datetime, **more: Any) -> Incident:
        """An incident of this kind. `more` are other fields, which replace those of the kind."""
        fields = {
            "code": self.code,
            "severity": self.severity,
            "if_nothing_is_done": self.if_nothing_is_done,
            "what_to_do": self.what_to_do,
            "actions": list(self.actions),
        }
        return Incident(title=title, since=since, **{**fields, **more})
