"""The rules behind the overview: percentiles, problems, refunds, time lines. No Redis, no platform."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearon.overview.models import (
    ImageModelNow,
    LedgerLine,
    Minute,
    Now,
    PartNow,
    PosePoolNow,
    ProcessNow,
    QueuesNow,
    RefundState,
    RefusalNow,
)
from wearon.overview.problems import duration, find_problems, is_well
from wearon.overview.refund_story import RefundFacts, tell_refund
from wearon.overview.time_line import tell_events
from wearon.platform.base import Channel, Session, SessionRef, Status
from wearon.tryon.counts import BOUNDS_S, last_minutes, of_run, percentile_s
from wearon.tryon.failures import Reason
from wearon.tryon.generator import Usage
from wearon.tryon.journal import MAX_ENTRIES, RunEntry
from wearon.tryon.progress import Outcome, Run, Settled, Settlement
from wearon.tryon.refund_intents import Intent, NeedsAPerson, Outstanding

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REF = SessionRef(Channel.B2C, "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b")
SESSION = Session(REF, Status.FAILED, 1, NOON, error_message="sorry", completed_at=NOON + timedelta(seconds=5))
INTENT = Intent(Channel.B2C, REF.owner_id, REF.session_id, "", "", "", NOON.isoformat())

KEY_REFUSED = RefusalNow(dependency="supabase", words="Supabase refuses our key", since_s=31)
QUEUES = QueuesNow(tasks=0, taken=0, jobs=0, running=0, dead_letters=0, refunds=0, refunds_by_hand=0)
WORKER = ProcessNow(worker="w", host="h", pid=1, version="1", capacity=2, busy=0, beat_age_s=1, loop_lag_s=0)
WELL = Now(
    at=NOON,
    mode="production",
    status="ok",
    queues=QUEUES,
    processes=[WORKER],
    parts=[PartNow(name="worker", state="running")],
    pose_pool=PosePoolNow(processes=2, warm=2, waiting=0, expected_wait_s=0),
    last_hour=[Minute(at=at, completed=1) for at in last_minutes(NOON, 60)],
)


def asking(*models: ImageModelNow) -> ProcessNow:
    return WORKER.model_copy(update={"image_models": list(models)})


def test_the_last_day_of_an_image_model_is_told_once_when_it_is_near() -> None:
    ending = ImageModelNow(name="old", last_day=(NOON + timedelta(days=2)).date())
    gone = ImageModelNow(name="older", last_day=NOON.date())
    later = ImageModelNow(name="new", last_day=(NOON + timedelta(days=61)).date())
    process = asking(ending, later, gone, ImageModelNow(name="newest"))
    told = find_problems(WELL.model_copy(update={"processes": [process, process]}))
    assert told == [
        "old is shut down on 2026-11-26, in 2 days: name another model in OPENAI_MODEL.",
        "older was shut down on 2026-11-24: name another model in OPENAI_FALLBACK_MODELS.",
    ]
    assert is_well(WELL.model_copy(update={"processes": [process]})), "the pictures are made today"


def queues(**changes: Any) -> Now:
    return WELL.model_copy(update={"queues": QUEUES.model_copy(update=changes)})


def test_when_all_is_well_nothing_is_said() -> None:
    assert is_well(WELL)
    assert find_problems(WELL) == []


@pytest.mark.parametrize(
    ("now", "well", "sentence"),
    [
        (WELL.model_copy(update={"queues": None}), False, "Redis does not answer"),
        (queues(oldest_refund_s=31), False, "outstanding for 31 s"),
        (WELL.model_copy(update={"refusals": [KEY_REFUSED]}), False, "Supabase refuses our key, for 31 s."),
        (
            WELL.model_copy(update={"processes": [WORKER.model_copy(update={"refusals": [KEY_REFUSED]})]}),
            True,
            "Supabase refuses our key, says w.",
        ),
        (queues(refunds_by_hand=1), True, "1 refund has to be put right by hand"),
        (queues(dead_letters=2), True, "2 dead letters have to be looked at"),
        (queues(oldest_task_s=600), True, "waited for 10 min"),
        (
            WELL.model_copy(update={"parts": [PartNow(name="api", state="failed", error="x")]}),
            False,
            "api is failed: x",
        ),
        (
            WELL.model_copy(update={"pose_pool": PosePoolNow(processes=2, warm=1, waiting=0, expected_wait_s=0)}),
            False,
            "1 of 2 pose processes",
        ),
        (
            WELL.model_copy(update={"processes": [WORKER.model_copy(update={"beat_age_s": 9})]}),
            True,
            "w was last heard of 9 s ago",
        ),
        (
            queues(tasks=3).model_copy(update={"processes": [WORKER.model_copy(update={"capacity": 0})]}),
            True,
            "No worker is running: 3 tasks",
        ),
        (
            WELL.model_copy(
                update={
                    "last_hour": [Minute(at=NOON, completed=5, failed=5)],
                    "failures_by_reason": {"openai": 5},
                }
            ),
            True,
            "5 of 10 generations of the last 15 minutes failed, most often for: openai.",
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_each_trouble_is_one_sentence(now: Now, well: bool, sentence: str) -> None:
    (problem,) = find_problems(now)
    assert sentence in problem
    assert is_well(now) == well


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h")]
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


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
    run.end(Outcome.PUT_BACK, "PlatformUnavailable", Reason.PLATFORM)
    assert of_run(run) == ({"put_back": 1}, {})
    again = Run(REF, "", 2, made_picture=True, usage=Usage(1, 2, Decimal("0.25")))
    again.end(Outcome.COMPLETED)
    assert of_run(again) == ({"completed": 1, "cost_micro": 250_000}, {"pictures": 1, "cost_micro": 250_000})
    unknown = Run(REF, "", 1, made_picture=True)
    unknown.end(Outcome.COMPLETED)
    assert of_run(unknown)[1] == {"pictures": 1, "unknown_cost": 1}


def test_a_failed_run_is_counted_by_reason_and_with_its_refund() -> None:
    run = Run(REF, "", 1, settlement=Settlement(REF, "", Settled.GIVEN_BACK, ""))
    run.end(Outcome.FAILED, "no", Reason.MODERATION)
    assert of_run(run)[0] == {"failed": 1, "reason:moderation": 1, "refunded": 1}


def told(**facts: Any) -> RefundState:
    return tell_refund(RefundFacts(**{"session": SESSION} | facts), str).state


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PENDING, Status.PROCESSING, Status.COMPLETED])
def test_only_a_failed_session_is_owed_anything(status: Status) -> None:
    assert told(session=replace(SESSION, status=status)) is RefundState.NOT_OWED


def test_where_the_credit_is() -> None:
    refund = [LedgerLine(type="deduction", description=""), LedgerLine(type="refund", description="")]
    outstanding, by_hand = Outstanding(INTENT, "away"), NeedsAPerson(INTENT, "charged in money")
    assert told(session=replace(SESSION, credits_used=0)) is RefundState.NOT_OWED
    assert told() is RefundState.NOT_SEEN
    assert told(ledger=refund[:1]) is RefundState.NOT_SEEN
    assert told(outstanding=outstanding) is RefundState.OUTSTANDING
    assert told(by_hand=by_hand) is RefundState.BY_HAND
    assert told(ledger=refund, outstanding=outstanding, by_hand=by_hand) is RefundState.GIVEN_BACK, "the ledger decides"


def test_what_is_told_of_a_refund_is_cleaned() -> None:
    clean: Callable[[str], str] = lambda text: text.replace("ann@example.com", "***")  # noqa: E731
    story = tell_refund(RefundFacts(SESSION, outstanding=Outstanding(INTENT, "refused ann@example.com")), clean)
    assert story.last_error == "refused ***"


def run_entry(attempt: int, second: float, outcome: Outcome = Outcome.PUT_BACK) -> RunEntry:
    at = NOON + timedelta(seconds=second)
    return RunEntry(at=at + timedelta(seconds=1), began_at=at, attempt=attempt, outcome=outcome)


def events(*entries: RunEntry) -> list[str]:
    refund = tell_refund(RefundFacts(SESSION), str)
    return [event.title for event in tell_events(replace(SESSION, completed_at=None), entries, refund)]


def test_runs_that_nobody_wrote_down_are_named() -> None:
    assert events(run_entry(1, 1), run_entry(2, 3)).count("A run ended without a word") == 0
    assert "2 runs ended without a word" in events(run_entry(1, 1), run_entry(4, 9))
    assert "A run ended without a word" in events(run_entry(2, 3))


def test_runs_that_the_bounded_journal_let_go_are_no_crashes() -> None:
    kept = [run_entry(number, number) for number in range(100, 100 + MAX_ENTRIES)]
    assert not [title for title in events(*kept) if "without a word" in title]


def test_a_producer_with_a_clock_ahead_or_without_a_zone_keeps_the_order() -> None:
    ahead = run_entry(1, 1).model_copy(update={"pushed_at": NOON + timedelta(hours=1)})
    naive = run_entry(1, 1).model_copy(update={"pushed_at": NOON.replace(tzinfo=None)})
    for entry in (ahead, naive):
        assert events(entry)[:3] == ["Session opened", "Task pushed by the shop", "Run 1"]
