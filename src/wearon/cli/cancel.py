"""`wearon cancel`: fail and refund sessions that wait."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, confirm, out, plain, print_json
from wearon.cli.progress import progress

if TYPE_CHECKING:
    from wearon.operations.actions.cancel import Cancellations, Cancelled

Session = Annotated[str | None, typer.Argument(metavar="[SESSION]", help="The session to cancel.")]
Now = Annotated[bool, typer.Option("--now", help="Also when its job runs: a picture that is paid for is lost.")]
Store = Annotated[str | None, typer.Option(metavar="ID", help="With --waiting: the store whose queue is emptied.")]
Waiting = Annotated[bool, typer.Option("--waiting", help="All sessions of the store that wait; those that run go on.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
        if not yes:
            confirm(f"Fail and refund all sessions of store {store} that wait?")
        _cancel_waiting(store, as_json=as_json)
    else:
        raise CommandError("name a session, or a store with --store ID --waiting", status=2)


def _cancel_session(session: str, *, now: bool, as_json: bool) -> None:
    async def end(connections: Connections) -> Cancelled:
        return await (await _cancellations(connections)).cancel(session, connections.actor, now=now)

    outcome = run_connected(end)
    if as_json:
        print_json({"session_id": session, "outcome": outcome.value})
    else:
        out.print(f"session {plain(session)}: {outcome.sentence}", highlight=False, soft_wrap=True)
    if outcome.value not in {"cancelled", "outstanding"}:
        raise typer.Exit(1)


def _cancel_waiting(store: str, *, as_json: bool) -> None:
    with progress("Cancelling", quiet=as_json) as shown:

        async def end(connections: Connections) -> Counter[Cancelled]:
            cancellations = await _cancellations(connections)
            return await cancellations.cancel_waiting(store, connections.actor, lambda done: shown.say(str(done)))

        found = run_connected(end)
    if as_json:
        print_json({"store_id": store, **{outcome.value: number for outcome, number in sorted(found.items())}})
        return
    out.print(f"store {plain(store)}: {found.total()} sessions", highlight=False, soft_wrap=True)
    for outcome, number in sorted(found.items()):
        out.print(f"{number:>7}  {outcome.sentence}", highlight=False, soft_wrap=True)


async def _cancellations(connections: Connections) -> Cancellations:
    from wearon.app.readers import make_history_store
    from wearon.events import Events
    from wearon.observability.tracing import Tracing
    from wearon.operations.actions.cancel import Cancellations
    from wearon.refunds.outbox import RefundOutbox

    events = Events()
    make_history_store(connections.settings, connections.redis, "operator").subscribe(events)
    platform = await connections.platform()
    outbox = RefundOutbox(connections.redis, platform, events, Tracing())
    return Cancellations(connections.redis, platform, outbox, connections.audit_log)
