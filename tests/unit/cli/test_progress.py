"""Progress shows on stderr, and only where it is wanted."""

import pytest
from rich.console import Console

from wearon.cli import progress as module
from wearon.cli.progress import progress


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "errors", Console(stderr=True, force_terminal=False))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "errors", Console(stderr=True, force_terminal=True, width=100))


@pytest.mark.usefixtures("plain")
def test_short_work_says_nothing_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Working") as shown:
        shown.say("first")
        shown.count(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("plain")
def test_long_work_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAIN_LINE_EVERY_S", 0.0)
    with progress("Working") as shown:
        shown.say("the [first] thing")
        shown.count(1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["Working: the [first] thing", "Working: 1 of 2"]


@pytest.mark.usefixtures("terminal")
def test_a_terminal_sees_it_move(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Working") as shown:
        shown.say("the [first] thing")
        shown.count(1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Working: the [first] thing" in err
    assert "1/2" in err


@pytest.mark.usefixtures("terminal")
def test_json_is_left_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAIN_LINE_EVERY_S", 0.0)
    with progress("Working", quiet=True) as shown:
        shown.say("first")
        shown.count(1, 2)
    assert capsys.readouterr() == ("", "")
