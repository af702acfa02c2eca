"""`wearon refunds`: refunds that are outstanding or need review."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, Yes, confirm, out, plain, print_json, say
from wearon.cli.progress import progress
from wearon.cli.tables import print_table

if TYPE_CHECKING:
    from wearon.operations.actions.refunds import RefundActions
    from wearon.operations.refund_groups import Refunds
    from wearon.queue.audit_log import Actor
    from wearon.refunds.intents import Intent

T = TypeVar("T")

app = typer.Typer(
    help="Look at refunds that are outstanding, and try them again.\n\nExample: wearon refunds list",
    no_args_is_help=True,
    add_completion=False,
)

Group = Annotated[str | None, typer.Option(help="Only of this group, from `wearon refunds list`.")]
Session = Annotated[str | None, typer.Argument(metavar="[SESSION]", help="Only this session's; all without it.")]


@app.command("list")
def list_refunds(
    limit: Annotated[int, typer.Option(min=1, help="How many of each kind to print at most; --json has all.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List outstanding refunds, oldest first, and apart from them those that need review.

    Example: wearon refunds list
    """

    refunds = _act(lambda actions, _by: actions.list())
    if as_json:
        print_json(describe(refunds))
    else:
        show(refunds, limit)


@app.command()
def retry(session: Session = None, group: Group = None, as_json: AsJson = False) -> None:
    """Try outstanding refunds now, without waiting for their pause to be over.

    Example: wearon refunds retry
    """

    with progress("Refunding", quiet=as_json) as shown:
        settled, left = _act(lambda actions, by: actions.settle_now(by, session, group, on_progress=shown.count))
    if as_json:
        print_json({"settled": [intent.session_id for intent in settled], **describe(left)})
    else:
        for intent in settled:
            say(f"session {plain(intent.session_id)}: settled")
        show(left)
    tried = left.of_group(group) if group else (case.intent for case in left.outstanding)
    if any(session in (None, intent.session_id) for intent in tried):
        raise CommandError("not every refund could be made; the worker goes on trying")


@app.command()
def resolve(
    session: Annotated[str | None, typer.Argument(metavar="[SESSION]", help="Whose refund was reviewed.")] = None,
    group: Group = None,
    yes: Yes = False,
) -> None:
    """Close the review of refunds, which a person has settled: they are not listed any more.

    Example: wearon refunds resolve 5b0c2c9e-6f0e-4f0e-9f57-2d3a6c1b9a10 --yes
    """
    if (session is None) == (group is None):
        raise CommandError("name the session, or a --group")

    cases = _act(lambda actions, _by: actions.in_review(session, group))
    one, all_of_them = f"the charge of session {session}", f"all {len(cases)} charges"
    confirm(
        f"Has {one} been put right?" if session else f"Have {all_of_them} been put right ({cases[0].why})?", yes=yes
    )
    for intent in _act(lambda actions, by: actions.resolve(by, session, group)):
        say(f"session {plain(intent.session_id)}: put right")


def _act(action: Callable[[RefundActions, Actor], Awaitable[T]]) -> T:
    async def act(connections: Connections) -> T:
        from wearon.operations.actions.refunds import RefundActions

        outbox = connections.outbox(await connections.platform())
        return await action(RefundActions(outbox, connections.audit_log), connections.actor)

    return run_connected(act)


def describe(refunds: Refunds) -> dict[str, Any]:
    """The refunds for scripts."""
    outstanding, by_hand = ([case.model_dump(mode="json") for case in cases] for cases in refunds.cases())
    return {"outstanding": outstanding, "by_hand": by_hand}


def show(refunds: Refunds, limit: int = 100) -> None:
    """Print the refunds for people: all counted by cause, and the oldest ones of each kind."""
    if not refunds.outstanding:
        out.print("No refund is outstanding.")
    rows: list[Sequence[str]]
    groups = refunds.groups
    if len(groups) < len(refunds.outstanding) + len(refunds.by_hand):
        rows = [
            (one.id, str(one.refunds), "needs review" if one.needs_review else "outstanding", one.cause or "-")
            for one in groups
        ]
        print_table("Refunds by cause", ("group", "refunds", "state", "cause"), rows, texts=["cause"])
    if refunds.outstanding:
        headings = ("session", "channel", "age", "failed because", "last error")
        rows = [
            (*_who(case.intent), _age(case.intent), case.intent.reason, case.error or "-")
            for case in refunds.outstanding[:limit]
        ]
        title = f"Outstanding refunds{_of(len(refunds.outstanding), limit)}"
        print_table(title, headings, rows, texts=["failed because", "last error"])
    if refunds.by_hand:
        headings = ("session", "channel", "request", "failed because", "why")
        rows = [
            (*_who(case.intent), case.intent.request_id, case.intent.reason, case.why)
            for case in refunds.by_hand[:limit]
        ]
        title = f"Need review{_of(len(refunds.by_hand), limit)}"
        print_table(title, headings, rows, texts=["failed because", "why"])


def _who(intent: Intent) -> tuple[str, str]:
    return intent.session_id, intent.channel.value


def _age(intent: Intent) -> str:
    return f"{intent.age_s:.0f} s" + (" LATE" if intent.is_late else "")


def _of(count: int, limit: int) -> str:
    return f": the {limit} oldest of {count}" if count > limit else ""
