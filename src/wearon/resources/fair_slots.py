"""Slots that are shared fairly: no key holds more than a share, and the key that holds the fewest is served next.

A plain semaphore serves in the order of arrival: ten downloads from a slow server keep all later ones waiting. Where
the work of one key costs more than that of another, a `Budget` puts those last that have used up most.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

_MOST_REMEMBERED = 10_000
"""Keys whose last turn or use is remembered. There is a limit, because callers choose the hosts."""


class Budget:
    """What each key has used lately of its budget `each`. Half of it is forgotten in `half_life_s`."""

    def __init__(self, each: float, half_life_s: float) -> None:
        self._each = each
        self._half_life_s = half_life_s
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, key: str, amount: float) -> None:
        """Note that the key has used so much."""
        self._used[key] = (self._left_of(key) + amount, monotonic())
        self._used.move_to_end(key)
        if len(self._used) > _MOST_REMEMBERED:
            self._used.popitem(last=False)

    def times_used(self, key: str) -> int:
        """How many whole budgets the key has used."""
        return int(self._left_of(key) / self._each)

    def _left_of(self, key: str) -> float:
        used, at = self._used.get(key, (0.0, 0.0))
        return float(used * 0.5 ** ((monotonic() - at) / self._half_life_s))


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    keys: Sequence[str]
    turn: asyncio.Future[None]


class FairSlots:
    """At most `slots` at once, of which each key holds at most `share`.

    A holder has one or more keys: the host of a download, and its owner. Empty keys do not count: a holder without
    another one has no share, and goes first. A key that has used up its `budget` waits behind all others.
    """

    def __init__(self, slots: int, share: int | None = None, budget: Budget | None = None) -> None:
        self.free = slots
        self._share = share or share_of(slots)
        self._budget = budget
        self._held: Counter[str] = Counter()
        self._waiting: deque[_Waiting] = deque()
        self._turn = 0
        self._last_turns: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, *keys: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for the length of the block."""
        await self.acquire(*keys)
        try:
            yield
        finally:
            self.release(*keys)

    async def acquire(self, *keys: str) -> None:
        """Wait for a slot, to be released with the same keys."""
        known = [key for key in keys if key]
        if self.free and self._may_hold(known):  # the waiting ones may not, or they would not wait
            self._take(known)
            return
        waiting = _Waiting(known, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.cancelled():
                self._waiting.remove(waiting)
            else:
                self.release(*known)  # it was given one in the same moment
            raise

    def release(self, *keys: str) -> None:
        """Release a slot."""
        self.free += 1
        for key in keys:
            if key:
                self._held[key] -= 1
                if not self._held[key]:
                    del self._held[key]
        self._serve()

    def _serve(self) -> None:
        while self.free:
            # A cancelled one leaves when its task goes on.
            eligible = [each for each in self._waiting if not each.turn.done() and self._may_hold(each.keys)]
            if not eligible:
                return
            chosen = min(eligible, key=self._rank)  # of equals the one that came first
            self._waiting.remove(chosen)
            self._take(chosen.keys)
            chosen.turn.set_result(None)

    def _rank(self, waiting: _Waiting) -> tuple[int, int, int]:
        """Rank a waiter: by used-up budgets, then by slots held, then by how long ago its last turn was."""
        return (
            max((self._budget.times_used(key) for key in waiting.keys), default=0) if self._budget else 0,
            max((self._held[key] for key in waiting.keys), default=-1),
            max((self._last_turns.get(key, 0) for key in waiting.keys), default=0),
        )

    def _may_hold(self, keys: Sequence[str]) -> bool:
        return all(self._held[key] < self._share for key in keys)

    def _take(self, keys: Sequence[str]) -> None:
        self.free -= 1
        self._held.update(keys)
        if not self._waiting or len(self._last_turns) > _MOST_REMEMBERED:
            self._last_turns.clear()
        self._turn += 1
        self._last_turns.update(dict.fromkeys(keys, self._turn))


def share_of(slots: int) -> int:
    """How many slots one key may hold: two thirds, so that a newcomer finds free ones."""
    return max(min(slots, 2), slots * 2 // 3)
