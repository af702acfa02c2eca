"""From what is said to a line on the standard error stream.

A job says a dozen lines on the event loop, so ours do not go through `logging`, whose records, handlers and formatter
cost more than all that is done with a line. Libraries' lines do, and meet ours at the end (`_Rendering`, `_Output`).
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from functools import cache
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from wearon.logs.kept_lines import keep
from wearon.logs.redaction import Redaction
from wearon.visible import visible

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
"""What may be more than one line; another line in a text would look like one of ours."""

LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}


def _heeded_only(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """The first processor of our own lines: one below the level goes no further."""
    if not logger.heeds(LEVELS[method]):
        raise structlog.DropEvent
    return line


class _Circumstances:
    """The processor that says of a line, ours or a library's, whose task it is of, how grave it is, whose and when.

    In this order, after what the line says itself; that goes before what is bound under the same name.
    """

    def __init__(self, clock: Callable[[], str]) -> None:
        self._clock = clock

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
        for variable, value in copy_context().items():
            name = _bound_name(variable)
            if name and value is not Ellipsis:  # which stands for one that is unbound again
                line.setdefault(name, value)
        record = line.get("_record")  # of a library
        line["level"] = method
        line["logger"] = logger.name if record is None else record.name
        line["timestamp"] = self._clock()
        return line


@cache
def _bound_name(variable: ContextVar[object]) -> str:
    """What `structlog.contextvars` has bound with it, "" for somebody else's variable."""
    prefix = structlog.contextvars.STRUCTLOG_KEY_PREFIX
    return variable.name.removeprefix(prefix) if variable.name.startswith(prefix) else ""


def _moment() -> str:
    return datetime.now(UTC).isoformat()[: -len("+00:00")] + "Z"


def _time_of_day() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


class _Rendering:
    """The last processor of ours and of other loggers: redacts, keeps and renders a line.

    What goes wrong with a value (one that has no text, a loop in it) costs the line, never the job that logs it.
    """

    def __init__(self, redaction: Redaction, renderer: Processor) -> None:
        self._redaction = redaction
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> str:
        try:
            line = self._redaction(logger, method, line)
            keep(line)
            return str(self._renderer(logger, method, line))
        except Exception as error:  # noqa: BLE001
            return self._lost(line, type(error).__name__)

    def _lost(self, line: EventDict, why: str) -> str:
        """A line in its place, of what is known to be text."""
        names = ("event", "request_id", "session_id", "channel", "level", "logger", "timestamp")
        texts = {name: line[name] for name in names if type(line.get(name)) is str}
        cleaned = self._redaction(None, "error", {**texts, "not_logged": why})
        return str(self._renderer(None, "error", cleaned))


class _Json:
    """Renders what the redaction has left: texts, numbers, lists and dicts of them, nothing that contains itself.

    In ASCII, so that no character in it can do anything to a terminal.
    """

    def __init__(self) -> None:
        self._encode = json.JSONEncoder(ensure_ascii=True, check_circular=False).encode

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> str:
        return self._encode(line)


class _Readable:
    """Renders a line for a person: in it stands nothing that a terminal obeys but our own colours."""

    def __init__(self, *, colours: bool) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=34)

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> str:
        shown = {name: self._visible(name, value) for name, value in line.items()}
        return str(self._renderer(logger, method, shown))

    @staticmethod
    def _visible(name: str, value: object) -> object:
        if isinstance(value, str):
            return visible(value, keep="\n\t" if name in SEVERAL_LINES else "")
        return value  # lists and dicts are written as Python does, which escapes as much


class _Output(logging.StreamHandler[TextIO]):
    """Writes lines to the standard error stream: each in one call, and one after the other whichever thread has it."""

    def emit(self, record: logging.LogRecord) -> None:
        """A library's line."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - as with every handler of logging
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Its arguments do not fit: say so, but not as logging does, which would write them past the redaction."""
        where = f"{record.pathname}:{record.lineno}"
        text = f"a log line and its arguments do not fit: {where}"
        self.write(self.format(logging.LogRecord(record.name, logging.ERROR, where, 0, text, None, None)))

    def write(self, line: str) -> None:
        """One of ours, rendered. A stream that is closed or broken costs the line."""
        self.acquire()  # a lock that knows its thread: a signal handler may log, too
        try:
            self.stream.write(f"{line}\n")
            self.flush()
        except (OSError, ValueError):  # not contextlib.suppress, which costs a third of the write
            pass
        finally:
            self.release()


class _Logger:
    """What structlog wraps: the name of one of our modules, and where its rendered lines go.

    What it heeds is what the `logging.Logger` of this name does, that is the root's level unless somebody sets its own.
    """

    def __init__(self, name: str, output: _Output) -> None:
        self.name = name
        self.heeds = logging.getLogger(name).isEnabledFor
        self.debug = self.info = self.warning = self.error = self.critical = output.write


class _Loggers:
    """Makes them, one for each name; without a name, that of the module that logs."""

    def __init__(self, output: _Output) -> None:
        self._output = output
        self._made: dict[str, _Logger] = {}

    def __call__(self, *names: str) -> _Logger:
        name = names[0] if names else _caller()
        if name not in self._made:
            self._made[name] = _Logger(name, self._output)
        return self._made[name]


def _caller() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - as structlog and logging do
    while True:
        name = str(frame.f_globals.get("__name__", "?"))
        if not name.startswith("structlog.") or frame.f_back is None:
            return name
        frame = frame.f_back


def configure_logs(level: str, log_format: str, secrets: Iterable[str] = (), *, for_good: bool = False) -> None:
    """Set up structlog and the root logger; `log_format` is json, console, or auto (console on a terminal, else JSON).

    `for_good`: no other call follows in this process, so a module's logger is put together once, not for each line.
    """
    on_terminal = sys.stderr.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not on_terminal)
    shared: list[Processor] = [
        _Circumstances(_moment if as_json else _time_of_day),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = _Json() if as_json else _Readable(colours=on_terminal)
    rendering = _Rendering(Redaction(secrets), renderer)
    output = _Output(sys.stderr)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, rendering],
        )
    )
    structlog.configure(
        processors=[_heeded_only, *shared, rendering],
        logger_factory=_Loggers(output),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        cache_logger_on_first_use=for_good,
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name, other_level in OTHER_LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()  # arq's command line and uvicorn bring handlers of their own
        logger.propagate = True
        logger.setLevel(logging.DEBUG if level == "debug" else other_level)
