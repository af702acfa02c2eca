"""`wearon audit`: do the books agree?"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, plain, print_json, say
from wearon.cli.progress import progress
from wearon.operations.words import plural

if TYPE_CHECKING:
    from wearon.operations.audit.auditor import Audited
    from wearon.operations.audit.books import Finding

SPAN = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def span(text: str) -> timedelta:
    """A span of time such as `2d`, `12h` or `30m`."""
    found = SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{plain(text)} is not a span of time such as 2d, 12h or 30m")
    return int(found[1]) * UNITS[found[2]]


def audit(
    since: Annotated[
        timedelta, typer.Option(parser=span, metavar="SPAN", help="How old the oldest session may be: 2d, 12h, 30m.")
    ] = "2d",  # type: ignore[assignment]
    repair: Annotated[bool, typer.Option("--repair", help="Make the refunds that are missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare ended sessions with the credit ledgers, the stored pictures and the history.

    A running worker does this every hour by itself, for what is new. Sessions that ended within the last two minutes
    are left out. With --repair each missing refund goes through the refund outbox, which makes it once; nothing else is
    changed. The exit status is 1 while something does not agree.

    Example: wearon audit --since 12h
    """

    async def check(connections: Connections) -> Audited:
        from wearon.app.housekeeping import make_auditor
        from wearon.queue.audit_log import Action

        auditor = make_auditor(connections.settings, connections.redis, await connections.platform())
        async with connections.noting(Action.REPAIR_BOOKS, "all", dry_run=not repair) as doing:
            done = await auditor.audit(since, repair=repair, on_progress=lambda count: shown.say(f"{count} sessions"))
            if done.settled:
                sessions = [finding.session_id for finding in done.settled]
                doing.came_to({"refunds_made": len(sessions)}, ids=sessions)
            else:
                doing.changed_nothing()
        return done

    with progress("Auditing", quiet=as_json) as shown:
        audited = run_connected(check)
    found = sum(audited.counts.values())
    if as_json:
        print_json(_describe(audited))
    else:
        _show(audited)
    if found:
        why = "; it ended early: repair, then audit again" if audited.is_full else ""
        raise CommandError(f"the books do not agree in {plural(found, 'place')}{why}")


def _show(audited: Audited) -> None:
    if audited.settled:
        say(f"Refunds made, or on their way: {len(audited.settled)}")
        _list(audited.settled)
    for kind, count in audited.counts.items():
        if count:
            findings = [finding for finding in audited.findings if finding.kind == kind]
            named = "" if len(findings) == count else f" (the first {len(findings)} are named)"
            say(f"[bold]{plain(kind).replace('_', ' ').capitalize()}[/]: {count}{named}")
            _list(findings)
    agree = "" if sum(audited.counts.values()) else " The books agree."
    say(f"{plural(audited.sessions, 'session')} audited.{agree}")


def _list(findings: list[Finding]) -> None:
    for finding in findings:
        say(f"  {plain(finding.session_id)} ({plain(finding.channel)})")
        say(f"    {plain(finding.detail)}")


def _describe(audited: Audited) -> dict[str, object]:
    return {
        "created_from": audited.created_from.isoformat(),
        "sessions": audited.sessions,
        "counts": {kind: count for kind, count in audited.counts.items() if count},
        "findings": [finding.model_dump(mode="json") for finding in audited.findings],
        "settled": [finding.model_dump(mode="json") for finding in audited.settled],
        "ended_early": audited.is_full,
    }
