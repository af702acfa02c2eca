"""`wearon status`: the status of the fleet, in a terminal."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, out, print_json

if TYPE_CHECKING:
    from wearon.operations.status import StatusReader

EVERY_S = 2.0
"""Between two readings of one Redis command each. Steps of a job take seconds, and workers report every four."""


def status(
    once: Annotated[bool, typer.Option("--once", help="Print it once instead of showing it live.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it once, as JSON.")] = False,
) -> None:
    """Show what waits, what runs and what is wrong, live until Ctrl-C.

    Into a pipe it is printed once. Printed once, the exit status is 1 unless the fleet's status is ok: while Redis does
    not answer, a refund is late, no worker runs what waits, or anything else is critical.

    Example: wearon status --once
    """
    from wearon.cli.status_view import draw

    if as_json or once or not out.is_terminal:
        fleet = run_connected(lambda connections: _reader(connections).read())
        if as_json:
            print_json(fleet.model_dump(mode="json"))
        else:
            out.print(draw(fleet))
        if fleet.status != "ok":
            raise CommandError(fleet.problems[0])
        return
    try:
        run_connected(_show_live)
    except KeyboardInterrupt:
        return


async def _show_live(connections: Connections) -> None:
    from rich.live import Live

    from wearon.cli.status_view import draw
    from wearon.redis.cancellation import heed_cancellation

    reader = _reader(connections)
    with Live(draw(await reader.read()), console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            heed_cancellation()
            await asyncio.sleep(EVERY_S)
            live.update(draw(await reader.read()), refresh=True)


def _reader(connections: Connections) -> "StatusReader":
    """A reader that needs Redis only, so that the status can be seen while the platform is away."""
    from wearon.app.readers import make_status_reader

    return make_status_reader(connections.settings, connections.redis)
