"""What another clock says about ours."""

from datetime import UTC, datetime, timedelta

import pytest

from wearon.doctor.clock import ClockReading, http_reading, judge_clock
from wearon.doctor.findings import Level

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def reading(ahead_s: float, took_s: float = 0.0, step_s: float = 0.0) -> ClockReading:
    """Our clock is `ahead_s` ahead when we ask at noon, and the answer takes `took_s`."""
    return ClockReading(NOON, NOON - timedelta(seconds=ahead_s), NOON + timedelta(seconds=took_s), step_s)


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [(0, Level.OK), (1.9, Level.OK), (-1.9, Level.OK), (2.5, Level.WARNING), (-30, Level.WARNING), (61, Level.FAULT)],
)
def test_the_further_the_worse(ahead_s: float, level: Level) -> None:
    assert judge_clock("clock", "Redis", reading(ahead_s)).level is level


def test_says_which_way() -> None:
    assert "20 s ahead of Redis" in judge_clock("clock", "Redis", reading(20)).message
    assert "20 s behind Redis" in judge_clock("clock", "Redis", reading(-20)).message


def test_what_a_slow_answer_or_a_coarse_clock_can_explain_is_not_held_against_ours() -> None:
    assert judge_clock("clock", "Supabase", reading(-10, took_s=9)).level is Level.OK
    assert judge_clock("clock", "Supabase", reading(2.9, step_s=1.0)).level is Level.OK
    assert judge_clock("clock", "Supabase", reading(3.1, step_s=1.0)).level is Level.WARNING


def test_reads_the_date_of_an_answer() -> None:
    found = http_reading(NOON, {"date": "Tue, 24 Nov 2026 11:59:00 GMT"}, NOON)
    assert found is not None
    assert found.ahead_s == 59
    assert http_reading(NOON, {}) is None
    assert http_reading(NOON, {"date": "soon"}) is None
    assert judge_clock("clock", "Supabase", None).level is Level.WARNING
