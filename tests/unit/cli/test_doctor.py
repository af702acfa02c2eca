"""How a diagnosis is told, and with which exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from wearon.cli import doctor as module
from wearon.doctor import Diagnosis, Finding, Level, Promise
from wearon.settings import Mode, Settings

WELL = Finding("redis", Level.OK, "answers")
ODD = Finding("supabase bucket", Level.WARNING, "takes files of [any] type", "allow just image/jpeg")
BROKEN = Finding("spool", Level.FAULT, "/spool cannot keep a file", "see SPOOL_DIR", Promise.PAID_ONCE)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "out", Console(width=120))


def run(monkeypatch: pytest.MonkeyPatch, *findings: Finding, as_json: bool = False) -> int:
    """The exit status."""

    async def diagnose(*_: object) -> Diagnosis:
        return Diagnosis(Mode.LOCAL, findings)

    monkeypatch.setattr("wearon.doctor.diagnose", diagnose)
    try:
        module.doctor(as_json=as_json)
    except typer.Exit as end:
        return int(end.exit_code)
    return 0


@pytest.mark.parametrize(("findings", "status"), [((WELL,), 0), ((WELL, ODD), 0), ((WELL, ODD, BROKEN), 1)])
def test_only_faults_fail(monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], status: int) -> None:
    assert run(monkeypatch, *findings) == status


def test_a_fault_names_its_promise(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, WELL, ODD, BROKEN)
    text = capsys.readouterr().out
    for expected in (
        "local mode",
        "takes files of [any] type",
        "→ allow just image/jpeg",
        "FAULT",
        "breaks: Once OpenAI has answered",
        "1 fault, 1 warning.",
    ):
        assert expected in text, expected


def test_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, WELL, BROKEN, as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["mode"], told["status"]) == ("local", "fault")
    assert told["findings"][1] == {
        "check": "spool",
        "level": "fault",
        "message": "/spool cannot keep a file",
        "hint": "see SPOOL_DIR",
        "breaks": Promise.PAID_ONCE.value,
    }
    assert told["findings"][0]["hint"] is told["findings"][0]["breaks"] is None
