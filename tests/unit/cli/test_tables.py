"""Ids are whole in every table, however narrow the terminal is."""

import io
from uuid import uuid4

import pytest

from wearon.cli import output, tables
from wearon.cli.output import VisibleConsole

SESSION, REQUEST = str(uuid4()), f"req_{uuid4().hex}"
ROWS = [(SESSION, REQUEST, "a [long] reason " * 20, "why " * 30)]


@pytest.mark.parametrize("width", [40, 80, 300])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_no_id_is_cut(width: int, is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    console = VisibleConsole(file=io.StringIO(), width=width, force_terminal=is_terminal, no_color=True)
    monkeypatch.setattr(output, "out", console)
    monkeypatch.setattr(tables, "out", console)
    tables.print_table("Need review", ("session", "request", "reason", "why"), ROWS, texts=["reason", "why"])
    written = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line for line in written.splitlines() if line.strip()]
    assert any(SESSION in line for line in lines)
    assert any(REQUEST in line for line in lines)
    assert "…" not in written
    assert written.count("[long]") == 20
    if not is_terminal:
        assert len(lines) == 4, "a row is a line, for grep"
