"""`wearon session`: why a session failed, and whether its credit was refunded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, out, plain, print_json, say
from wearon.cli.tables import print_table
from wearon.operations.words import plural, took

if TYPE_CHECKING:
    from wearon.operations.models import HistoryEvent, RefundHistory, SessionHistory, SessionSummary

REFUND_COLOURS = {
    "not_owed": "green",
    "given_back": "green",
    "outstanding": "yellow",
    "by_hand": "bold yellow",
    "not_seen": "bold red",
}

LOG_LINES = 20
"""The last lines, which tell how it ended; `--json` has all lines that are kept."""


def session(
    term: Annotated[str, typer.Argument(metavar="ID", help="A session, request, user or store id.")],
    as_json: AsJson = False,
) -> None:
    """Tell one session's history: what was done for it, how it ended, and where the credit is.

    A user's or store's id, or a request id of several sessions, lists them.

    Example: wearon session 5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10
    """
    found, history = run_connected(lambda connections: _find(connections, term))
    if history is not None:
        if as_json:
            print_json(history.model_dump(mode="json"))
        else:
            _tell(history)
        return
    if not found:
        raise CommandError(f"there is no session of {term}")
    if as_json:
        print_json({"sessions": [summary.model_dump(mode="json") for summary in found]})
    else:
        _list(found)


async def _find(connections: Connections, term: str) -> "tuple[Sequence[SessionSummary], SessionHistory | None]":
    """The sessions that the term names, and the history if it is one."""
    from wearon.app.readers import make_sessions, make_status_reader

    settings, redis = connections.settings, connections.redis
    sessions, _ = make_sessions(settings, redis, await connections.platform(), make_status_reader(settings, redis))
    found = await sessions.find(term)
    return found, await sessions.read(found[0].session_id) if len(found) == 1 else None


def _list(found: "Sequence[SessionSummary]") -> None:
    headings = ("session", "channel", "status", "created (UTC)", "what the shopper read")
    rows = [
        (one.session_id, one.channel, one.status, f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.error_message or "-")
        for one in found
    ]
    print_table("", headings, rows, texts=headings[-1:])


def _tell(history: "SessionHistory") -> None:
    session = history.session
    for name, value in (
        ("session", f"{session.session_id} ({session.channel}, {session.status})"),
        ("owner", session.owner_id),
        ("request", session.request_id),
        ("created", f"{session.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("now", history.advice.headline if history.advice else history.where),
        ("reason", history.reason if history.advice or (history.reason or "") not in history.where else None),
        ("to do", history.advice and history.advice.operator),
        ("clerk says", history.advice and history.advice.clerk),
        ("shopper can", history.advice and history.advice.shopper),
        ("shopper read", session.error_message),
        ("took", _costs(history)),
    ):
        if value:
            _line(name, plain(value))
    _tell_refund(history.refund)
    if history.events:
        out.print(_time_line(history.events))
    for line in history.log[-LOG_LINES:]:
        fields = " ".join(f"{name}={value}" for name, value in line.fields.items())
        text = f"{line.at:%H:%M:%S} {line.level:<8} {line.event} {fields}"
        say(plain(text))


def _tell_refund(refund: "RefundHistory") -> None:
    colour = REFUND_COLOURS.get(refund.state.value, "yellow")
    words = refund.state.value.replace("_", " ")
    _line("credit", f"[{colour}]{words}[/]{': ' if refund.sentence else ''}{plain(refund.sentence)}")
    for line in refund.evidence:
        _line("", f"[dim]ledger: {plain(line.type)}, {plain(line.description or '-')}[/]")
    if refund.last_error:
        _line("", f"[yellow]last error: {plain(refund.last_error)}[/]")


def _costs(history: "SessionHistory") -> str:
    parts = [
        None if history.processing_time_ms is None else f"{history.processing_time_ms / 1000:.1f} s",
        None if history.estimated_cost_usd is None else f"{history.estimated_cost_usd} USD",
        history.model and f"made by {history.model}",
        plural(history.credits_used, "credit"),
    ]
    return ", ".join(plain(part) for part in parts if part)


def _time_line(events: "Sequence[HistoryEvent]") -> Table:
    # What does not fit goes on in the next line, and is not cut.
    what, details = Column("what", overflow="fold"), Column("details", overflow="fold")
    table = Table("at (UTC)", "after", what, "took", details, box=SIMPLE)
    began, worker = events[0].at, None
    for event in events:
        where = f"on {event.worker}" if event.worker and event.worker != worker else None
        worker = event.worker or worker
        is_later = event.attempt and event.attempt > 1 and event.kind != "started"  # that one's title has the number
        attempt = f" (attempt {event.attempt})" if is_later else ""
        table.add_row(
            f"{event.at:%H:%M:%S}",
            f"{(event.at - began).total_seconds():.1f} s",
            plain(event.title) + attempt,
            "-" if event.seconds is None else took(event.seconds),
            plain(" ".join(part for part in (event.detail, where) if part) or "-"),
        )
    return table


def _line(name: str, value: str) -> None:
    say(f"[bold]{name:<13}[/]{value}")
