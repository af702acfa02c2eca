"""`wearon pause` and `wearon resume`: start no jobs for a while, of the whole fleet or of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, plain, print_json, say

if TYPE_CHECKING:
    from wearon.operations.actions.pause import PauseActions

Store = Annotated[
    str | None, typer.Option("--store", metavar="ID", help="Only this store's jobs, or those of b2c; all without it.")
]


def pause(
    store: Store = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who look at the status.")] = "",
    as_json: AsJson = False,
) -> None:
    """Start no more jobs, of the whole fleet or of one store, until a resume.

    Shoppers wait, jobs that run go on, and producers go on pushing. A job that had begun before, and is retried, fails
    at its deadline with one refund; the platform's cron fails b2c sessions after 10 minutes.

    Example: wearon pause --reason "Supabase is being moved"
    """

    run_connected(lambda connections: _actions(connections).pause(store, reason, connections.actor))
    if as_json:
        print_json({"store": store, "reason": reason})
    else:
        say(f"{_name(store)} is paused: no job is started until it is resumed.")


def resume(store: Store = None, as_json: AsJson = False) -> None:
    """Start jobs again that an operator or the fleet itself has paused.

    Example: wearon resume
    """

    was_paused = run_connected(lambda connections: _actions(connections).resume(store, connections.actor))
    if as_json:
        print_json({"store": store, "resumed": was_paused})
    else:
        say(f"{_name(store)} {'is resumed' if was_paused else 'was not paused'}.")


def _name(store: str | None) -> str:
    return "The fleet" if store is None else plain(store)


def _actions(connections: Connections) -> PauseActions:
    from wearon.operations.actions.pause import PauseActions
    from wearon.queue.pauses import Pauses

    return PauseActions(Pauses(connections.redis), connections.audit_log)
