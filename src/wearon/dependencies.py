"""What the services that this process depends on have refused it, until they answer again.

The clients of Redis, Supabase and OpenAI report here; `/health`, `wearon status` and the console read it. A refusal
that is about one session or one picture is not reported, because it says nothing about the service.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field

FORGOTTEN_AFTER_S = 600.0
"""A refusal that was neither repeated nor followed by a success: nothing asks for that any more. A job that is retried
asks again every few seconds."""


MOST_ENDED = 100
"""Refusals that are over and not looked at yet."""


class Dependency(StrEnum):
    """A service that the work depends on."""

    REDIS = "redis"
    SUPABASE = "supabase"
    OPENAI = "openai"
    MACHINE = "machine"
    """The machine that this process runs on: it gives processes, memory and descriptors."""


class RefusalKind(StrEnum):
    """What kind of thing a refusal is: incidents are grouped by it."""

    AWAY = "away"
    REST_AWAY = "rest_away"
    STORAGE_AWAY = "storage_away"
    SLOW = "slow"
    KEY_REFUSED = "key_refused"
    QUOTA_USED_UP = "quota_used_up"
    NO_MODEL = "no_model"
    FALLBACK_MODEL = "fallback_model"
    BUCKET_MISSING = "bucket_missing"
    READ_ONLY = "read_only"
    FULL = "full"
    BAD_KEY = "bad_key"
    NEWER_JOBS = "newer_jobs"
    REFUSED = "refused"
    """Anything else."""


class Refusal(BaseModel):
    """One thing that a service refuses a process at present."""

    dependency: str
    """A Dependency; a report of a newer version may name one that is not known here."""
    words: str
    """A short clause for operators, without secrets, such as "Supabase refuses our key"."""
    since_s: Annotated[float, Field(le=1e9, allow_inf_nan=False)]
    """Seconds since the first refusal that no success has followed."""
    kind: str = RefusalKind.REFUSED
    """A RefusalKind; a report of another version may have none, or one that is not known here."""


@dataclass(frozen=True, slots=True)
class EndedRefusal:
    """A refusal that a success has followed."""

    refusal: Refusal
    since: datetime
    until: datetime


@dataclass(slots=True)
class _Noted:
    words: str
    kind: RefusalKind
    first_at: float
    last_at: float


class Dependencies:
    """Remembers the last refusal of each service, and of each thing asked of it where the caller tells them apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[tuple[Dependency, str], _Noted] = {}
        self.last_refused: dict[str, datetime] = {}
        """When each kind of refusal, such as `supabase_away`, came last. A success does not clear it."""
        self.answered_again: dict[str, datetime] = {}
        """When each kind of refusal was followed by a success last, unless it has come again since then."""
        self._ended = deque[EndedRefusal](maxlen=MOST_ENDED)

    def refused(
        self, dependency: Dependency, words: str, asked: str = "", kind: RefusalKind = RefusalKind.REFUSED
    ) -> None:
        """Note a refusal. `asked`: what was asked for, so that another success does not clear this refusal."""
        now = self._clock()
        noted = self._noted.setdefault((dependency, asked), _Noted(words, kind, now, now))
        noted.words, noted.kind, noted.last_at = words, kind, now
        self.last_refused[f"{dependency}_{kind}"] = datetime.now(UTC)
        self.answered_again.pop(f"{dependency}_{kind}", None)

    def answered(self, dependency: Dependency, asked: str = "") -> None:
        """Note a success: what was refused before is granted again."""
        if (noted := self._noted.pop((dependency, asked), None)) is not None:
            now = datetime.now(UTC)
            self.answered_again[f"{dependency}_{noted.kind}"] = now
            lasted_s = self._clock() - noted.first_at
            refusal = Refusal(dependency=dependency, kind=noted.kind, words=noted.words, since_s=lasted_s)
            self._ended.append(EndedRefusal(refusal, now - timedelta(seconds=lasted_s), now))

    def take_ended(self) -> Sequence[EndedRefusal]:
        """The refusals that are over since the last call, the newest hundred."""
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def is_refused_by(self, dependency: Dependency) -> bool:
        """Whether it refuses something at present. Changes nothing, so any thread may ask."""
        now = self._clock()
        return any(
            of is dependency and now - noted.last_at < FORGOTTEN_AFTER_S for (of, _), noted in list(self._noted.items())
        )

    @property
    def refusals(self) -> Sequence[Refusal]:
        """What is refused at present, each sentence once, the longest lasting first."""
        now = self._clock()
        self._noted = {key: noted for key, noted in self._noted.items() if now - noted.last_at < FORGOTTEN_AFTER_S}
        longest: dict[tuple[Dependency, RefusalKind, str], float] = {}
        for (dependency, _), noted in self._noted.items():
            key = (dependency, noted.kind, noted.words)
            longest[key] = max(longest.get(key, 0.0), now - noted.first_at)
        found = [
            Refusal(dependency=dependency, kind=kind, words=words, since_s=round(since_s, 1))
            for (dependency, kind, words), since_s in longest.items()
        ]
        return sorted(found, key=lambda refusal: -refusal.since_s)
