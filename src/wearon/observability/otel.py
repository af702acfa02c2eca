"""Spans by OpenTelemetry's SDK, sent as OTLP over HTTP from a thread of its own. Imported only when wanted."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, set_span_in_context

from wearon.observability.tracing import Attributes

EXPORT_TIMEOUT_S = 5
"""A collector is near; one that is slower than this is broken, and spans are not worth waiting for."""

LAST_SPANS_S = 5.0
"""How long stopping waits for the last spans; a process that stops has better things to do."""


class OtelSpans:
    """Makes spans and sends them in batches. A collector that is away costs spans, and nothing else."""

    def __init__(self, traces_url: str, headers: Mapping[str, str], service_name: str, version: str) -> None:
        resource = Resource.create({"service.name": service_name, "service.version": version})
        exporter = OTLPSpanExporter(endpoint=traces_url, headers=dict(headers), timeout=EXPORT_TIMEOUT_S)
        self._ids = _ChosenIds()
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("wearon", version)

    def start(
        self, name: str, kind: SpanKind, parent: SpanContext | None, trace_id: str | None, attributes: Attributes
    ) -> Span:
        self._ids.next_trace_id = int(trace_id, 16) if trace_id else None
        context = set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
        return self._tracer.start_span(name, context, kind, dict(attributes))

    async def aclose(self) -> None:
        """Send what is left, for a few seconds at most."""
        # Not in the loop's executor: a stopping loop waits for its threads.
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="last-spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SPANS_S):
                await ended.wait()


class _ChosenIds(RandomIdGenerator):
    """Random ids, but for a trace whose id is known before its first span."""

    def __init__(self) -> None:
        self.next_trace_id: int | None = None

    def generate_trace_id(self) -> int:
        """The SDK asks only for spans without a parent."""
        chosen, self.next_trace_id = self.next_trace_id, None
        return chosen or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Whether `traceparent` may promise so. A session's id, which others chose, need not be random."""
        return False
