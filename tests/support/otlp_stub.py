"""An OpenTelemetry collector's stand-in: takes OTLP in JSON over HTTP, and keeps the spans."""

import gzip
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: Mapping[str, Any]
    failed: bool
    service: str


class OtlpStub:
    """The server, on a free loopback port."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.headers: list[Mapping[str, str]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                stub.headers.append({name.lower(): value for name, value in self.headers.items()})
                stub.take(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, message: Mapping[str, Any]) -> None:
        """Keep the spans of one export."""
        for resource in message["resourceSpans"]:
            service = _attributes(resource["resource"])["service.name"]
            for scope in resource["scopeSpans"]:
                self.spans.extend(_span(span, service) for span in scope["spans"])

    def named(self, name: str) -> list[ReceivedSpan]:
        """Those of that name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]


def _span(span: Mapping[str, Any], service: str) -> ReceivedSpan:
    return ReceivedSpan(
        name=span["name"],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        kind=span["kind"],
        attributes=_attributes(span),
        failed=span.get("status", {}).get("code") == 2,
        service=service,
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in holder.get("attributes", [])}
