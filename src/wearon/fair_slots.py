"""Slots for work that many ask for: nobody gets more than a share, and whoever holds the fewest is next.

A plain semaphore serves in the order of arrival: ten downloads from a slow server keep all others waiting that came
after them.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

_MOST_REMEMBERED = 10_000
"""Keys whose last turn is known, while there is always somebody who waits: strangers choose hosts."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    keys: Sequence[str]
    turn: asyncio.Future[None]


class FairSlots:
    """At most `slots` at once, of which everybody has at most `share`.

    Somebody is a key, and a holder has one or more of them: the host of a download, and whose it is. An empty key is
    nobody's: who has no other one has no share, and goes first.
    """

    def __init__(self, slots: int, share: int | None = None) -> None:
        self.free = slots
        self._share = share or share_of(slots)
        self._held: Counter[str] = Counter()
        self._waiting: deque[_Waiting] = deque()
        self._turn = 0
        self._last_turns: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, *keys: str) -> AsyncIterator[None]:
        """Wait for a slot, and have it for the length of the block."""
        await self.acquire(*keys)
        try:
            yield
        finally:
            self.release(*keys)

    async def acquire(self, *keys: str) -> None:
        """Wait for a slot. Whoever has got one calls `release` with the same keys."""
        known = [key for key in keys if key]
        if self.free and self._may_hold(known):  # those who wait may not, or they would not wait
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
        """Give a slot back."""
        self.free += 1
        for key in keys:
            if key:
                self._held[key] -= 1
                if not self._held[key]:
                    del self._held[key]
        self._serve()

    def _serve(self) -> None:
        while self.free:
            # One that is cancelled already leaves when its task goes on.
            eligible = [each for each in self._waiting if not each.turn.done() and self._may_hold(each.keys)]
            if not eligible:
                return
            chosen = min(eligible, key=self._rank)  # of equals the one who came first
            self._waiting.remove(chosen)
            self._take(chosen.keys)
            chosen.turn.set_result(None)

    def _rank(self, waiting: _Waiting) -> tuple[int, int]:
        """By how many are held, then by whose turn was the longest ago."""
        return (
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
    """What one may hold of so many: two thirds, so that a newcomer need not wait for the end of what goes on."""
    return max(min(slots, 2), slots * 2 // 3)
