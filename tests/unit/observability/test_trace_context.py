"""What counts as a trace context, and what a call carries of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, format_trace_id

from wearon.observability.tracing import Tracing, outgoing_headers, parse_traceparent, write_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def place(*, sampled: bool) -> SpanContext:
    return SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=True, trace_flags=TraceFlags(sampled))


def test_a_good_one_is_read_and_written_again() -> None:
    context = parse_traceparent(GOOD)
    assert context == place(sampled=True)
    assert write_traceparent(context) == GOOD
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-00") == place(sampled=False)


def test_a_later_version_may_say_more() -> None:
    context = parse_traceparent(f"cc-{TRACE}-{SPAN}-03-what-the-future-brings")
    assert context is not None
    assert (context.trace_id, context.span_id, context.trace_flags.sampled) == (int(TRACE, 16), int(SPAN, 16), True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [GOOD],
        "",
        GOOD.upper(),
        GOOD + "\n",
        GOOD + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{'g' * 32}-{SPAN}-01",
        f"00-{chr(0x661) * 32}-{SPAN}-01",  # digits elsewhere
        f"01-{TRACE}-{SPAN}-01-" + "x" * 10_000,
    ],
)
def test_anything_else_is_none(value: object) -> None:
    assert parse_traceparent(value) is None


@given(st.text() | st.integers() | st.binary() | st.none())
def test_nothing_that_comes_in_can_break_it(value: object) -> None:
    assert parse_traceparent(value) is None


def test_outside_of_jobs_and_requests_a_call_carries_nothing() -> None:
    assert outgoing_headers() == {}


@pytest.mark.parametrize("traceparent", [GOOD, None, "rubbish"])
def test_within_one_a_call_carries_both_ids(traceparent: str | None) -> None:
    with Tracing().entry("job", SpanKind.CONSUMER, request_id="req_1", traceparent=traceparent, trace_id="ab" * 16):
        headers = outgoing_headers()
    assert headers["X-Request-Id"] == "req_1"
    carried = parse_traceparent(headers["traceparent"])
    assert carried is not None
    assert format_trace_id(carried.trace_id) == (TRACE if traceparent == GOOD else "ab" * 16)


@given(st.text(max_size=300))
def test_whatever_a_task_calls_its_request_makes_a_header(request_id: str) -> None:
    with Tracing().entry("job", SpanKind.CONSUMER, request_id=request_id, traceparent=None):
        carried = outgoing_headers().get("X-Request-Id", "")
    assert carried.isascii()
    assert carried.isprintable()
    assert len(carried) <= 200
    assert bool(carried) == bool(request_id)
