"""Traces: the ids that a task or a request carries along, and spans where a collector is set.

The ids are those of OpenTelemetry's current span. Without a collector it is one that records nothing, made of the
caller's `traceparent` or of ids of our own: log lines and calls to our services carry them all the same, and the
SDK is never imported.
"""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext

from opentelemetry.context import Context, attach, detach, get_current, get_value, set_value
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

Attributes = Mapping[str, str | int | float | bool]
"""Spans are sent to other machines: no secrets, no signed URLs, no addresses of people."""

StartSpan = Callable[[str, SpanKind, SpanContext | None, str | None, Attributes], Span]
"""Starts a span: its name, its kind, its parent, the trace id for one without a parent, its attributes."""

NOT_OF_A_HEADER = re.compile(r"[^\x21-\x7e]")

MAX_REQUEST_ID = 200
"""Characters, as many as a task's request id may have."""

MAX_TRACEPARENT = 512
"""Characters. The propagator writes a log line about a longer one, and any caller can send one."""

_REQUEST_ID = "wearon-request-id"
_W3C = TraceContextTextMapPropagator()


class TracingError(Exception):
    """Spans were asked for, and cannot be made; the message is one line for the operator."""


class Tracing:
    """What entry points, steps and clients tell of their work. Without `start_span` only ids are carried along."""

    def __init__(self, start_span: StartSpan | None = None) -> None:
        self._start_span = start_span

    @contextmanager
    def entry(
        self,
        name: str,
        kind: SpanKind,
        *,
        request_id: str,
        traceparent: object,
        trace_id: str | None = None,
        recorded: bool = True,
    ) -> Iterator[None]:
        """Work that comes from outside, for the length of the block: log lines and calls within carry its ids.

        Without a valid `traceparent` it begins the trace `trace_id`, or a new one.
        """
        parent = parse_traceparent(traceparent)
        if self._start_span is not None and recorded:
            span = self._start_span(name, kind, parent, trace_id, {})
        else:
            span = NonRecordingSpan(parent or _new_trace(trace_id))
        trace_id = format_trace_id(span.get_span_context().trace_id)
        with bound_contextvars(trace_id=trace_id), _current(span, set_value(_REQUEST_ID, request_id)):
            yield

    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
    ) -> AbstractContextManager[None]:
        """A part of the present work, for the length of the block. Nothing when the work is not recorded."""
        present = get_current_span()
        if self._start_span is None or not present.is_recording():
            return nullcontext()
        span = self._start_span(name, kind, present.get_span_context(), None, attributes or {})
        return _current(span, get_current())

    def annotate(self, attributes: Attributes) -> None:
        """Add attributes to the present span."""
        get_current_span().set_attributes(attributes)

    def rename(self, name: str) -> None:
        """Give the present span the name that is known by now."""
        get_current_span().update_name(name)


@contextmanager
def _current(span: Span, context: Context) -> Iterator[None]:
    token = attach(set_span_in_context(span, context))
    try:
        yield
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR, type(error).__name__))  # its text may quote a URL
        raise
    finally:
        detach(token)
        span.end()


def _new_trace(trace_id: str | None) -> SpanContext:
    number = int(trace_id, 16) if trace_id else secrets.randbits(128)
    return SpanContext(number, secrets.randbits(64), is_remote=False)


def parse_traceparent(value: object) -> SpanContext | None:
    """The place in a trace that a `traceparent` (https://www.w3.org/TR/trace-context/) names; None when it names none.

    Callers can send anything: what is not exactly right counts as absent.
    """
    if not isinstance(value, str) or len(value) > MAX_TRACEPARENT or not value.isprintable():
        return None
    context = get_current_span(_W3C.extract({"traceparent": value}, Context())).get_span_context()
    return context if context.is_valid else None


def write_traceparent(place: SpanContext) -> str:
    """The header's value for a place in a trace."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, set_span_in_context(NonRecordingSpan(place), Context()))
    return headers["traceparent"]


def outgoing_headers() -> dict[str, str]:
    """`traceparent` and `X-Request-Id` for a call to a service of ours; nothing outside of jobs and requests.

    Not for the servers of pictures on the internet, which have no business with our ids.
    """
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    # A task's request id is any text, and a header is not.
    request_id = NOT_OF_A_HEADER.sub("_", str(get_value(_REQUEST_ID) or "")[:MAX_REQUEST_ID])
    return {**headers, "X-Request-Id": request_id} if headers and request_id else headers


@asynccontextmanager
async def open_tracing(
    traces_url: str | None, headers: Mapping[str, str], service_name: str, version: str
) -> AsyncIterator[Tracing]:
    """Send spans to `traces_url` (OTLP over HTTP) as those of `service_name`; None: nowhere. Raises TracingError."""
    if traces_url is None:
        yield Tracing()
        return
    try:
        from wearon.observability.otel import OtelSpans  # half a second, and an optional dependency
    except ImportError as error:
        raise TracingError(f"spans need the extra `otel` (uv sync --extra otel): {error}") from error
    spans = OtelSpans(traces_url, headers, service_name, version)
    try:
        yield Tracing(spans.start)
    finally:
        await spans.aclose()
