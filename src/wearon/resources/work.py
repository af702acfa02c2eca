"""What a task's work is for: its purpose, and the store or user that owns it.

It goes along with the task, as a request id does, so that what shares slots out at the end (downloads, picture
processes) knows it, and what lies between need not hand it on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum


class Purpose(StrEnum):
    """Work of one purpose never waits for slots of another's."""

    ESTIMATE = "estimate"
    """A caller waits for a size."""
    GENERATION = "generation"
    """A try-on is prepared."""
    ANSWER = "answer"
    """A picture that has been paid for is fetched."""


@dataclass(slots=True)
class Spent:
    """What work has cost so far."""

    cpu_s: float = 0.0
    """CPU seconds of the processes that decode its pictures."""


@dataclass(frozen=True, slots=True)
class Work:
    """A purpose and an owner. `owner` is empty when it is not known; only work of a known owner has `spent`."""

    purpose: Purpose = Purpose.ESTIMATE
    owner: str = ""
    spent: Spent | None = field(default=None, compare=False)


_current: ContextVar[Work] = ContextVar("wearon_work", default=Work())  # noqa: B039 (it cannot be changed)


def current_work() -> Work:
    """The work of the running task."""
    return _current.get()


@contextmanager
def work_for(purpose: Purpose, owner: str | None = None) -> Iterator[None]:
    """Set the purpose and the owner of what is done in the block, and by tasks that it starts.

    Without `owner` the owner stays, and the block's cost is counted with what surrounds it.
    """
    before = _current.get()
    now = Work(purpose, before.owner, before.spent) if owner is None else Work(purpose, owner, Spent())
    token = _current.set(now)
    try:
        yield
    finally:
        _current.reset(token)
