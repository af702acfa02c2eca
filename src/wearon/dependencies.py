"""What the services that this process depends on have refused it, until they answer again.

Whoever talks to Redis, Supabase or OpenAI reports here; `/health`, `wearon status` and the console read it. A refusal
that is about one session or one picture is not reported: it says nothing about the service.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

FORGOTTEN_AFTER_S = 600.0
"""A refusal that was neither repeated nor followed by a success: nobody has asked for that any more. What is put back
is asked again every few seconds."""


class Dependency(StrEnum):
    """A service that the work depends on."""

    REDIS = "redis"
    SUPABASE = "supabase"
    OPENAI = "openai"
    MACHINE = "machine"
    """The one that we run on: it gives processes, memory and descriptors."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a service refuses at present."""

    dependency: Dependency
    words: str
    """A short clause for operators, without secrets, such as "Supabase refuses our key"."""
    since_s: float
    """Seconds since the first refusal that no success has followed."""


@dataclass(slots=True)
class _Noted:
    words: str
    first_at: float
    last_at: float


class Dependencies:
    """Remembers the last refusal of each service, and of each thing asked of it where the caller tells them apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[tuple[Dependency, str], _Noted] = {}

    def refused(self, dependency: Dependency, words: str, asked: str = "") -> None:
        """Note a refusal. `asked`: what was asked for, so that another success does not clear this refusal."""
        now = self._clock()
        noted = self._noted.setdefault((dependency, asked), _Noted(words, now, now))
        noted.words, noted.last_at = words, now

    def answered(self, dependency: Dependency, asked: str = "") -> None:
        """Note a success: what was refused before is granted again."""
        self._noted.pop((dependency, asked), None)

    @property
    def refusals(self) -> Sequence[Refusal]:
        """What is refused at present, each sentence once, the longest lasting first."""
        now = self._clock()
        self._noted = {key: noted for key, noted in self._noted.items() if now - noted.last_at < FORGOTTEN_AFTER_S}
        longest: dict[tuple[Dependency, str], float] = {}
        for (dependency, _), noted in self._noted.items():
            key = (dependency, noted.words)
            longest[key] = max(longest.get(key, 0.0), now - noted.first_at)
        found = [Refusal(dependency, words, round(since_s, 1)) for (dependency, words), since_s in longest.items()]
        return sorted(found, key=lambda refusal: -refusal.since_s)
