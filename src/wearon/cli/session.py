"""`wearon session`: why did this one fail, and did they get the credit back?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, out, plain, print_json

if TYPE_CHECKING:
    from wearon.overview.models import RefundStory, SessionStory, SessionSummary, StoryEvent

REFUND_COLOURS = {
    "not_owed": "green",
    "given_back": "green",
    "outstanding": "yellow",
    "by_hand": "bold yellow",
    "not_seen": "bold red",
}

LOG_LINES = 20
"""The last ones, which tell how it ended; `--json` has all that are kept."""


def session(
    term: Annotated[str, typer.Argument(metavar="ID", help="A session, request, user or store id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell one session's story: what was done for it, how it ended, and where the credit is.

    A user's or store's id, or a request id of several sessions, lists them.

    Example: wearon session 5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10
    """
    found, story = run_connected(lambda connections: _look(connections, term))
    if story is not None:
        if as_json:
            print_json(story.model_dump(mode="json"))
        else:
            _tell(story)
        return
    if not found:
        raise CommandError(f"there is no session of {term}")
    if as_json:
        print_json({"sessions": [summary.model_dump(mode="json") for summary in found]})
    else:
        out.print(_list(found))


async def _look(connections: Connections, term: str) -> "tuple[Sequence[SessionSummary], SessionStory | None]":
    """The sessions that the term names, and the story when it is one."""
    from wearon.assembly import make_overview

    platform = await connections.platform()
    overview = make_overview(connections.settings, connections.redis, platform)
    found = await overview.find_sessions(term)
    return found, await overview.story(found[0].session_id) if len(found) == 1 else None


def _list(found: "Sequence[SessionSummary]") -> Table:
    table = Table(
        Column("session", no_wrap=True), "channel", "status", "created (UTC)", "what the shopper read", box=SIMPLE
    )
    for summary in found:
        table.add_row(
            plain(summary.session_id),
            plain(summary.channel),
            plain(summary.status),
            f"{summary.created_at:%Y-%m-%d %H:%M:%S}",
            plain(summary.error_message or "-"),
        )
    return table


def _tell(story: "SessionStory") -> None:
    session = story.session
    for name, value in (
        ("session", f"{session.session_id} ({session.channel}, {session.status})"),
        ("owner", session.owner_id),
        ("request", session.request_id),
        ("created", f"{session.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("now", story.where),
        ("reason", None if story.reason and story.reason in story.where else story.reason),
        ("shopper read", session.error_message),
        ("took", _costs(story)),
    ):
        if value:
            _line(name, plain(value))
    _tell_refund(story.refund)
    if story.events:
        out.print(_time_line(story.events))
    for line in story.log[-LOG_LINES:]:
        fields = " ".join(f"{name}={value}" for name, value in line.fields.items())
        text = f"{line.at:%H:%M:%S} {line.level:<8} {line.event} {fields}"
        out.print(plain(text), highlight=False, soft_wrap=True)


def _tell_refund(refund: "RefundStory") -> None:
    colour = REFUND_COLOURS.get(refund.state.value, "yellow")
    words = refund.state.value.replace("_", " ")
    _line("credit", f"[{colour}]{words}[/]{': ' if refund.sentence else ''}{plain(refund.sentence)}")
    for line in refund.evidence:
        _line("", f"[dim]ledger: {plain(line.type)}, {plain(line.description or '-')}[/]")
    if refund.last_error:
        _line("", f"[yellow]last error: {plain(refund.last_error)}[/]")


def _costs(story: "SessionStory") -> str:
    parts = [
        None if story.processing_time_ms is None else f"{story.processing_time_ms / 1000:.1f} s",
        None if story.estimated_cost_usd is None else f"{story.estimated_cost_usd} USD",
        story.model and f"made by {story.model}",
        f"{story.credits_used} credit{'' if story.credits_used == 1 else 's'}",
    ]
    return ", ".join(plain(part) for part in parts if part)


def _time_line(events: "Sequence[StoryEvent]") -> Table:
    table = Table("at (UTC)", "after", "what", "took", "details", "worker", box=SIMPLE)
    began = events[0].at
    for event in events:
        attempt = f" (attempt {event.attempt})" if event.attempt and event.attempt > 1 else ""
        table.add_row(
            f"{event.at:%H:%M:%S}",
            f"{(event.at - began).total_seconds():.1f} s",
            plain(event.title) + attempt,
            "-" if event.seconds is None else f"{event.seconds:.1f} s",
            plain(event.detail or "-"),
            plain(event.worker or "-"),
        )
    return table


def _line(name: str, value: str) -> None:
    out.print(f"[bold]{name:<13}[/]{value}", highlight=False, soft_wrap=True)
