"""`wearon cancel`: fail and refund sessions that wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, Yes, confirm, plain, print_json, say
from wearon.cli.progress import progress
from wearon.operations.words import plural

if TYPE_CHECKING:
    from wearon.operations.actions.cancel import Cancellations
    from wearon.queue.audit_log import Actor

T = TypeVar("T")

Session = Annotated[str | None, typer.Argument(metavar="[SESSION]", help="The session to cancel.")]
Now = Annotated[bool, typer.Option("--now", help="Also when its job runs: a picture that is paid for is lost.")]
Store = Annotated[str | None, typer.Option(metavar="ID", help="With --waiting: the store whose queue is emptied.")]
Waiting = Annotated[bool, typer.Option("--waiting", help="All sessions of the store that wait; those that run go on.")]


def cancel(
    session: Session = None,
    now: Now = False,
    store: Store = None,
    waiting: Waiting = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel a session, or all that wait of one store: each is failed, and its credit refunded once.

    A session that runs is let finish, because its picture may be paid for, unless you say --now. One that has ended is
    left as it is, with status 1.

    Example: wearon cancel --store 7d1f6a52-1f0e-4f0e-9f57-2d3a6c1b9a10 --waiting
    """
    if session and not (store or waiting):
        _cancel_session(session, now=now, as_json=as_json)
    elif store and waiting and not (session or now):
        confirm(f"Fail and refund all sessions of store {store} that wait?", yes=yes)
        _cancel_waiting(store, as_json=as_json)
    else:
        raise CommandError("name a session, or a store with --store ID --waiting", status=2)


def _cancel_session(session: str, *, now: bool, as_json: bool) -> None:
    outcome = _act(lambda cancellations, by: cancellations.cancel(session, by, now=now))
    if as_json:
        print_json({"session_id": session, "outcome": outcome.value})
    else:
        say(f"session {plain(session)}: {outcome.sentence}")
    if outcome.value not in {"cancelled", "outstanding"}:
        raise typer.Exit(1)


def _cancel_waiting(store: str, *, as_json: bool) -> None:
    with progress("Cancelling", quiet=as_json) as shown:
        found = _act(
            lambda cancellations, by: cancellations.cancel_waiting(store, by, lambda done: shown.say(str(done)))
        )
    if as_json:
        print_json({"store_id": store, **{outcome.value: number for outcome, number in sorted(found.items())}})
        return
    say(f"store {plain(store)}: {plural(found.total(), 'session')}")
    for outcome, number in sorted(found.items()):
        say(f"{number:>7}  {outcome.sentence}")


def _act(action: Callable[[Cancellations, Actor], Awaitable[T]]) -> T:
    async def act(connections: Connections) -> T:
        from wearon.operations.actions.cancel import Cancellations

        platform, log = await connections.platform(), connections.audit_log
        cancellations = Cancellations(connections.redis, platform, connections.outbox(platform), log)
        return await action(cancellations, connections.actor)

    return run_connected(act)
