"""All connections of one server: they are counted when accepted, and waiting ones make room for new ones."""

from collections import OrderedDict
from time import monotonic
from typing import Protocol

from wearon.metrics import Metrics

OVERFLOW = 32
"""Connections beyond the limit that still get a refusal; further ones are closed at once."""


A_SECOND = 100.0
"""Refusals, for all connections together, and as many answers about the health. Callers who heed `Retry-After` need
fewer: 64 of them come back in a second."""

PROMPT = 100
"""Refusals that are sent at once after a second without any."""

LONGEST_PAUSE_S = 0.9
"""The promise of an answer in under a second holds for refusals, too."""


HURRIED_A_SECOND = 20.0
"""Callers of one address that hang up early: a shop's proxy, whose shoppers close the page, has fewer."""

HURRIED_WAIT_S = 0.25
"""For their requests: less than what makes an honest caller's answer late."""

CLIENTS = 4096
"""Clients that are remembered; the longest silent one is forgotten first."""


class Guest(Protocol):
    """What the crowd needs of a connection."""

    def make_room(self) -> None:
        """Close the connection, to make room for another."""


class Pace:
    """Delays what is asked for without a token, when it is asked for too often."""

    def __init__(self) -> None:
        self._due = 0.0
        self.too_many = False
        """Whether the last one was beyond what can be delayed: its caller did not wait, or there are very many."""

    def pause(self) -> float:
        """Seconds to delay one more answer: 0 as long as there are few.

        Waiting costs nothing. 64 callers without a token that were refused at once, 3,700 times a second, left a
        quarter of their answers to the callers who have one.
        """
        now = monotonic()
        due = max(self._due, now - PROMPT / A_SECOND) + 1 / A_SECOND
        self.too_many = due > now + LONGEST_PAUSE_S
        self._due = min(due, now + LONGEST_PAUSE_S)
        return max(0.0, self._due - now)


class Hurry:
    """Knows the clients that hang up before they are answered, again and again.

    Their requests cost as much as answered ones, and waiting for a delayed refusal is no brake for them. So what they
    ask waits a little before anything is done for it; who is still there then is answered as ever, which others behind
    the same address are.
    """

    def __init__(self) -> None:
        self._due: OrderedDict[str, float] = OrderedDict()

    def note(self, client: str) -> None:
        """Count a request whose answer was not waited for."""
        now = monotonic()
        due = max(self._due.get(client, 0.0), now - 1.0) + 1 / HURRIED_A_SECOND
        self._due[client] = min(due, now + 1.0)
        self._due.move_to_end(client)
        if len(self._due) > CLIENTS:
            self._due.popitem(last=False)

    def pause(self, client: str) -> float:
        """Seconds to wait before the client's next request is looked at."""
        return HURRIED_WAIT_S if self._due.get(client, 0.0) > monotonic() else 0.0


class Crowd:
    """At most `most` connections.

    A connection waits while no complete request of it is being answered: it is silent, drips, or is kept alive. When
    there are too many, the one that waits longest is closed: first one that never sent a request, then one that a proxy
    or a browser keeps alive. Further bytes do not shorten the wait that counts.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._all: set[Guest] = set()
        self._unknown: dict[Guest, None] = {}
        self._known: dict[Guest, None] = {}
        self.refusals, self.health_answers, self.hurry = Pace(), Pace(), Hurry()

    @property
    def size(self) -> int:
        """The number of connections."""
        return len(self._all)

    @property
    def waiting(self) -> int:
        """The number of waiting ones."""
        return len(self._unknown) + len(self._known)

    @property
    def too_large(self) -> bool:
        """Whether there are more than `most`, because no other one waits."""
        return len(self._all) > self._most

    def join(self, guest: Guest) -> bool:
        """Add a new connection; False when there is no room to answer it."""
        while len(self._all) >= self._most and (self._unknown or self._known):
            waiting = self._unknown or self._known
            longest = next(iter(waiting))
            self.leave(longest)
            longest.make_room()
        if len(self._all) >= self._most + OVERFLOW:
            self.count("crowded")
            return False
        self._all.add(guest)
        self._unknown[guest] = None
        self._metrics.http_connections.set(len(self._all))
        return True

    def leave(self, guest: Guest) -> None:
        """Remove an ended connection; a second call does nothing."""
        self._all.discard(guest)
        self._unknown.pop(guest, None)
        self._known.pop(guest, None)
        self._metrics.http_connections.set(len(self._all))

    def works(self, guest: Guest) -> None:
        """Note that a complete request of the connection is being answered."""
        self._unknown.pop(guest, None)
        self._known.pop(guest, None)

    def waits(self, guest: Guest, *, known: bool = False) -> None:
        """Note that the connection waits; `known`: it has sent a request before."""
        self.works(guest)
        if guest in self._all:
            (self._known if known else self._unknown)[guest] = None

    def count(self, reason: str) -> None:
        """Count a connection that the server closed."""
        self._metrics.http_hung_up.labels(reason).inc()
