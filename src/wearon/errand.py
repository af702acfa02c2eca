"""What the work of this task is done for, and for whom.

It goes along with the task, as a request id does, and not through the arguments of everything in between: what shares
slots out at the end (downloads, decoding processes) must know it, what lies between need not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """Work of one purpose never waits for slots of another's."""

    ESTIMATE = "estimate"
    """A caller waits for a size."""
    GENERATION = "generation"
    """A try-on is prepared."""
    ANSWER = "answer"
    """A picture that has been paid for is fetched."""


@dataclass(frozen=True, slots=True)
class Errand:
    """`owner` is a store or a user, empty when that is not known."""

    purpose: Purpose = Purpose.ESTIMATE
    owner: str = ""


_current: ContextVar[Errand] = ContextVar("wearon_errand", default=Errand())  # noqa: B039 - it cannot be changed


def current_errand() -> Errand:
    """That of the running task."""
    return _current.get()


@contextmanager
def errand(purpose: Purpose, owner: str | None = None) -> Iterator[None]:
    """What is done in the block, and by tasks that it starts, is for this. Without `owner` it is for whom it was."""
    token = _current.set(Errand(purpose, _current.get().owner if owner is None else owner))
    try:
        yield
    finally:
        _current.reset(token)
