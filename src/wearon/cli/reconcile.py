"""`wearon reconcile`: one run of the reconciler, started by an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wearon.cli import refunds
from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, out, plain, print_json, say
from wearon.cli.progress import progress

if TYPE_CHECKING:
    from wearon.operations.actions.refunds import RefundActions
    from wearon.operations.refund_groups import Refunds
    from wearon.platform.base import Session
    from wearon.refunds.intents import Intent
    from wearon.tryon.reconciler import Reconciler


@dataclass(frozen=True, slots=True)
class Found:
    """What the check found, and which refunds it settled."""

    orphans: Sequence[Session]
    settled: Sequence[Intent]
    left: Refunds


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find sessions that nobody works on and refunds that are outstanding, and settle both.

    A session is an orphan when it is open, older than ten minutes, and nothing in Redis speaks of it. It is failed
    and its credit is refunded. A running worker does this every five minutes by itself.

    Example: wearon reconcile --dry-run
    """

    async def check(connections: Connections) -> Found:
        from wearon.queue.audit_log import Action

        reconciler, actions = await _parts(connections)
        if dry_run:
            return Found(await reconciler.find_orphans(), [], await actions.list())
        shown.say("failing orphans")
        async with connections.noting(Action.FAIL_ORPHANS, "all") as doing:
            orphans = await reconciler.fail_orphans()
            if orphans:
                sessions = [session.ref.session_id for session in orphans]
                doing.came_to({"status": "failed"}, before={"orphans": len(orphans)}, ids=sessions)
            else:
                doing.changed_nothing()
        shown.say("giving back")
        settled, left = await actions.settle_now(connections.actor, on_progress=shown.count)
        return Found(orphans, settled, left)

    with progress("Reconciling", quiet=as_json) as shown:
        found = run_connected(check)
    if as_json:
        print_json({"dry_run": dry_run, **_describe(found)})
        return
    _show(found, "would be failed and refunded" if dry_run else "failed")


async def _parts(connections: Connections) -> tuple[Reconciler, RefundActions]:
    from wearon.app.readers import recorded_events
    from wearon.dependencies import Dependencies
    from wearon.operations.actions.refunds import RefundActions
    from wearon.queue.jobs import JobQueue
    from wearon.tryon.reconciler import Reconciler
    from wearon.tryon.spool import Spool

    platform = await connections.platform()
    outbox = connections.outbox(platform)
    events = recorded_events(connections.settings, connections.redis, "operator")
    queue, spool = JobQueue(connections.redis), Spool(connections.settings.spool_folder, Dependencies())
    reconciler = Reconciler(connections.redis, platform, queue, outbox, spool, events, deliver=None)
    return reconciler, RefundActions(outbox, connections.audit_log)


def _show(found: Found, done: str) -> None:
    for session in found.orphans:
        say(
            f"orphan {plain(session.ref.session_id)} ({session.ref.channel}, {session.status} since "
            f"{session.created_at:%Y-%m-%d %H:%M}): {done}"
        )
    if not found.orphans:
        out.print("No session is orphaned.")
    for intent in found.settled:
        say(f"refund of session {plain(intent.session_id)}: settled")
    refunds.show(found.left)


def _describe(found: Found) -> dict[str, Any]:
    return {
        "orphans": [
            {
                "session_id": session.ref.session_id,
                "channel": session.ref.channel.value,
                "owner_id": session.ref.owner_id,
                "status": session.status.value,
                "created_at": session.created_at.isoformat(),
            }
            for session in found.orphans
        ],
        "settled": [intent.session_id for intent in found.settled],
        **refunds.describe(found.left),
    }
