"""What the terminal tells of dead letters."""

from typing import Any

import pytest
from typer.testing import CliRunner

from wearon.cli import dead_letters as module
from wearon.cli.app import app
from wearon.queue.dead_letters import DeadLetter


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[DeadLetter]:
    """What there is: with it every action is answered, and no group has a letter."""
    letters: list[DeadLetter] = []
    monkeypatch.setattr(module, "_act", lambda _action: letters[0] if letters else [])
    monkeypatch.setattr(module, "_in_parts", lambda *_parts, **_quiet: [])
    return letters


def wearon(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dead-letters", *arguments])


@pytest.mark.parametrize("payload", ["[" * 50_000, '{"a": ' * 9_000, "not JSON", "1" * 5_000])
def test_a_document_that_cannot_be_laid_out_is_shown_as_it_is(kept: list[DeadLetter], payload: str) -> None:
    kept.append(DeadLetter(id="3fa9c0d1b2e4", at="2026-11-24T15:00:00", reason="not JSON", payload=payload))
    done = wearon("show", "3fa9c0d1b2e4")
    assert (done.exit_code, payload in done.stdout) == (0, True)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("how", [["--yes"], ["--dry-run"], ["--yes", "--json"]])
def test_a_group_that_is_not_there_was_not_retried(how: list[str]) -> None:
    done = wearon("retry", "--group", "0000beef", *how)
    assert done.exit_code == 1
    assert str(done.exception) == "there is no group 0000beef"


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "There are no dead letters."),
        (["--group", "0000beef"], "There are no dead letters of this group."),
        (["--skip", "100"], "There are no dead letters behind those."),
    ],
)
def test_an_empty_list_does_not_say_that_there_are_none_at_all(options: list[str], told: str) -> None:
    assert wearon("list", *options).stdout.strip() == told
