"""Logs: structlog for our own lines and, through the same pipe, those of arq, uvicorn and httpx.

JSON lines in production, readable ones on a terminal. Whatever is bound with `structlog.contextvars` (a task's
`request_id`, `session_id`, `channel`) stands on every line of that task. The last processor before rendering removes
what must not be seen: secrets, the query of every URL (signed URLs carry their token there), e-mail addresses.

Lines that are logged within `keep_lines` are kept besides, as they were after that: for the story of a job that failed.
"""

import logging
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

URL_WITH_QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE)
URL_CREDENTIALS = re.compile(r"(\w+://)[^\s/@]+@")
SHORTEST_SECRET = 6
"""Shorter ones are no secrets, and taking them out would leave no readable line."""

SIGNED_TOKEN = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+)+")
"""JSON web tokens: what a signed URL carries, also where it stands without its URL."""

E_MAIL = re.compile(r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")

OTHER_LOGGERS = {
    # arq repeats the job's arguments on every start; our own lines say the same with names.
    "arq": logging.WARNING,
    # httpx writes a line for every request.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    # the API writes its own line for a request, with the request id.
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "PIL": logging.WARNING,
}


class Redaction:
    """A structlog processor that takes secrets, URL queries and e-mail addresses out of every value of a line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {key: self._clean(value) for key, value in line.items()}

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, dict):
            return {self._clean(key): self._clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [self._clean(item) for item in value]
        if isinstance(value, int | float | bool | None):
            return value
        return self.clean_text(str(value))

    def clean_text(self, text: str) -> str:
        """The text without anything that must not be seen."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if "@" in text:
            text = E_MAIL.sub("***@***", URL_CREDENTIALS.sub(r"\1***@", text))
        if "://" in text:
            text = URL_WITH_QUERY.sub(r"\1?***", text)
        if "eyJ" in text:
            text = SIGNED_TOKEN.sub("***", text)
        return text


MAX_KEPT_LINES = 40
MAX_KEPT_BYTES = 8 * 1024
"""Of one job's lines, the newest: a job that completes writes a dozen of 150 bytes."""

MAX_KEPT_VALUE = 300
MAX_KEPT_TRACEBACK = 1500
"""Characters of one value, from its beginning; of a traceback, from its end, where the error stands."""

SAID_ELSEWHERE = frozenset({"event", "level", "logger", "timestamp", "request_id", "session_id", "channel", "attempt"})
"""What a kept line does not repeat: it has fields for it, or whoever keeps it knows whose it is."""


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One log line, redacted and cut."""

    at: datetime
    level: str
    event: str
    fields: dict[str, str]

    @property
    def size(self) -> int:
        """About how many bytes it takes as JSON."""
        return 80 + len(self.event) + sum(len(name) + len(value) + 6 for name, value in self.fields.items())


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


def _keep_line(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Processor: it comes after the redaction and changes nothing."""
    kept = _kept.get()
    if kept is not None:
        fields = {str(name): _cut(str(name), str(value)) for name, value in line.items() if name not in SAID_ELSEWHERE}
        level, event = str(line.get("level", "")), str(line.get("event", ""))[:MAX_KEPT_VALUE]
        kept.add(KeptLine(datetime.now(UTC), level, event, fields))
    return line


def _cut(name: str, value: str) -> str:
    return value[-MAX_KEPT_TRACEBACK:] if name == "exception" else value[:MAX_KEPT_VALUE]


def configure_logs(level: str, log_format: str, secrets: Iterable[str] = ()) -> None:
    """Set up the root logger; `log_format` is json, console, or auto (console on a terminal, else JSON)."""
    on_terminal = sys.stderr.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not on_terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=on_terminal, pad_event_to=34)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                Redaction(secrets),
                _keep_line,
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name, other_level in OTHER_LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()  # arq's command line and uvicorn bring handlers of their own
        logger.propagate = True
        logger.setLevel(logging.DEBUG if level == "debug" else other_level)
