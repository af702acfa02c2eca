"""`wearon doctor`."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from wearon.cli.output import AsJson, out, plain, print_json, say
from wearon.cli.progress import progress
from wearon.operations.words import plural

if TYPE_CHECKING:
    from wearon.doctor import Diagnosis, Finding

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "fault": "[bold red]FAULT[/]"}


def doctor(as_json: AsJson = False) -> None:
    """Check settings, Redis, Supabase, OpenAI, pose model and machine, without changing anything.

    Each fault says which promise it breaks (docs/guarantees.md). The status is 0 when there are at most warnings,
    and 1 when there is a fault.

    Example: wearon doctor --json
    """
    from wearon.doctor import Level, diagnose
    from wearon.observability.logging import configure_logs
    from wearon.settings import inspect_settings, misspelt

    settings, problems = inspect_settings()
    configure_logs("critical", settings.log_format, settings.secrets)
    with progress("Looking", quiet=as_json) as shown:
        diagnosis = asyncio.run(diagnose(settings, problems, misspelt(), lambda names: shown.say(", ".join(names))))
    if as_json:
        print_json(_describe(diagnosis))
    else:
        _print(diagnosis)
    if diagnosis.level is Level.FAULT:
        raise typer.Exit(1)


def _describe(diagnosis: "Diagnosis") -> dict[str, Any]:
    findings = [{**asdict(finding), "hint": finding.hint or None} for finding in diagnosis.findings]
    return {"mode": diagnosis.mode, "status": diagnosis.level, "findings": findings}


def _print(diagnosis: "Diagnosis") -> None:
    table = Table("", "what", "found", title=f"{diagnosis.mode} mode", title_justify="left", box=SIMPLE)
    for finding in diagnosis.findings:
        table.add_row(MARKS[finding.level], finding.check, _in_words(finding))
    out.print(table)
    levels = [finding.level.value for finding in diagnosis.findings]
    faults, warnings = levels.count("fault"), levels.count("warning")
    say(f"{plural(faults, 'fault')}, {plural(warnings, 'warning')}.")


def _in_words(finding: "Finding") -> str:
    lines = [plain(finding.message)]
    if finding.hint:
        lines.append(f"[dim]→ {plain(finding.hint)}[/]")
    if finding.breaks:
        lines.append(f"[red]breaks: {plain(finding.breaks)}[/]")
    return "\n".join(lines)
