"""Admission control before the pose processes: how long a call would wait, from the calls that were let in before."""

import time
from dataclasses import dataclass, field

FETCH_S = 0.3
"""How long a call counts before its picture is there. Storage needs a tenth of that, and a caller who waits for a
slow server must not keep others out."""

TYPICAL_RUN_S = 0.08
"""Decoding plus inference on a picture of 512 px: what a picture is taken to cost until calls have been measured."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One call that was let in."""

    kind: str
    typical_s: float
    """Seconds of a process that such a call takes as a rule."""
    taken_at: float = field(default_factory=time.monotonic)
    begun_at: float | None = None
    waiting: bool = False
    """Whether its picture is there and no process has begun with it."""

    def begin(self) -> None:
        """Note that a process has begun with it."""
        self.begun_at = time.monotonic()

    def remaining_s(self) -> float:
        """Seconds of a process that it is still going to take; 0 for one whose picture does not come."""
        now = time.monotonic()
        if self.begun_at is not None:
            # Never quite nothing: it may take longer than as a rule.
            return max(0.2 * self.typical_s, self.typical_s - (now - self.begun_at))
        return self.typical_s if self.waiting or now - self.taken_at < FETCH_S else 0.0


class Admission:
    """The calls that were let in and not answered, and what calls of each kind have taken so far."""

    def __init__(self) -> None:
        self._tickets: set[Ticket] = set()
        self._typical_s: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """How many calls wait for a process."""
        return sum(ticket.waiting for ticket in self._tickets)

    def ahead(self, but: Ticket | None = None) -> list[float]:
        """The seconds of a process that each call, except `but`, is still going to take, if any."""
        return [seconds for ticket in self._tickets if ticket is not but and (seconds := ticket.remaining_s())]

    def enter(self, kind: str, pictures: int = 1) -> Ticket:
        """Admit a call of this kind with this number of pictures."""
        ticket = Ticket(kind, self._typical_s.setdefault(kind, pictures * TYPICAL_RUN_S))
        self._tickets.add(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Forget a call that was answered or given up. A second time does nothing."""
        self._tickets.discard(ticket)

    def clear(self) -> None:
        """Forget all calls."""
        self._tickets.clear()

    def took(self, ticket: Ticket, seconds: float) -> None:
        """Note what a call took.

        A moving average over about ten calls follows a change of load within a second, but not one large photo. Each
        kind has its own: a preview takes ten times as long as an estimate, and must not turn estimates away.
        """
        self._typical_s[ticket.kind] += 0.1 * (seconds - self._typical_s[ticket.kind])
