"""Nothing that strangers choose does anything to the terminal of whoever reads it."""

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from wearon.cli import app, dead_letters, doctor, enqueue, output, progress, refunds, session, status_view
from wearon.doctor import Diagnosis, Finding, Level
from wearon.observability.kept_lines import LogLine
from wearon.observability.logging import configure_logs
from wearon.observability.visible import visible
from wearon.operations.incidents import KINDS
from wearon.operations.models import (
    FleetStatus,
    HistoryEvent,
    LedgerLine,
    Process,
    RefundHistory,
    RefundState,
    RunningJob,
    SessionHistory,
    SessionSummary,
)
from wearon.operations.refund_groups import Refunds
from wearon.platform.base import Channel, Session, SessionRef, Status
from wearon.queue.dead_letters import DeadLetter
from wearon.refunds.intents import Intent, NeedsReview, Outstanding
from wearon.settings import Mode
from wearon.supervisor import Component

TRICKS = {
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;b3duZWQ=\x1b\\",
    "screen": "\x1b[2J\x1b[H",
    "C1": "\x9b31m\x9d0;owned\x9c",
    "carriage return": "\r\x08\x7f\x00",
    "bidirectional": "\u202e\u2066\u200f",
    "no width": "\u200b\u2060\ufeff\u00ad",
    "tags": "\U000e0041\U000e007f\U000e0fff",
    "not drawn": "\u034f\u115f\u3164\uffa0\ufe0f\U000e0100\u2800",
    "anybody's": "\ue000\U0010ffff",
    "separators": "\u2028\u2029\x85",
    "half a character": "\ud83d",
}
EVIL = "[bold red]x[/] [/] " + "".join(TRICKS.values())
AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ID = "5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10"


HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}

UNDRAWN = {
    *"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0",
    *map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))),
}


def hidden_in(text: str) -> set[str]:
    return {ascii(c) for c in text if (unicodedata.category(c) in HIDDEN or c in UNDRAWN) and c != "\n"}


@given(st.text(st.characters(codec=None)))
def test_what_is_visible_holds_nothing_hidden_and_the_rest_unchanged(text: str) -> None:
    shown = visible(text, keep="\n")
    assert hidden_in(shown) == set()
    assert not hidden_in(text) or shown != text
    assert hidden_in(text) or shown == text


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_every_trick_is_written_out(trick: str) -> None:
    assert hidden_in(visible(trick)) == set()
    assert visible(f"a{trick}b").startswith("a")


def test_what_people_write_stays() -> None:
    text = "Größe 42 €, 試着, \u05d0\u05d1, \U0001f457 \u00a0 é e\u0301"
    assert visible(text) == text
    assert visible("a\nb\tc") == "a\nb\tc"
    assert visible("a\nb", keep="") == "a\\x0ab"


# The logs.


