"""Dead letters by cause and producer version, and what a retry of each would do. Pure rules."""

import hashlib
import re
from collections import Counter
from enum import StrEnum

from pydantic import BaseModel

from wearon.operations.models import Advice
from wearon.operations.reasons import advise
from wearon.platform.base import OPEN_STATUSES, Session
from wearon.queue.dead_letters import DeadLetter
from wearon.queue.task import KNOWN_VERSION, GenerationTask, read_task
from wearon.tryon.retry_policy import Reason

MOST_GROUPS = 100
"""The largest groups are listed; the others follow when those are gone."""

_NUMBER = re.compile(r"[0-9]+")

_VERSION = re.compile(r'"version"\s*:\s*"?([0-9a-zA-Z.]{1,12})')
"""Finds the version in a document's text, also when that was cut or is no JSON."""


class LetterGroup(BaseModel):
    """Dead letters that have one cause and came from one version of the producer."""

    id: str
    reason: str
    """Of the newest one."""
    version: str
    """The task's version; empty when it cannot be read."""
    letters: int = 0
    usable: int = 0
    """How many of them can become a task."""
    first_at: str
    last_at: str
    advice: Advice


class LetterGroups(BaseModel):
    """All dead letters, counted; the largest groups first."""

    letters: int
    usable: int
    groups: list[LetterGroup]


class Fate(StrEnum):
    """What becomes of one dead letter when its group is retried or discarded."""

    PUSHED = "pushed"
    NO_TASK = "no_task"
    """It stays: its document cannot become a task, and would come back at once."""
    NO_SESSION = "no_session"
    """It stays: its session is not there, and it would come back at once."""
    ENDED = "ended"
    """It stays: its session is final, so that nothing would happen."""
    DISCARDED = "discarded"


class BulkLetter(BaseModel):
    """One dead letter of a group, and what became of it."""

    id: str
    session_id: str | None
    fate: Fate


class BulkStep(BaseModel):
    """A part of a retried or discarded group. `passed`: where the next part begins; None: it was the last."""

    letters: list[BulkLetter]
    passed: int | None

    @property
    def counts(self) -> dict[str, int]:
        """How many had which fate."""
        return dict(Counter(letter.fate.value for letter in self.letters))


class Grouping:
    """Counts letter by letter, the newest first."""

    def __init__(self) -> None:
        self._groups: dict[str, LetterGroup] = {}

    def add(self, letter: DeadLetter) -> None:
        """Count one more."""
        version, id_ = version_of(letter), group_of(letter)
        if (group := self._groups.get(id_)) is None:
            group = self._groups[id_] = LetterGroup(
                id=id_,
                reason=letter.reason,
                version=version,
                first_at=letter.at,
                last_at=letter.at,
                advice=advise(Reason.TASK, _with_version(letter.reason, version)),
            )
        group.letters += 1
        group.usable += task_of(letter) is not None
        group.first_at = min(letter.at, group.first_at)

    @property
    def result(self) -> LetterGroups:
        """All that was counted."""
        groups = sorted(self._groups.values(), key=lambda group: -group.letters)
        letters, usable = (sum(getattr(group, name) for group in groups) for name in ("letters", "usable"))
        return LetterGroups(letters=letters, usable=usable, groups=groups[:MOST_GROUPS])


def group_of(letter: DeadLetter) -> str:
    """The id of the group that a dead letter belongs to; numbers in the reason make no difference."""
    cause = f"{_NUMBER.sub('#', letter.reason)}\n{version_of(letter)}"
    return hashlib.sha256(cause.encode(errors="replace")).hexdigest()[:8]


def version_of(letter: DeadLetter) -> str:
    """The version that the document says it has; empty when it says none."""
    return found[1] if (found := _VERSION.search(letter.payload)) else ""


def task_of(letter: DeadLetter) -> GenerationTask | None:
    """The task that the letter's document is after all; None when it cannot become one."""
    if version_of(letter) not in ("", str(KNOWN_VERSION)) or not letter.is_whole:
        return None
    task = read_task(letter.payload.encode(errors="replace"))
    return task if isinstance(task, GenerationTask) else None


def fate_of(task: GenerationTask, session: Session | None) -> Fate:
    """What a retry of that task does, from its session as it is now."""
    if session is None or session.ref != task.ref:
        return Fate.NO_SESSION
    return Fate.PUSHED if session.status in OPEN_STATUSES else Fate.ENDED


def _with_version(reason: str, version: str) -> str:
    """The cause of a document of another version: the version itself, since all of it may be unknown."""
    return f"version {version} is not known to this worker" if version not in ("", str(KNOWN_VERSION)) else reason
