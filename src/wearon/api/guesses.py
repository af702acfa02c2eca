"""Limits for wrong tokens, of one client and of all together: beyond them, callers are delayed and refused."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 60.0
TRIES_EACH = 5
TRIES_ALL = 60
"""Wrong tokens within a minute from one client, and from all clients: more are not mistyped, but guessed."""

CHECKS_A_SECOND = 50.0
LONGEST_WAIT_S = 1.0
"""Once a client has used up its tries, its tokens are checked at this rate, in one queue for all such clients; a
request that would wait longer is refused unchecked. Guessing 16 characters takes ten million years then, and the right
token still gets through from an address that it shares with a guesser."""

KNOWN_S = 3600.0
"""How long a client that sent the right token is not delayed. Behind a proxy all clients have one address, and guesses
must not delay the owner of the token there."""

CLIENTS = 4096
"""How many clients of either kind are remembered, in 2 MB; the longest silent one is forgotten first."""


class Guesses:
    """Counts wrong tokens, as bearer token or in the console's login."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=TRIES_ALL)
        self._known: OrderedDict[str, float] = OrderedDict()
        self._next_check = 0.0

    def turn(self, address: str) -> float | None:
        """In how many seconds a token from that address may be checked; None: too many wait already."""
        client, now = client_of(address), self._clock()
        if not self.own_wait_s(address) or self._is_known(client, now):
            return 0.0
        # A clock that was set back must not delay a client until it has caught up.
        at = max(now, min(self._next_check, now + LONGEST_WAIT_S + 1 / CHECKS_A_SECOND))
        if at - now > LONGEST_WAIT_S:
            return None
        self._next_check = at + 1 / CHECKS_A_SECOND
        return at - now

    def own_wait_s(self, address: str) -> int:
        """How long until that client has a try again; 0: it has one."""
        return self._until_free(self._wrong.get(client_of(address), ()), TRIES_EACH)

    def wait_s(self, address: str) -> int:
        """How long until that client and all clients together have a try again; 0: they have one."""
        return max(self.own_wait_s(address), self._until_free(self._all, TRIES_ALL))

    def note_wrong(self, address: str) -> None:
        """Count a wrong token."""
        client, now = client_of(address), self._clock()
        self._all.append(now)
        self._wrong.setdefault(client, deque(maxlen=TRIES_EACH)).append(now)
        self._wrong.move_to_end(client)
        if len(self._wrong) > CLIENTS:
            self._wrong.popitem(last=False)

    def note_right(self, address: str) -> None:
        """Remember that the client has the token."""
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
    """The client behind an address: all of an IPv6 network of 64 bits, because it belongs to one customer."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
