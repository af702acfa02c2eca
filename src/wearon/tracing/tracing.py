"""Spans, when somebody collects them: one for each request, job run, step and outgoing call. Nothing otherwise.

Without a recorder only the ids are carried on, and OpenTelemetry is never imported.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
from typing import Protocol

from wearon.tracing.context import Correlation, TraceContext, correlated, parse_traceparent, present

Attribute = str | int | float | bool


class Kind(StrEnum):
    """Which side of a call a span is."""

    SERVER = "server"
    CONSUMER = "consumer"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """One piece of work that is under way."""

    @property
    def context(self) -> TraceContext:
        """What calls that belong to it carry."""

    def rename(self, name: str) -> None:
        """What it is called is known by now."""

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more of it. No secrets, no signed URLs, no addresses of people: spans leave the house."""

    def end(self, error: str | None) -> None:
        """It is over; `error` is a word for what went wrong."""


class Recorder(Protocol):
    """Makes spans and sends them away."""

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        trace_id: str | None,
        attributes: Mapping[str, Attribute],
    ) -> Span:
        """Begin a span; without a parent it is the first of the trace `trace_id` (None: a new one)."""

    async def aclose(self) -> None:
        """Send what is left, for a few seconds at most."""


_span: ContextVar[Span | None] = ContextVar("wearon_span", default=None)


class Tracing:
    """What entry points, steps and clients tell of their work."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder

    @contextmanager
    def entry(
        self,
        name: str,
        kind: Kind,
        *,
        request_id: str,
        traceparent: object,
        trace_id: str | None = None,
        recorded: bool = True,
        **attributes: Attribute,
    ) -> Iterator[None]:
        """Work that comes from outside. A bad `traceparent` is as good as none: then `trace_id`, or a new trace."""
        parent = parse_traceparent(traceparent)
        if self._recorder is None or not recorded:
            with correlated(Correlation(request_id, parent or TraceContext.new(trace_id))):
                yield
            return
        span = self._recorder.start(name, kind, parent, trace_id, attributes)
        with correlated(Correlation(request_id, span.context)), _under_way(span):
            yield

    def span(
        self, name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Attribute] | None = None
    ) -> AbstractContextManager[None]:
        """A part of the present work; nothing outside of it, or when nobody collects spans."""
        here = present()
        if self._recorder is None or here is None or _span.get() is None:
            return nullcontext()
        return self._part(self._recorder, here, name, kind, attributes or {})

    def annotate(self, attributes: Mapping[str, Attribute]) -> None:
        """Say more of the present span, if there is one."""
        if (span := _span.get()) is not None:
            span.set(attributes)

    def rename(self, name: str) -> None:
        """Call the present span something else, if there is one."""
        if (span := _span.get()) is not None:
            span.rename(name)

    @contextmanager
    def _part(
        self, recorder: Recorder, here: Correlation, name: str, kind: Kind, attributes: Mapping[str, Attribute]
    ) -> Iterator[None]:
        span = recorder.start(name, kind, here.trace, None, attributes)
        with correlated(Correlation(here.request_id, span.context)), _under_way(span):
            yield


@contextmanager
def _under_way(span: Span) -> Iterator[None]:
    token = _span.set(span)
    error: str | None = None
    try:
        yield
    except BaseException as raised:
        error = type(raised).__name__  # its text may quote a URL
        raise
    finally:
        _span.reset(token)
        span.end(error)


class TracingError(Exception):
    """Spans were asked for, and cannot be made; the message is one line for the operator."""


@asynccontextmanager
async def open_tracing(
    traces_url: str | None, headers: Mapping[str, str], service_name: str, version: str
) -> AsyncIterator[Tracing]:
    """Spans go to `traces_url` (OTLP over HTTP) as those of `service_name`; None: nowhere. Raises TracingError."""
    if traces_url is None:
        yield Tracing()
        return
    try:
        from wearon.tracing.otel import OtelRecorder  # half a second, and an optional dependency
    except ImportError as error:
        raise TracingError(f"spans need the extra `otel` (uv sync --extra otel): {error}") from error
    recorder = OtelRecorder(traces_url, headers, service_name, version)
    try:
        yield Tracing(recorder)
    finally:
        await recorder.aclose()