@pytest.fixture
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def say_everything_evil() -> None:
    with structlog.contextvars.bound_contextvars(request_id=EVIL):
        structlog.get_logger("wearon.x").info(
            f"request {EVIL}\nerror: forged", path=EVIL, nested={EVIL: [EVIL, (EVIL,)]}
        )
        try:
            raise ValueError(EVIL)
        except ValueError:
            structlog.get_logger("wearon.x").exception("failed")
    logging.getLogger("uvicorn.error").warning("odd: %s", EVIL)
    logging.getLogger("uvicorn.error").warning("does not fit: %d", EVIL)


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_log_line_is_visible(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logs("info", log_format)
    say_everything_evil()
    written = capsys.readouterr().err
    assert hidden_in(written) == set()
    assert "[bold red]x[/]" in written
    assert not any(line.startswith("error: forged") for line in written.splitlines())
    if log_format == "json":
        first, *_ = (json.loads(line) for line in written.splitlines())
        assert first["path"] == EVIL  # nothing is lost of it


@pytest.mark.usefixtures("_logging")
def test_on_a_terminal_only_our_own_colours_are_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    configure_logs("info", "auto")
    say_everything_evil()
    written = capsys.readouterr().err
    assert "\x1b[" in written
    for code in written.split("\x1b")[1:]:
        assert code.partition("m")[0].lstrip("[").replace(";", "").isdigit(), code[:20]
    assert hidden_in(written) == {r"'\x1b'"}


# The commands.


SUMMARY = SessionSummary(
    session_id=EVIL, channel=EVIL, owner_id=EVIL, request_id=EVIL, status=EVIL, created_at=AT, error_message=EVIL
)
STORY = SessionHistory(
    session=SUMMARY,
    credits_used=1,
    where=EVIL,
    reason=EVIL + "!",
    events=[HistoryEvent(at=AT, kind="step", title=EVIL, detail=EVIL, worker=EVIL)],
    refund=RefundHistory(
        state=RefundState.BY_HAND, sentence=EVIL, evidence=[LedgerLine(type=EVIL, description=EVIL)], last_error=EVIL
    ),
    log=[LogLine(at=AT, level=EVIL, event=EVIL, fields={EVIL: EVIL})],
)
EVILS = KINDS["dead_letters"].incident(EVIL, AT, code=EVIL, detail=EVIL, affected=1, what=EVIL, what_to_do=EVIL)
FLEET = FleetStatus(
    at=AT,
    mode="production",
    status=EVIL,
    incidents=[EVILS],
    recovered=[EVILS.model_copy(update={"recovered_at": AT})],
    failures_by_reason={EVIL: 1},
    last_hour=[],
    running=[
        RunningJob(session_id=EVIL, request_id=EVIL, channel=EVIL, worker=EVIL, step=EVIL, step_s=1, age_s=1, attempt=1)
    ],
    processes=[
        Process(
            worker=EVIL, host=EVIL, pid=1, version=EVIL, capacity=1, busy=0, beat_age_s=0, loop_lag_s=0, memory_mb=1,
            parts=[Component(name=EVIL, state="restarting")],
        )
    ],
)  # fmt: skip
INTENT = Intent(Channel.B2C, EVIL, EVIL, EVIL, EVIL, EVIL, AT.isoformat())
LETTER = DeadLetter(EVIL, EVIL, EVIL, EVIL, session_id=EVIL, request_id=EVIL)


def tell_refunds() -> None:
    refunds.show(Refunds([Outstanding(INTENT, EVIL)], [NeedsReview(INTENT, EVIL)]))


def tell_diagnosis() -> None:
    doctor._print(Diagnosis(Mode.LOCAL, [Finding("redis", Level.FAULT, EVIL, EVIL)]))


def tell_session() -> None:
    ref = SessionRef(Channel.B2C, EVIL, EVIL)
    enqueue._print(
        Session(
            ref=ref, status=Status.COMPLETED, created_at=AT, generated_image_url=EVIL, request_id=EVIL, credits_used=1
        )
    )


def tell_progress() -> None:
    lines = progress._InLines("Looking")
    lines._written_at = -1e9
    lines.say(EVIL)


VIEWS: dict[str, Callable[[], Any]] = {
    "session": lambda: session._tell(STORY),
    "sessions": lambda: session._list([SUMMARY]),
    "status": lambda: output.out.print(status_view.draw(FLEET)),
    "refunds": tell_refunds,
    "doctor": tell_diagnosis,
    "enqueue": tell_session,
    "progress": tell_progress,
    "dead letter": lambda: dead_letters.show("id"),
    "dead letters": lambda: dead_letters.list_letters(),
    "pushed again": lambda: dead_letters.discard("id", yes=True),
    "document": lambda: output.print_text(dead_letters._readable(json.dumps({EVIL: EVIL}))),
    "JSON": lambda: output.print_json({EVIL: EVIL}),
    "a bare text": lambda: output.out.print(EVIL, markup=False),
}


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_command_prints_is_visible(
    view: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for console in (output.out, output.errors):
        monkeypatch.setattr(console, "_width", 4000)
    found: Any = [LETTER] if view == "dead letters" else LETTER
    monkeypatch.setattr(dead_letters, "run_connected", lambda _work: found)
    VIEWS[view]()
    captured = capsys.readouterr()
    written = captured.out + captured.err
    assert "[bold red]x[/]" in written
    assert hidden_in(written) == set()


def test_an_error_is_visible(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise output.CommandError(f"there is no session of {EVIL}")

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(SystemExit):
        app.run()
    written = capsys.readouterr().err
    assert "[bold red]x[/]" in written
    assert hidden_in(written) == set()


def test_a_question_is_visible(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    output.confirm(f"Forget {EVIL}?", yes=False)
    captured = capsys.readouterr()
    assert "[bold red]x[/]" in captured.err
    assert hidden_in(captured.out + captured.err) == set()
