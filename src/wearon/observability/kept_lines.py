"""Log lines that are kept as well as written: for the history of a job that failed."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime

from structlog.typing import EventDict, WrappedLogger

MAX_KEPT_LINES = 40
MAX_KEPT_BYTES = 8 * 1024
"""How many of one job's lines are kept, the newest: a job that completes writes a dozen of 150 bytes."""

MAX_KEPT_VALUE = 300
MAX_KEPT_TRACEBACK = 1500
"""Characters of one value, from its beginning; of a traceback, from its end, where the error stands."""

SAID_ELSEWHERE = frozenset({"event", "level", "logger", "timestamp", "request_id", "session_id", "channel", "attempt"})
"""What a kept line does not repeat: it has fields for it, or the keeper knows the job."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log line, without secrets, tokens and addresses, and cut."""

    at: datetime
    level: str = ""
    event: str = ""
    fields: dict[str, str] = field(default_factory=dict)

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
        self._lines: deque[LogLine] = deque()
        self._bytes = 0

    @property
    def lines(self) -> Sequence[LogLine]:
        """The kept lines, oldest first."""
        return tuple(self._lines)

    def add(self, line: LogLine) -> None:
        """Keep one, and let go of the oldest ones that are too many."""
        self._lines.append(line)
        self._bytes += line.size
        while self._lines and (len(self._lines) > MAX_KEPT_LINES or self._bytes > MAX_KEPT_BYTES):
            self._bytes -= self._lines.popleft().size


_kept: ContextVar[KeptLines | None] = ContextVar("wearon_kept_lines", default=None)


@contextmanager
def keep_lines() -> Iterator[KeptLines]:
    """Keep what is logged within the block, and by tasks that it starts."""
    kept = KeptLines()
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def keep(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """The processor that keeps a line, redacted before, within `keep_lines`."""
    kept = _kept.get()
    if kept is not None:
        fields = {name: _cut(name, str(value)) for name, value in line.items() if name not in SAID_ELSEWHERE}
        level, event = str(line.get("level", "")), str(line.get("event", ""))[:MAX_KEPT_VALUE]
        kept.add(LogLine(datetime.now(UTC), level, event, fields))
    return line


def _cut(name: str, value: str) -> str:
    return value[-MAX_KEPT_TRACEBACK:] if name == "exception" else value[:MAX_KEPT_VALUE]
