"""What a signal to stop asks for: to stop in order, or, when it is repeated, to end at once."""

import time
from collections.abc import Callable
from enum import Enum, auto

SAME_WISH_S = 1.0
"""One wish to stop may arrive twice: `uv run` passes a signal on that systemd (or a terminal, or `timeout`) has sent to
the whole group already. A person needs longer to lose patience."""


class Wish(Enum):
    """What is asked for."""

    STOP = auto()
    NOTHING_NEW = auto()
    END_AT_ONCE = auto()


class StopSignals:
    """Tells a second wish from the first one that was delivered twice."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: float | None = None

    def next(self) -> Wish:
        """What the signal that has just come asks for."""
        now = self._clock()
        if self._first is None:
            self._first = now
            return Wish.STOP
        return Wish.NOTHING_NEW if now - self._first < SAME_WISH_S else Wish.END_AT_ONCE
