"""`wearon audit-log`: what did operators do?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.audit import span
from wearon.cli.connections import run_connected
from wearon.cli.output import AsJson, out, print_json
from wearon.cli.tables import print_table

if TYPE_CHECKING:
    from wearon.queue.audit_log import Facts


def audit_log(
    since: Annotated[
        timedelta | None, typer.Option(parser=span, metavar="SPAN", help="How far to look back: 2d, 12h, 30m.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the newest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what operators did, newest first: who, when, what, and what was before and after.

    It is what was done in the console, over HTTP and with commands: retries, discards, cancels, pauses and the like,
    and shoppers' pictures that were looked at. Redis keeps the newest 10,000 entries. Whether the books agree is
    another question: `wearon audit`.

    Example: wearon audit-log --since 2d
    """

    begin = datetime.now(UTC) - since if since else None
    entries = run_connected(lambda connections: connections.audit_log.read(limit, begin))
    if as_json:
        print_json({"entries": [entry.model_dump(mode="json") for entry in entries]})
        return
    if not entries:
        out.print("No operator has done anything.")
        return
    headings = ("at (UTC)", "by", "action", "about", "before", "after", "ids")
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            f"{entry.by} ({entry.via})",
            entry.action.replace("_", " "),
            entry.about,
            _in_words(entry.before),
            _in_words(entry.after),
            " ".join(entry.ids) or "-",
        )
        for entry in entries
    ]
    print_table("", headings, rows, texts=["before", "after", "ids"])


def _in_words(facts: Facts | None) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in (facts or {}).items()) or "-"
