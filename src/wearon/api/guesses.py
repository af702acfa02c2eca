"""Wrong tokens: how many one client, and all together, may send before they are slowed down and turned away."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 60.0
TRIES_EACH = 5
TRIES_ALL = 60
"""Wrong tokens within a minute from one client, and from all: nobody mistypes more often than that."""

LOOKS_A_SECOND = 50.0
LONGEST_WAIT_S = 1.0
"""Tokens of clients that have used up their tries are looked at one after the other at this rate, whatever they are
and however many such clients there are; who would wait longer is turned away unheard. A token of 16 characters
outlives that by ten million years, and the right one gets through although its client's address is a guesser's, too."""

KNOWN_S = 3600.0
"""So long a client that brought the right token is known. Behind a proxy everybody has one address: there, guessers
must not make those wait who have the token."""

CLIENTS = 4096
"""Remembered at most, of either kind: 2 MB. The one that was heard of longest ago is forgotten first."""


class Guesses:
    """Counts wrong tokens, whichever way they came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=TRIES_ALL)
        self._known: OrderedDict[str, float] = OrderedDict()
        self._next_look = 0.0

    def turn(self, address: str) -> float | None:
        """In how many seconds a token from there may be looked at; None: not at all now, too many wait."""
        client, now = client_of(address), self._clock()
        if not self.own_wait_s(address) or self._is_known(client, now):
            return 0.0
        # A clock that was put back must not make anybody wait for it.
        at = max(now, min(self._next_look, now + LONGEST_WAIT_S + 1 / LOOKS_A_SECOND))
        if at - now > LONGEST_WAIT_S:
            return None
        self._next_look = at + 1 / LOOKS_A_SECOND
        return at - now

    def own_wait_s(self, address: str) -> int:
        """How long until that client has a try again; 0: it has one."""
        return self._until_free(self._wrong.get(client_of(address), ()), TRIES_EACH)

    def wait_s(self, address: str) -> int:
        """The same, or until all together have."""
        return max(self.own_wait_s(address), self._until_free(self._all, TRIES_ALL))

    def note_wrong(self, address: str) -> None:
        """Count one."""
        client, now = client_of(address), self._clock()
        self._all.append(now)
        self._wrong.setdefault(client, deque(maxlen=TRIES_EACH)).append(now)
        self._wrong.move_to_end(client)
        if len(self._wrong) > CLIENTS:
            self._wrong.popitem(last=False)

    def note_right(self, address: str) -> None:
        """That client has the token."""
        client = client_of(address)
        self._known[client] = self._clock()
        self._known.move_to_end(client)
        if len(self._known) > CLIENTS:
            self._known.popitem(last=False)

    def _is_known(self, client: str, now: float) -> bool:
        since = self._known.get(client)
        return since is not None and now - since < KNOWN_S

    def _until_free(self, tries: "deque[float] | tuple[()]", most: int) -> int:
        if len(tries) < most:
            return 0
        left = tries[-most] + WINDOW_S - self._clock()
        return max(1, round(left)) if 0 < left <= WINDOW_S else 0


def client_of(address: str) -> str:
    """Whom an address stands for: an IPv6 network of 64 bits is one customer's, who may take any address in it."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
