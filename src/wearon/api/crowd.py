"""All connections of one server: counted when they are accepted, and those that wait make room for new ones."""

from typing import Protocol

from wearon.metrics import Metrics

OVERFLOW = 32
"""Connections beyond the limit that are let in to be told so; further ones are hung up on unheard."""


class Guest(Protocol):
    """A connection, as far as the crowd knows it."""

    def make_room(self) -> None:
        """End."""


class Crowd:
    """At most `most` connections.

    A connection waits while no whole request of it is being answered: silent, dripping or kept for the next request.
    When there are too many, the one that waits longest is hung up on: first of those that have never asked anything,
    then of those that proxies and browsers keep. More bytes do not make the wait any younger.
    """

    def __init__(self, most: int, metrics: Metrics | None = None) -> None:
        self._most = most
        self._metrics = metrics or Metrics()
        self._all: set[Guest] = set()
        self._unknown: dict[Guest, None] = {}
        self._known: dict[Guest, None] = {}

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._all)

    @property
    def waiting(self) -> int:
        """How many of them wait."""
        return len(self._unknown) + len(self._known)

    @property
    def too_large(self) -> bool:
        """Whether more are there than may be, because all the others are at work."""
        return len(self._all) > self._most

    def join(self, guest: Guest) -> bool:
        """Add a new connection; whether there is room to hear it."""
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
        """It has ended; twice is as good as once."""
        self._all.discard(guest)
        self._unknown.pop(guest, None)
        self._known.pop(guest, None)
        self._metrics.http_connections.set(len(self._all))

    def works(self, guest: Guest) -> None:
        """A whole request of it is being answered."""
        self._unknown.pop(guest, None)
        self._known.pop(guest, None)

    def waits(self, guest: Guest, *, known: bool = False) -> None:
        """It is answered; `known`: and may ask again."""
        self.works(guest)
        if guest in self._all:
            (self._known if known else self._unknown)[guest] = None

    def count(self, reason: str) -> None:
        """One was hung up on."""
        self._metrics.http_hung_up.labels(reason).inc()
