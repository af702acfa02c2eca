"""`wearon sessions`: the list of sessions, filtered, and found by a part of an id."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, errors, out, plain, print_json, say
from wearon.operations.words import took

if TYPE_CHECKING:
    from wearon.operations.session_index import SessionLine, SessionPage, SessionQuery

WIDE = 140
"""Columns that a terminal needs for all that is known of a session; a pipe always gets it."""


def sessions(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Six characters of an id, or a text around one.")] = "",
    status: Annotated[
        str, typer.Option(help="waiting, running, retried, completed, failed, stopped, dead_letter or ended_elsewhere.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why it failed: moderation, openai, picture, ...")] = "",
    channel: Annotated[str, typer.Option(help="b2b or b2c.")] = "",
    refund: Annotated[str, typer.Option(help="given_back, postponed, by_hand, nothing_owed, ...")] = "",
    owner: Annotated[str, typer.Option(help="A store's or a user's id.")] = "",
    worker: Annotated[str, typer.Option(help="The worker of its last attempt.")] = "",
    cause: Annotated[str, typer.Option(help="How one begins: failed:openai., retried: (more than one attempt).")] = "",
    since: Annotated[str, typer.Option(help="60m, 2h, 1d, or a point in time (in UTC, if it names no zone).")] = "",
    until: Annotated[
        str, typer.Option(help="60m, 2h, 1d, or a point in time; sessions of that moment are left out.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List sessions, newest first: those of the last JOURNAL_HOURS, and older ones by a whole id.

    Example: wearon sessions --status failed --since 2h
    """
    from wearon.operations.session_index import SessionQuery, read_cause, read_moment
    from wearon.operations.session_search import SHORTEST_PART, ids_in
    from wearon.platform.base import Channel

    now = datetime.now(UTC)
    try:
        query = SessionQuery(
            text=text,
            status=status,
            reason=reason,
            channel=Channel(channel) if channel else None,
            refund=refund,
            owner_id=owner,
            worker=worker,
            cause=read_cause(cause),
            since=read_moment(since, now),
            until=read_moment(until, now),
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    if text and not ids_in(text):
        raise CommandError(f"there is no id in {text!r}, nor {SHORTEST_PART} characters of one")
    page = run_connected(lambda connections: _read(connections, query, limit))
    if as_json:
        print_json(page.model_dump(mode="json"))
    else:
        _show(page, limit)


def _show(page: "SessionPage", limit: int) -> None:
    for line in page.sessions:
        say(_line(line, whole=not out.is_terminal or out.width >= WIDE))
    if page.cursor:
        # To the microsecond: sessions that ended within the same second are not passed over.
        errors.print(
            f"[dim]There are more: --limit {2 * limit}, or --until {page.sessions[-1].at:%Y-%m-%dT%H:%M:%S.%fZ}[/]"
        )
    if not page.sessions:
        raise CommandError("no such session is known" + (_kept(page) if page.kept_since else ""))


async def _read(connections: Connections, query: "SessionQuery", limit: int) -> "SessionPage":
    """One page of up to `limit` sessions, however many lines must be looked at for it."""
    from wearon.app.readers import make_sessions, make_status_reader

    settings, redis = connections.settings, connections.redis
    status = make_status_reader(settings, redis)
    _, search = make_sessions(settings, redis, await connections.platform(), status)
    page = await search.page(query, limit=limit)
    while page.cursor and len(page.sessions) < limit:
        more = await search.page(query, page.cursor, limit - len(page.sessions))
        more.sessions = [*page.sessions, *more.sessions]
        page = more
    return page


def _kept(page: "SessionPage") -> str:
    return f"; the list reaches back to {page.kept_since:%Y-%m-%d %H:%M} UTC, and a whole id finds older ones"


def _line(line: "SessionLine", *, whole: bool) -> str:
    """The id first, which is never cut: within 80 columns, or with all that is known."""
    text = (
        f"{plain(line.session_id):<36} {_status(line.status)} {plain(line.reason or '-'):<10} {plain(line.channel):<3}"
    )
    text += f" {line.at:%m-%d %H:%M:%S}"
    if whole:
        cost = "-" if line.cost_usd is None else f"{line.cost_usd}"
        lasted = "-" if line.took_s is None else took(line.took_s).replace(" ", "")
        causes = ",".join(line.causes) or "-"
        more = (line.owner_id, line.request_id or "-", line.model or "-", cost, lasted, line.refund or "-", causes)
        text += "".join(f" {plain(one)}" for one in more)
    return text


def _status(status: str) -> str:
    colour = {"completed": "green", "failed": "red", "running": "cyan", "retried": "yellow"}.get(status, "dim")
    return f"[{colour}]{plain(status):<10}[/]"
