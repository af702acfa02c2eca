"""What the terminal tells of many sessions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from wearon.cli import sessions as module
from wearon.cli.app import app
from wearon.operations.session_index import SessionLine, SessionPage, SessionQuery, read_moment
from wearon.operations.session_search import ids_in

AT = datetime(2026, 11, 24, 18, 30, 20, tzinfo=UTC)
SESSION = "5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10"
OWNER = "0a3c1f6e-6a3f-4d58-9f7e-3f3c4f6b2a11"
LINE = SessionLine(
    session_id=SESSION, at=AT, owner_id=OWNER, request_id="req_[red]1", channel="b2b", status="dead_letter",
    reason="rate_limit", attempt=2, took_s=41.27, model="gpt-image-2", cost_usd=Decimal("0.065"), refund="by_hand",
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SessionQuery]:
    """What the command asks for; the answer is one session."""
    queries: list[SessionQuery] = []

    async def answer(_connections: Any, query: SessionQuery, _limit: int) -> SessionPage:
        queries.append(query)
        return SessionPage(sessions=[LINE], kept=1, kept_since=AT)

    monkeypatch.setattr(module, "_read", answer)
    monkeypatch.setattr(module, "run_connected", lambda command: _finish(command(None)))
    return queries


def _finish(coroutine: Any) -> Any:
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


@pytest.mark.usefixtures("asked")
def test_no_id_is_cut_in_a_pipe_or_at_80_columns() -> None:
    (line,) = CliRunner().invoke(app, ["sessions"], env={"COLUMNS": "40"}).stdout.splitlines()
    for text in (SESSION, OWNER, "req_[red]1", "dead_letter", "rate_limit", "gpt-image-2", "0.065", "41.3s", "by_hand"):
        assert text in line
    narrow = module._line(LINE, whole=False)
    assert SESSION in narrow
    assert len(narrow.replace("[dim]", "").replace("[/]", "")) <= 80


def test_the_next_page_passes_nothing_over(capsys: pytest.CaptureFixture[str]) -> None:
    last = LINE.model_copy(update={"at": AT.replace(microsecond=700_001)})
    module._show(SessionPage(sessions=[last], cursor="1"), 1)
    until = capsys.readouterr().err.split("--until ")[1].strip()
    assert read_moment(until, AT) == last.at


def test_its_options_are_one_question(asked: list[SessionQuery]) -> None:
    options = [
        "--status",
        "failed",
        "--reason",
        "openai",
        "--channel",
        "b2c",
        "--owner",
        OWNER,
        "--since",
        "2026-11-24",
        "--refund",
        "by_hand",
        "--worker",
        "gen-a:1:ff",
        "--cause",
        "retried:",
    ]
    assert CliRunner().invoke(app, ["sessions", "5b0c2c", *options]).exit_code == 0
    (query,) = asked
    fields = {"status": "failed", "reason": "openai", "channel": "b2c", "owner_id": OWNER, "worker": "gen-a:1:ff"}
    assert query.wanted == {**fields, "refund": "by_hand"}
    assert (query.text, query.since) == ("5b0c2c", datetime(2026, 11, 24, tzinfo=UTC))
    assert query.cause == "retried:"


@pytest.mark.parametrize("wrong", [["5b0c"], ["--since", "soon"], ["--channel", "b2x"], ["--cause", "channel"]])
def test_what_cannot_be_asked_is_said_before_anything_is_asked(wrong: list[str], asked: list[SessionQuery]) -> None:
    assert CliRunner().invoke(app, ["sessions", *wrong]).exit_code != 0
    assert asked == []


def test_a_span_counts_the_minutes_that_the_status_counts() -> None:
    assert read_moment("60m", AT) == datetime(2026, 11, 24, 17, 31, tzinfo=UTC)
    assert read_moment("1h", AT) == read_moment("60m", AT)
    assert read_moment("9999999d", AT) is None
    assert read_moment("2026-11-24T20:00:00+02:00", AT) == datetime(2026, 11, 24, 18, tzinfo=UTC)


def test_ids_are_picked_out_of_the_text_around_them() -> None:
    assert ids_in(f"Session {SESSION.upper()} of {OWNER}, request req_8f3aQx91: failed") == [SESSION, OWNER]
    assert ids_in("hello, what about 2d3a6c1b9a10? it failed") == ["2d3a6c1b9a10"]
    assert ids_in("abcdef") == ["abcdef"]
    assert ids_in("a1b2c") == []
