"""The line before the pose processes: who is in it, and how long it is going to take."""

import time
from dataclasses import dataclass, field

FETCH_SECONDS = 0.3
"""For so long a caller counts as being in line without having handed in a picture. Storage needs a tenth of that; who
waits for a slow server must not keep others out."""
TYPICAL_RUN_SECONDS = 0.08
"""Decoding plus inference on a picture of 512 px: what a call is taken to cost until calls have been measured."""


@dataclass(slots=True, eq=False)
class Ticket:
    """What the line is expected to do for one caller."""

    seconds: float
    """How long such a call takes as a rule."""
    taken_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    waiting: bool = False
    """Whether the picture is here and no process has begun with it."""

    @property
    def running(self) -> bool:
        """Whether a process has it."""
        return self.started_at is not None

    def start(self) -> None:
        """A process has it now."""
        self.started_at = time.monotonic()

    def remaining(self) -> float:
        """Seconds of a process that it is still going to take; 0 for one whose picture does not come."""
        now = time.monotonic()
        if self.started_at is not None:
            # Never quite nothing: it may take longer than as a rule.
            return max(0.2 * self.seconds, self.seconds - (now - self.started_at))
        return self.seconds if self.waiting or now - self.taken_at < FETCH_SECONDS else 0.0


class Line:
    """Everybody who waits for a process or has one, and what calls have taken so far."""

    def __init__(self) -> None:
        self._tickets: set[Ticket] = set()
        self._run_seconds: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return sum(ticket.waiting for ticket in self._tickets)

    def ahead(self) -> list[float]:
        """Of all who are in it and whose picture comes: seconds of a process that they are still going to take."""
        return [seconds for ticket in self._tickets if (seconds := ticket.remaining())]

    def join(self, kind: str) -> Ticket:
        """One caller more, with a call of this kind."""
        ticket = Ticket(self.typical_seconds(kind))
        self._tickets.add(ticket)
        return ticket

    def join_again(self, ticket: Ticket) -> None:
        """The same caller; twice is as good as once."""
        self._tickets.add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Served, or gone; twice is as good as once."""
        self._tickets.discard(ticket)

    def clear(self) -> None:
        """Nobody is served any more."""
        self._tickets.clear()

    def typical_seconds(self, kind: str) -> float:
        """How long a process needs for a call of this kind."""
        return self._run_seconds.get(kind, TYPICAL_RUN_SECONDS)

    def took(self, kind: str, seconds: float) -> None:
        """So long a process needed for one.

        A moving average over about ten calls: follows a change of load in a second, but not one large photo. One for
        each kind: a preview takes ten times as long as an estimate, and must not turn estimates away.
        """
        typical = self.typical_seconds(kind)
        self._run_seconds[kind] = typical + 0.1 * (seconds - typical)
