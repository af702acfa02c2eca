"""`wearon retention`: delete the pictures that are older than shoppers were promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, plain, print_json, say
from wearon.cli.progress import progress
from wearon.operations.words import plural

if TYPE_CHECKING:
    from wearon.operations.retention.rounds import Round


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete results and uploads that are older than RETENTION_HOURS, from the whole storage.

    A running worker does this every hour by itself. What an open session needs stays, and so does all that does not
    have the name of a shopper's picture. Without RETENTION_HOURS nothing is deleted, and a dry run counts with 6 hours.

    Example: wearon retention --dry-run
    """

    async def sweep(connections: Connections) -> Round:
        from wearon.app.base import make_metrics
        from wearon.operations.retention.sweeper import Sweeper
        from wearon.queue.audit_log import Action
        from wearon.settings import LEAST_RETENTION_HOURS

        settings = connections.settings
        if settings.retention_hours is None and not dry_run:
            raise CommandError("RETENTION_HOURS is not set: nothing may be deleted; --dry-run counts with 6 hours")
        sweeper = Sweeper(
            connections.redis,
            await connections.platform(),
            make_metrics(settings),
            hours=settings.retention_hours or LEAST_RETENTION_HOURS,
        )
        about = f"older than {settings.retention_hours or 0:g} hours"
        async with connections.noting(Action.DELETE_OLD_PICTURES, about, dry_run=dry_run) as doing:
            made = await sweeper.sweep(
                dry_run=dry_run, most_listings=None, on_progress=lambda listed: shown.say(f"{listed} entries")
            )
            if made.results + made.uploads:
                doing.came_to({"results_deleted": made.results, "uploads_deleted": made.uploads})
            else:
                doing.changed_nothing()
        return made

    with progress("Looking for old pictures", quiet=as_json) as shown:
        made = run_connected(sweep)
    if as_json:
        print_json({"dry_run": dry_run, **made.model_dump(mode="json", exclude={"next_folder"})})
    else:
        _show(made, "would be deleted" if dry_run else "deleted")
    if made.error:
        raise CommandError(made.error)


def _show(made: Round, done: str) -> None:
    deleted = f"{plural(made.results, 'result')}, {plural(made.uploads, 'upload')}"
    say(f"Older than {made.hours:g} hours and {done}: {deleted}")
    if made.in_use:
        say(f"Kept because a session or a task needs it: {plural(made.in_use, 'picture')}")
    if made.unknown:
        say(f"Kept because it is no shopper's picture by its name: {made.unknown}, such as")
        for example in made.examples:
            say(f"  {plain(example)}")
