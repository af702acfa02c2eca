"""Lines that are kept besides being written, as they were then: for the story of a job that failed."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

from structlog.typing import EventDict

MAX_KEPT_LINES = 40
MAX_KEPT_BYTES = 8 * 1024
"""Of one job's lines, the newest: a job that completes writes a dozen of 150 bytes."""

MAX_KEPT_VALUE = 300
MAX_KEPT_TRACEBACK = 1500
"""Characters of one value, from its beginning; of a traceback, from its end, where the error stands."""

SAID_ELSEWHERE = frozenset({"event", "level", "logger", "timestamp", "request_id", "session_id", "channel", "attempt"})
"""What a kept line does not repeat: it has fields for it, or whoever keeps it knows whose it is."""


class KeptLine(NamedTuple):
    """One log line, redacted and cut."""

    at: datetime
    level: str
    event: str
    fields: dict[str, str]

    @property
    def size(self) -> int:
        """About how many bytes it takes as JSON."""
        size = 80 + len(self.event)
        for name, value in self.fields.items():
            size += len(name) + len(value) + 6
        return size


class KeptLines:
    """The newest lines, within the limits above."""

    def __init__(self) -> None:
        self._lines: deque[KeptLine] = deque()
        self._bytes = 0

    @property
    def lines(self) -> Sequence[KeptLine]:
        """Oldest first."""
        return tuple(self._lines)

    def add(self, line: KeptLine) -> None:
        """Keep one, and let go of the oldest ones that are too many."""
        self._lines.append(line)
        self._bytes += line.size
        while self._lines and (len(self._lines) > MAX_KEPT_LINES or self._bytes > MAX_KEPT_BYTES):
            self._bytes -= self._lines.popleft().size


_kept: ContextVar[KeptLines | None] = ContextVar("wearon_kept_lines", default=None)


@contextmanager
def keep_lines() -> Iterator[KeptLines]:
    """Keep what is logged within the block, and by what it starts."""
    kept = KeptLines()
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def keep(line: EventDict) -> None:
    """Keep a line, redacted, if somebody wants that."""
    kept = _kept.get()
    if kept is not None:
        fields = {name: _cut(name, str(value)) for name, value in line.items() if name not in SAID_ELSEWHERE}
        level, event = str(line.get("level", "")), str(line.get("event", ""))[:MAX_KEPT_VALUE]
        kept.add(KeptLine(datetime.now(UTC), level, event, fields))


def _cut(name: str, value: str) -> str:
    return value[-MAX_KEPT_TRACEBACK:] if name == "exception" else value[:MAX_KEPT_VALUE]
