"""One thread through everything that a task or a request causes: log lines, outgoing calls, and spans if wanted."""

from wearon.tracing.context import TraceContext, outgoing_headers, parse_traceparent
from wearon.tracing.tracing import Kind, Recorder, Span, Tracing, open_tracing

__all__ = [
    "Kind",
    "Recorder",
    "Span",
    "TraceContext",
    "Tracing",
    "open_tracing",
    "outgoing_headers",
    "parse_traceparent",
]
