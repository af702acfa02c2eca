"""Logs: structlog for our own lines and, through the same pipe, those of arq, uvicorn and httpx.

JSON lines in production, readable ones on a terminal. Whatever is bound with `structlog.contextvars` (a task's
`request_id`, `session_id`, `channel`) stands on every line of that task. The last processor before rendering removes
what must not be seen: secrets, the query of every URL (signed URLs carry their token there), e-mail addresses.
"""

import logging
import re
import sys
from collections.abc import Iterable

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

URL_WITH_QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*", re.IGNORECASE)
URL_CREDENTIALS = re.compile(r"(\w+://)[^\s/@]+@")
SHORTEST_SECRET = 6
"""Shorter ones are no secrets, and taking them out would leave no readable line."""

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
            return {key: self._clean(item) for key, item in value.items()}
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
        return text


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
