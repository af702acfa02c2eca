"""HTTP requests as metrics and spans. Labels are words of our code only, never what a caller sends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers
from starlette.types import Scope

from wearon.metrics import KNOWN_METHODS, Metrics
from wearon.observability.tracing import Tracing

UNMATCHED = "unmatched"
"""The one label for all paths that have no route."""

QUIET = ("/health", "/metrics")
"""Paths that machines ask all the time: they are counted, but get no spans."""


class Observation:
    """Counts and traces requests for the outermost middleware."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    @contextmanager
    def of(self, scope: Scope, request_id: str) -> Iterator["Observed"]:
        """Follow a request, which is answered within the block."""
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
        observed = Observed(self._metrics, self._tracing, scope, method)
        with self._tracing.entry(
            method,
            SpanKind.SERVER,
            request_id=request_id,
            traceparent=Headers(scope=scope).get("traceparent"),
            recorded=not scope["path"].startswith(QUIET),
        ):
            try:
                yield observed
            finally:
                # No answer means an error, which the server answers with 500.
                observed.answered(500)


class Observed:
    """One request. Its time ends with the head of the answer, because a live view's answer goes on for hours."""

    def __init__(self, metrics: Metrics, tracing: Tracing, scope: Scope, method: str) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._scope = scope
        self._method = method
        self._began = time.monotonic()
        self._answered = False

    def answered(self, status: int) -> None:
        """Note that the head of the answer is sent; only the first call counts."""
        if self._answered:
            return
        self._answered = True
        route = _route(self._scope)
        self._metrics.http_requests.labels(route, self._method, str(status)).inc()
        self._metrics.http_seconds.labels(route, self._method).observe(time.monotonic() - self._began)
        self._tracing.rename(f"{self._method} {route}")
        self._tracing.annotate({"http.route": route, "http.response.status_code": status})


def _route(scope: Scope) -> str:
    """The template of the path, or the mount point of a folder of files."""
    path = getattr(scope.get("route"), "path", None)
    return (path if isinstance(path, str) else scope.get("root_path")) or UNMATCHED
