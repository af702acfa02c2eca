"""Logs: structlog for our own lines, and lines of the same look for what arq, uvicorn and httpx say.

JSON lines in production, readable ones on a terminal. Whatever is bound with `structlog.contextvars` (a task's
`request_id`, `session_id`, `channel`) stands on every line of that task. Before a line is rendered, what must not be
seen is taken out (`wearon.observability.redaction`), and the line is kept for the history of a job, if it is of one
(`wearon.observability.kept_lines`). Control and format characters are written as escapes.
"""

import logging
import sys
from collections.abc import Iterable
from typing import TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from wearon.observability.kept_lines import keep
from wearon.observability.redaction import Redaction
from wearon.observability.visible import visible

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

SEVERAL_LINES = frozenset({"exception", "stack"})
"""Names of values that may have several lines."""


def configure_logs(level: str, log_format: str, secrets: Iterable[str] = (), *, for_good: bool = False) -> None:
    """Set up structlog and the root logger; `log_format` is json, console, or auto (console on a terminal, else JSON).

    `for_good`: no other call follows in this process, so a module's logger is put together once, not for each line.
    """
    on_terminal = sys.stderr.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not on_terminal)
    circumstances: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("iso") if as_json else structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *circumstances, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        cache_logger_on_first_use=for_good,
    )
    rendering: list[Processor] = (
        # In ASCII, so that no character in it can do anything to a terminal.
        [structlog.processors.JSONRenderer(ensure_ascii=True)]
        if as_json
        else [_visible, structlog.dev.ConsoleRenderer(colors=on_terminal, pad_event_to=34)]
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=circumstances,
            processors=[ProcessorFormatter.remove_processors_meta, Redaction(secrets), keep, *rendering],
        )
    )
    # No line says these, and every record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name, other_level in OTHER_LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()  # arq's command line and uvicorn bring handlers of their own
        logger.propagate = True
        logger.setLevel(logging.DEBUG if level == "debug" else other_level)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; what is wrong with one costs that line, never the job that logs it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; one that says where it comes from when it cannot be made, as a library's arguments do not fit.

        logging itself would write the arguments past the redaction.
        """
        try:
            return super().format(record)
        except Exception:  # noqa: BLE001 (whatever it is)
            where = f"{record.pathname}:{record.lineno}"
            text = f"a log line and its arguments do not fit: {where}"
            return super().format(logging.LogRecord(record.name, logging.ERROR, where, 0, text, None, None))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """The stream is closed or broken: there is nowhere to say so."""


def _visible(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Leave nothing in a line that a terminal obeys, and no end of a line that could forge another one."""
    for name, value in line.items():
        if isinstance(value, str | list | dict):
            text = value if isinstance(value, str) else repr(value)
            line[name] = visible(text, keep="\n\t" if name in SEVERAL_LINES else "")
    return line
