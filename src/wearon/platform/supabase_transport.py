"""The transport of requests to Supabase: it counts each, makes it a span and adds the ids of the present work."""

import time

import httpx
from opentelemetry.trace import SpanKind

from wearon.metrics import Metrics
from wearon.observability.tracing import Tracing, outgoing_headers
from wearon.platform.supabase_answers import AnsweredNo


class ObservedTransport(httpx.AsyncBaseTransport):
    """Observes the requests of another transport."""

    def __init__(self, transport: httpx.AsyncBaseTransport, metrics: Metrics, tracing: Tracing) -> None:
        self._transport = transport
        self._metrics = metrics
        self._tracing = tracing

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises what the transport raises."""
        service, called = _called(request.url.path)
        outcome = "cut_off"  # a time-out of ours, or a shutdown
        began = time.monotonic()
        attributes = {"server.address": request.url.host, "http.request.method": request.method}
        try:
            with self._tracing.span(f"{request.method} {called}", SpanKind.CLIENT, attributes):
                request.headers.update(outgoing_headers())
                response = await self._transport.handle_async_request(request)
                self._tracing.annotate({"http.response.status_code": response.status_code})
            outcome = _outcome(response.status_code)
            return response
        except (httpx.HTTPError, AnsweredNo):
            outcome = "failed"
            raise
        finally:
            self._metrics.supabase_requests.labels(service, outcome).inc()
            self._metrics.supabase_seconds.labels(service).observe(time.monotonic() - began)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _called(path: str) -> tuple[str, str]:
    """The service, and the name of its span: the table or function, never an object's path."""
    match path.strip("/").split("/"):
        case ["rest", "v1", "rpc", function]:
            return "rpc", f"rpc {function}"
        case ["rest", "v1", table]:
            return "rest", table
        case ["storage", "v1", *_]:
            return "storage", "storage"
        case _:
            return "other", "supabase"


def _outcome(status: int) -> str:
    if status < 400:
        return "ok"
    return "refused" if status < 500 else "failed"
