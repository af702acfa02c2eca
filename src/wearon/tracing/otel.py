"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP from a thread of its own. Imported only when wanted."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from wearon.tracing.context import SAMPLED, TraceContext
from wearon.tracing.tracing import Attribute, Kind

EXPORT_TIMEOUT_S = 5
"""A collector is near; one that is slower than this is broken, and spans are not worth waiting for."""

LAST_SPANS_S = 5.0
"""What stopping gives to the last spans; a process that stops has better things to do."""

KINDS = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.INTERNAL: SpanKind.INTERNAL,
}


class OtelRecorder:
    """Makes spans and sends them in batches. A collector that is away costs spans, and nothing else."""

    def __init__(self, traces_url: str, headers: Mapping[str, str], service_name: str, version: str) -> None:
        resource = Resource.create({"service.name": service_name, "service.version": version})
        exporter = OTLPSpanExporter(endpoint=traces_url, headers=dict(headers), timeout=EXPORT_TIMEOUT_S)
        self._ids = _ChosenIds()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("wearon", version)

    def start(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        trace_id: str | None,
        attributes: Mapping[str, Attribute],
    ) -> "OtelSpan":
        """See Recorder."""
        self._ids.next_trace_id = int(trace_id, 16) if trace_id else None
        return OtelSpan(
            self._tracer.start_span(
                name, set_span_in_context(_remote(parent)), KINDS[kind], attributes=dict(attributes)
            )
        )

    async def aclose(self) -> None:
        """See Recorder."""
        # Not in the loop's executor, whose threads a stopping loop waits for.
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop did not wait for us
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="last-spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SPANS_S):
                await ended.wait()


class OtelSpan:
    """One span of the SDK."""

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.context = TraceContext(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags & SAMPLED)
        )

    def rename(self, name: str) -> None:
        """See Span."""
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """See Span."""
        self._span.set_attributes(dict(attributes))

    def end(self, error: str | None) -> None:
        """See Span."""
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


def _remote(parent: TraceContext | None) -> NonRecordingSpan:
    if parent is None:
        return NonRecordingSpan(SpanContext(0, 0, is_remote=False))
    flags = TraceFlags(SAMPLED if parent.sampled else 0)
    return NonRecordingSpan(SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags))


class _ChosenIds(RandomIdGenerator):
    """Random ids, but for a trace whose id is known before its first span."""

    def __init__(self) -> None:
        self.next_trace_id: int | None = None

    def generate_trace_id(self) -> int:
        """Asked only for spans without a parent."""
        chosen, self.next_trace_id = self.next_trace_id, None
        return chosen or super().generate_trace_id()
