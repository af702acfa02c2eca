"""The rules behind status and histories: percentiles, refunds, time lines. No Redis, no platform."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.operations.counters import BOUNDS_S, of_run, percentile_s
from wearon.operations.entries import MAX_ENTRIES, RunEntry
from wearon.operations.models import LedgerLine, RefundState
from wearon.operations.refund_history import tell_refund
from wearon.operations.time_line import tell_events
from wearon.platform.base import Channel, Session, SessionRef, Status
from wearon.refunds.intents import Intent, NeedsReview, Outstanding, Settled, Settlement
from wearon.tryon.image_model import Usage
from wearon.tryon.retry_policy import Reason
from wearon.tryon.run import Outcome, Run

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REF = SessionRef(Channel.B2C, "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b")
SESSION = Session(REF, Status.FAILED, 1, NOON, error_message="sorry", completed_at=NOON + timedelta(seconds=5))
INTENT = Intent(Channel.B2C, REF.owner_id, REF.session_id, "", "", "", NOON.isoformat())


@given(st.lists(st.floats(0.01, 200), min_size=1, max_size=60), st.sampled_from([0.5, 0.95]))
def test_a_percentile_lies_within_the_bounds_that_it_was_counted_in(seconds: list[float], share: float) -> None:
    run = Run(REF, "", 1, answered_s=seconds)
    minute, _ = of_run(run)
    took = {int(name.removeprefix("took:")): count for name, count in minute.items() if name.startswith("took:")}
    assert sum(took.values()) == len(seconds)
    found = percentile_s(took, share)
    assert found is not None
    true = sorted(seconds)[max(0, -(-int(share * 100) * len(seconds) // 100) - 1)]
    bounds = [0.0, *BOUNDS_S]
    place = next((i for i, bound in enumerate(BOUNDS_S) if true <= bound), len(BOUNDS_S) - 1)
    assert bounds[place] - 0.01 <= found <= bounds[place + 1] + 0.01


def test_no_answers_have_no_percentile() -> None:
    assert percentile_s({}, 0.5) is None


def test_a_picture_is_counted_once_though_its_job_was_put_back() -> None:
    run = Run(REF, "", 1, made_picture=True, usage=Usage(1, 2, Decimal("0.25")))
    run.end(Outcome.RETRIED, "PlatformUnavailable", Reason.PLATFORM)
    assert of_run(run) == ({"put_back": 1, "retried:worker.platform": 1}, {})
    again = Run(REF, "", 2, made_picture=True, usage=Usage(1, 2, Decimal("0.25")))
    again.end(Outcome.COMPLETED)
    assert of_run(again) == ({"completed": 1, "cost_micro": 250_000}, {"pictures": 1, "cost_micro": 250_000})
    unknown = Run(REF, "", 1, made_picture=True)
    unknown.end(Outcome.COMPLETED)
    assert of_run(unknown)[1] == {"pictures": 1, "unknown_cost": 1}


def test_a_failed_run_is_counted_by_reason_and_with_its_refund() -> None:
    run = Run(REF, "", 1, settlement=Settlement(Settled.REFUNDED))
    run.end(Outcome.FAILED, "no", Reason.MODERATION)
    counts = {"failed": 1, "reason:moderation": 1, "refunded": 1}
    assert of_run(run)[0] == {**counts, "failed:worker.moderation": 1, "refunded:worker.moderation": 1}
    run.cause = "openai.moderated.generate"
    assert of_run(run)[0] == {**counts, f"failed:{run.cause}": 1, f"refunded:{run.cause}": 1}


def told(**facts: Any) -> RefundState:
    fields: dict[str, Any] = {"session": SESSION, "clean": str, **facts}
    return tell_refund(**fields).state


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PENDING, Status.PROCESSING, Status.COMPLETED])
def test_only_a_failed_session_is_owed_anything(status: Status) -> None:
    assert told(session=replace(SESSION, status=status)) is RefundState.NOT_OWED


def test_where_the_credit_is() -> None:
    refund = [LedgerLine(type="deduction", description=""), LedgerLine(type="refund", description="")]
    outstanding, by_hand = Outstanding(INTENT, "away"), NeedsReview(INTENT, "charged in money")
    assert told(session=replace(SESSION, credits_used=0)) is RefundState.NOT_OWED
    assert told() is RefundState.NOT_SEEN
    assert told(ledger=refund[:1]) is RefundState.NOT_SEEN
    assert told(outstanding=outstanding) is RefundState.OUTSTANDING
    assert told(by_hand=by_hand) is RefundState.BY_HAND
    assert told(ledger=refund, outstanding=outstanding, by_hand=by_hand) is RefundState.GIVEN_BACK, "the ledger decides"


def test_what_is_told_of_a_refund_is_cleaned() -> None:
    clean: Callable[[str], str] = lambda text: text.replace("ann@example.com", "***")  # noqa: E731
    story = tell_refund(SESSION, clean, outstanding=Outstanding(INTENT, "refused ann@example.com"))
    assert story.last_error == "refused ***"


def run_entry(attempt: int, second: float, outcome: Outcome = Outcome.RETRIED) -> RunEntry:
    at = NOON + timedelta(seconds=second)
    return RunEntry(at=at + timedelta(seconds=1), began_at=at, attempt=attempt, outcome=outcome)


def events(*entries: RunEntry) -> list[str]:
    refund = tell_refund(SESSION, str)
    return [event.title for event in tell_events(replace(SESSION, completed_at=None), entries, refund)]


def test_runs_that_nobody_wrote_down_are_named() -> None:
    assert events(run_entry(1, 1), run_entry(2, 3)).count("An attempt was cut off") == 0
    assert "2 attempts were cut off" in events(run_entry(1, 1), run_entry(4, 9))
    assert "An attempt was cut off" in events(run_entry(2, 3))


def test_runs_that_the_bounded_journal_let_go_are_no_crashes() -> None:
    kept = [run_entry(number, number) for number in range(100, 100 + MAX_ENTRIES)]
    assert not [title for title in events(*kept) if "cut off" in title]


def test_a_producer_with_a_clock_ahead_or_without_a_zone_keeps_the_order() -> None:
    ahead = run_entry(1, 1).model_copy(update={"pushed_at": NOON + timedelta(hours=1)})
    naive = run_entry(1, 1).model_copy(update={"pushed_at": NOON.replace(tzinfo=None)})
    for entry in (ahead, naive):
        assert events(entry)[:3] == ["Session opened", "Task pushed by the shop", "Attempt 1"]
