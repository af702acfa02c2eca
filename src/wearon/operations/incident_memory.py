"""What the fleet remembers of incidents, so that every process tells the same: since when, and when it was over.

Pure: it compares what the rules find with what Redis holds, and says what to change there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from wearon.operations.incident_model import Incident
from wearon.operations.incidents.components import SEEN_HERE
from wearon.operations.readable import read

SHOWN = timedelta(minutes=15)
"""How long an incident that is over is shown as recovered."""

SAME = timedelta(seconds=60)
"""One that begins again within this time is the same: it flickers."""

MOST = 64
"""Incidents that are remembered: a fleet in which more goes wrong needs no longer list."""

MAX_TEXT = 300
"""Characters of a title or a detail."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field of the memory: `before` is what it must hold for `after` to be written."""

    key: str
    before: bytes
    after: Incident | None
    """None: it is forgotten."""
    begins: bool = False
    ends: bool = False

    @property
    def text(self) -> bytes:
        """The incidents as they are written."""
        return self.after.model_dump_json(exclude_defaults=True).encode() if self.after else b""


@dataclass(frozen=True, slots=True)
class Memory:
    """The incidents that are remembered, by key."""

    incidents: Mapping[str, Incident]
    texts: Mapping[str, bytes]

    @classmethod
    def read(cls, texts: Mapping[str, bytes]) -> "Memory":
        """The memory that Redis holds, without what cannot be read."""
        known = {key: incident for key, text in texts.items() if (incident := read(Incident, text)) is not None}
        return cls(known, texts)

    def recall(self, found: Sequence[Incident], at: datetime) -> tuple[list[Incident], list[Incident]]:
        """The incidents that were found, each since it began, and those that are over since a short time."""
        active = [self._since_it_began(incident) for incident in found]
        keys = {incident.key for incident in found}
        over = [self._over(incident, at) for key, incident in self.incidents.items() if key not in keys]
        shown = [one for one in over if one.recovered_at and at - one.recovered_at < SHOWN]
        return active, sorted(shown, key=lambda one: one.recovered_at or at, reverse=True)

    def changes(self, found: Sequence[Incident], at: datetime, missed: Sequence[Incident] = ()) -> Iterator[Change]:
        """What to write. `missed` began and ended between two looks, or while nothing could be written."""
        keys = set()
        for incident in found:
            if incident.code not in SEEN_HERE:
                keys.add(incident.key)
                yield from self._found(incident)
        for key, incident in self.incidents.items():
            if key not in keys and incident.recovered_at is None:
                yield Change(key, self.texts[key], self._over(incident, at), ends=True)
        for incident in missed:
            before = self.incidents.get(incident.key)
            is_new = before is None or (before.recovered_at and incident.since - before.recovered_at > SAME)
            if is_new and incident.key not in keys:
                over = _short(self._over(incident, at))
                yield Change(incident.key, self.texts.get(incident.key, b""), over, begins=True, ends=True)
        yield from self._forgotten(keys, at)

    def _found(self, incident: Incident) -> Iterator[Change]:
        before = self.incidents.get(incident.key)
        goes_on = before is not None and before.recovered_at is None
        if before is not None and goes_on and before.severity == incident.severity:
            return
        if len(self.texts) < MOST or incident.key in self.texts:
            after = _short(self._since_it_began(incident))
            yield Change(incident.key, self.texts.get(incident.key, b""), after, begins=not goes_on)

    def _forgotten(self, found: set[str], at: datetime) -> Iterator[Change]:
        for key, text in self.texts.items():
            incident = self.incidents.get(key)
            ended = incident.recovered_at if incident else None
            if key not in found and (incident is None or (ended is not None and at - ended > SHOWN)):
                yield Change(key, text, None)

    def _since_it_began(self, incident: Incident) -> Incident:
        before = self.incidents.get(incident.key)
        if before is None or (before.recovered_at and incident.since - before.recovered_at > SAME):
            return incident
        return incident.model_copy(update={"since": min(before.since, incident.since)})

    def _over(self, incident: Incident, at: datetime) -> Incident:
        return incident.model_copy(update={"recovered_at": incident.recovered_at or at})


def _short(incident: Incident) -> Incident:
    """The incident as it is kept: bounded, and without what the rules add each time."""
    short = {"title": incident.title[:MAX_TEXT], "detail": incident.detail[:MAX_TEXT], "workers": incident.workers[:10]}
    return incident.model_copy(update=short)
