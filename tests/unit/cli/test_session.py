"""What the terminal tells of one session."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from wearon.cli import session as module
from wearon.observability.kept_lines import LogLine
from wearon.operations.models import (
    HistoryEvent,
    LedgerLine,
    RefundHistory,
    RefundState,
    SessionHistory,
    SessionSummary,
)

AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SESSION = "5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10"

SUMMARY = SessionSummary(
    session_id=SESSION,
    channel="b2c",
    owner_id="0a3c1f6e-6a3f-4d58-9f7e-3f3c4f6b2a11",
    request_id="req_1",
    status="failed",
    created_at=AT,
    completed_at=AT + timedelta(seconds=31),
    error_message="Your image was flagged by the safety filter.",
)


def a_story(**changes: Any) -> SessionHistory:
    fields: dict[str, Any] = {
        "session": SUMMARY,
        "credits_used": 2,
        "processing_time_ms": 30_500,
        "estimated_cost_usd": Decimal("0.057152"),
        "where": "It failed: the safety filter refused it.",
        "reason": "moderation_blocked",
        "events": [
            HistoryEvent(at=AT, kind="created", title="Session created"),
            HistoryEvent(
                at=AT + timedelta(seconds=2), kind="step", title="Generate", seconds=28.25, attempt=2, worker="a:1"
            ),
        ],
        "refund": RefundHistory(
            state=RefundState.GIVEN_BACK,
            sentence="The ledger has it.",
            evidence=[LedgerLine(type="refund", description=f"Refund for [failed] session {SESSION}")],
        ),
        "log": [LogLine(at=AT, level="warning", event="session failed", fields={"reason": "[moderation]"})],
        **changes,
    }
    return SessionHistory(**fields)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "out", Console(width=160))


def told(story: SessionHistory, capsys: pytest.CaptureFixture[str]) -> str:
    module._tell(story)
    return capsys.readouterr().out


def test_why_and_whether_they_got_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(a_story(), capsys)
    for expected in (
        f"{SESSION} (b2c, failed)",
        "It failed: the safety filter refused it.",
        "moderation_blocked",
        "shopper read",
        "30.5 s, 0.057152 USD, 2 credits",
        "given back: The ledger has it.",
        f"ledger: refund, Refund for [failed] session {SESSION}",
        "Generate (attempt 2)",
        "28.2 s",
        "session failed reason=[moderation]",
    ):
        assert expected in text, expected


def test_nothing_of_the_time_line_is_cut_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "out", Console(width=80))
    worker = "wearon-jobs-7d9f8b6c5-x2x4z:1:9f3c2a"
    events = [
        HistoryEvent(at=AT, kind="started", title="Attempt 2", attempt=2, worker=worker),
        HistoryEvent(at=AT, kind="step", title="Generate", attempt=2, worker=worker, detail="x" * 90),
    ]
    text = told(a_story(events=events, log=[]), capsys)
    assert "…" not in text
    assert "Attempt 2 (attempt 2)" not in text
    folded = "".join(text.split())
    assert folded.count(worker) == 1, "it is told when it changes"
    assert folded.count("x" * 90) == 1


@pytest.mark.parametrize("state", list(RefundState))
def test_every_state_of_the_credit_is_told(state: RefundState, capsys: pytest.CaptureFixture[str]) -> None:
    assert state in module.REFUND_COLOURS
    refund = RefundHistory(state=state, sentence="A sentence.", last_error="PlatformUnavailable")
    text = told(a_story(refund=refund), capsys)
    assert f"{state.value.replace('_', ' ')}: A sentence." in text
    assert "last error: PlatformUnavailable" in text


def test_a_bare_story(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(
        a_story(
            processing_time_ms=None, estimated_cost_usd=None, reason=None, events=[], log=[], credits_used=1,
            session=SUMMARY.model_copy(update={"error_message": None, "request_id": None}),
        ),
        capsys,
    )  # fmt: skip
    assert "took         1 credit" in text
    assert "shopper read" not in text
    assert "request" not in text
