"""Spans when somebody collects them, sent over the wire to a collector's stand-in; nothing otherwise."""

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.trace import SpanKind, format_trace_id
from pydantic import SecretStr

from support.otlp_stub import OtlpStub
from wearon.observability.tracing import Tracing, TracingError, open_tracing, outgoing_headers, parse_traceparent
from wearon.settings import Settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
GOOD = f"00-{TRACE}-b7ad6b7169203331-01"


async def test_a_span_lies_within_the_one_that_surrounds_it_in_the_callers_trace() -> None:
    with OtlpStub() as otlp:
        async with open_tracing(f"{otlp.url}/v1/traces", {"x-key": "secret"}, "shop-worker", "1.2") as tracing:
            with tracing.entry("generate", SpanKind.CONSUMER, request_id="req_1", traceparent=GOOD):
                with tracing.span("photos"):
                    carried = outgoing_headers()["traceparent"]
                tracing.annotate({"wearon.outcome": "completed"})
        (photos,), (job,) = otlp.named("photos"), otlp.named("generate")
    assert job.trace_id == photos.trace_id == TRACE
    assert job.parent_id == "b7ad6b7169203331"
    assert photos.parent_id == job.span_id
    assert carried == f"00-{TRACE}-{photos.span_id}-01"
    assert job.attributes == {"wearon.outcome": "completed"}
    assert job.service == "shop-worker"
    assert otlp.headers[0]["x-key"] == "secret"


async def test_work_side_by_side_keeps_its_spans_apart() -> None:
    async def job(tracing: Tracing, number: int) -> None:
        with tracing.entry(
            f"job {number}", SpanKind.CONSUMER, request_id="", traceparent=None, trace_id=f"{number:032x}"
        ):
            await asyncio.sleep(0)
            with tracing.span(f"step {number}"):
                await asyncio.sleep(0)

    with OtlpStub() as otlp:
        async with open_tracing(f"{otlp.url}/v1/traces", {}, "wearon", "1") as tracing:
            await asyncio.gather(*(job(tracing, number) for number in range(1, 6)))
        for number in range(1, 6):
            (step,), (whole,) = otlp.named(f"step {number}"), otlp.named(f"job {number}")
            assert step.trace_id == whole.trace_id == f"{number:032x}"
            assert step.parent_id == whole.span_id
            assert not whole.parent_id


async def test_a_failure_is_told_by_its_kind_and_never_by_its_text() -> None:
    with OtlpStub() as otlp:
        async with open_tracing(f"{otlp.url}/v1/traces", {}, "wearon", "1") as tracing:
            with (
                pytest.raises(ValueError, match="token"),
                tracing.entry("job", SpanKind.CONSUMER, request_id="", traceparent=None),
            ):
                raise ValueError("https://host/picture?token=secret")
        (span,) = otlp.named("job")
    assert span.failed
    assert "secret" not in repr(otlp.spans)


async def test_a_caller_that_does_not_record_is_not_recorded() -> None:
    with OtlpStub() as otlp:
        async with open_tracing(f"{otlp.url}/v1/traces", {}, "wearon", "1") as tracing:
            with tracing.entry("job", SpanKind.CONSUMER, request_id="", traceparent=GOOD[:-1] + "0"):
                carried = parse_traceparent(outgoing_headers()["traceparent"])
    assert otlp.spans == []
    assert carried is not None
    assert (format_trace_id(carried.trace_id), carried.trace_flags.sampled) == (TRACE, False)


async def test_a_collector_that_is_away_costs_nothing_but_spans(caplog: pytest.LogCaptureFixture) -> None:
    async with open_tracing("http://127.0.0.1:1/v1/traces", {}, "wearon", "1") as tracing:
        with tracing.entry("job", SpanKind.CONSUMER, request_id="", traceparent=None):
            pass


async def test_spans_that_cannot_be_made_are_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wearon.observability.otel", None)
    with pytest.raises(TracingError, match="extra `otel`"):
        async with open_tracing("http://127.0.0.1:1/v1/traces", {}, "wearon", "1"):
            pass


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, None),
        ({"otel_exporter_otlp_endpoint": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"otel_exporter_otlp_traces_endpoint": "https://spans.example/in"}, "https://spans.example/in"),
    ],
)
def test_where_spans_go_is_said_the_way_opentelemetry_says_it(given: dict[str, str], url: str | None) -> None:
    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    assert settings.traces_url == url


def test_the_collectors_key_is_a_secret() -> None:
    headers = SecretStr("X-Key=a%20secret%3D, x-tenant=shop")
    settings = Settings(_env_file=None, otel_exporter_otlp_headers=headers)
    assert settings.traces_headers == {"x-key": "a secret=", "x-tenant": "shop"}
    assert "a secret=" in settings.secrets
    assert "a secret=" not in repr(settings)


@pytest.mark.slow
def test_nothing_that_makes_or_sends_spans_is_imported_when_nobody_collects_them() -> None:
    heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "wearon.observability.otel")
    code = f"import sys, wearon.app.serve; print([m for m in sys.modules if m.startswith({heavy})])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
