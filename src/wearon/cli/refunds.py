"""`wearon refunds`: credits that are to be given back and have not been yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, confirm, out, plain, print_json
from wearon.cli.progress import progress

if TYPE_CHECKING:
    from wearon.tryon.desk import Refunds, RefundsDesk
    from wearon.tryon.refund_intents import Intent

app = typer.Typer(
    help="Look at refunds that are outstanding, and try them again.\n\nExample: wearon refunds list",
    no_args_is_help=True,
    add_completion=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Session = Annotated[str | None, typer.Argument(metavar="[SESSION]", help="Only this session's; all without it.")]


@app.command("list")
def list_refunds(as_json: AsJson = False) -> None:
    """List outstanding refunds, oldest first, and apart from them those that need a person.

    Example: wearon refunds list
    """

    async def read(connections: Connections) -> Refunds:
        return await (await _desk(connections)).list()

    refunds = run_connected(read)
    if as_json:
        print_json(describe(refunds))
    else:
        show(refunds)


@app.command()
def retry(session: Session = None, as_json: AsJson = False) -> None:
    """Try outstanding refunds now, without waiting for their pause to be over.

    Example: wearon refunds retry
    """

    async def settle(connections: Connections) -> tuple[Sequence[Intent], Refunds]:
        return await (await _desk(connections)).settle_now(session, shown.count)

    with progress("Giving back", quiet=as_json) as shown:
        settled, left = run_connected(settle)
    if as_json:
        print_json({"settled": [intent.session_id for intent in settled], **describe(left)})
    else:
        for intent in settled:
            out.print(f"session {plain(intent.session_id)}: settled", highlight=False)
        show(left)
    if any(case.intent.session_id == session or session is None for case in left.outstanding):
        raise CommandError("not every refund could be made; the worker goes on trying")


@app.command()
def resolve(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session that was put right by hand.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Say that a person has put a session's charge right: it is not listed any more.

    Example: wearon refunds resolve 5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10 --yes
    """
    if not yes:
        confirm(f"Has the charge of session {session} been put right?")

    async def forget(connections: Connections) -> None:
        await (await _desk(connections)).resolve(session)

    run_connected(forget)
    out.print(f"session {plain(session)}: put right", highlight=False)


async def _desk(connections: Connections) -> RefundsDesk:
    from wearon.tryon.desk import RefundsDesk
    from wearon.tryon.refunds import RefundOutbox

    return RefundsDesk(RefundOutbox(connections.redis, await connections.platform()))


def describe(refunds: Refunds) -> dict[str, Any]:
    """For scripts."""
    return {
        "outstanding": [
            {**case.intent.told(), "late": case.intent.is_late, "error": case.error} for case in refunds.outstanding
        ],
        "by_hand": [{**case.intent.told(), "why": case.why} for case in refunds.by_hand],
    }


def show(refunds: Refunds) -> None:
    """For people."""
    if refunds.outstanding:
        table = Table("session", "channel", "age", "failed because", "last error", title="Outstanding refunds")
        for case in refunds.outstanding:
            age = f"{case.intent.age_s:.0f} s" + (" LATE" if case.intent.is_late else "")
            table.add_row(*_columns(case.intent, age), plain(case.error) or "-")
        out.print(table)
    else:
        out.print("No refund is outstanding.")
    if refunds.by_hand:
        table = Table("session", "channel", "request", "failed because", "why", title="Need a person")
        for person in refunds.by_hand:
            table.add_row(*_columns(person.intent, person.intent.request_id), plain(person.why))
        out.print(table)


def _columns(intent: Intent, third: str) -> tuple[str, str, str, str]:
    return plain(intent.session_id), intent.channel.value, plain(third), plain(intent.reason)
