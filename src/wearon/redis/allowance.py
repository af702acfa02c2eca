"""How many commands requests of strangers may cost: Redis is billed by command, and shared with the jobs."""

import time
from collections.abc import Callable


class Allowance:
    """Allows a number of calls a second, and after a pause a number at once."""

    def __init__(self, a_second: float, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._a_second = a_second
        self._at_once = at_once
        self._clock = clock
        self._left, self._counted = float(at_once), clock()

    def take(self) -> bool:
        """Take one. False: none is left at the moment."""
        now = self._clock()
        self._left = min(self._at_once, self._left + max(0.0, now - self._counted) * self._a_second)
        self._counted = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
