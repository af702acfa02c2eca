"""HTTP requests as metrics and spans. Whatever a caller sends, the labels stay within what the app's code names."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import Scope

from wearon.metrics import KNOWN_METHODS, Metrics
from wearon.tracing import Kind, Tracing

UNMATCHED = "unmatched"
"""The route of paths that nobody has named: any number of them is one."""

QUIET = ("/health", "/metrics")
"""Asked all the time by machines: counted, but no span each."""


class Observation:
    """Told of each request by the outermost middleware."""

    def __init__(self, metrics: Metrics | None = None, tracing: Tracing | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._tracing = tracing or Tracing()

    @contextmanager
    def of(self, scope: Scope, request_id: str) -> Iterator["Observed"]:
        """The request is being answered within the block."""
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "other"
        observed = Observed(self._metrics, self._tracing, scope, method)
        with self._tracing.entry(
            method,
            Kind.SERVER,
            request_id=request_id,
            traceparent=Headers(scope=scope).get("traceparent"),
            recorded=not scope["path"].startswith(QUIET),
        ):
            try:
                yield observed
            finally:
                # Without an answer there was an error, and the server says 500.
                observed.answered(500)


class Observed:
    """One request. Its time ends with the head of its answer: a live view's answer goes on for hours."""

    def __init__(self, metrics: Metrics, tracing: Tracing, scope: Scope, method: str) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._scope = scope
        self._method = method
        self._began = time.monotonic()
        self._answered = False

    def answered(self, status: int) -> None:
        """The head of the answer goes out; only the first one counts."""
        if self._answered:
            return
        self._answered = True
        route = _route(self._scope)
        self._metrics.http_requests.labels(route, self._method, str(status)).inc()
        self._metrics.http_seconds.labels(route, self._method).observe(time.monotonic() - self._began)
        self._tracing.rename(f"{self._method} {route}")
        self._tracing.annotate({"http.route": route, "http.response.status_code": status})


def _route(scope: Scope) -> str:
    """The template of the path, or where a folder of files is mounted, as the code has it."""
    path = getattr(scope.get("route"), "path", None)
    return (path if isinstance(path, str) else scope.get("root_path")) or UNMATCHED
