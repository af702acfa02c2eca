"""`wearon status`: the fleet at this moment, in a terminal."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, out, print_json

if TYPE_CHECKING:
    from wearon.overview.now import Present

EVERY_S = 2.0
"""Between looks, each of which is one Redis command. Steps of a job take seconds, and workers report every four."""


def status(
    once: Annotated[bool, typer.Option("--once", help="Print it once instead of showing it live.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it once, as JSON.")] = False,
) -> None:
    """Show what waits, what runs and what is wrong, live until Ctrl-C.

    Into a pipe it is printed once. Where Redis does not answer, that is shown too; printed once, the status is 1 then.

    Example: wearon status --once
    """
    from wearon.cli.now_view import draw

    if as_json or once or not out.is_terminal:
        now = run_connected(lambda connections: _present(connections).now())
        if as_json:
            print_json(now.model_dump(mode="json"))
        else:
            out.print(draw(now))
        if now.queues is None:
            raise CommandError("Redis does not answer")
        return
    try:
        run_connected(_show_live)
    except KeyboardInterrupt:
        return


async def _show_live(connections: Connections) -> None:
    from rich.live import Live

    from wearon.cli.now_view import draw
    from wearon.tryon.cancellation import heed_cancellation

    present = _present(connections)
    with Live(draw(await present.now()), console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            heed_cancellation()
            await asyncio.sleep(EVERY_S)
            live.update(draw(await present.now()), refresh=True)


def _present(connections: Connections) -> "Present":
    """Needs Redis only: a platform that is away must not keep anybody from looking."""
    from wearon.overview.look import Looker
    from wearon.overview.now import Present

    settings = connections.settings
    return Present(
        Looker(connections.redis),
        mode=settings.wearon_mode.value,
        requests_per_minute=settings.openai_requests_per_minute,
    )
