"""`wearon demo` says at once when its picture can be written nowhere. tests/e2e/test_local_mode.py runs it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from wearon.cli import demo
from wearon.cli.app import app


def test_a_place_where_nothing_can_be_written_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def start() -> None:
        pytest.fail("it starts")

    monkeypatch.setattr(demo, "_demo", start)
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "nowhere" / "me.jpg")])
    assert done.exit_code == 1
    assert "--out /tmp/me.jpg" in str(done.exception) + done.output
