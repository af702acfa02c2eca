"""`wearon dead-letters`: documents that could not become a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import CommandError, confirm, out, plain, print_json, print_text
from wearon.cli.progress import Shown, progress

if TYPE_CHECKING:
    from wearon.tryon.dead_letters import DeadLetter
    from wearon.tryon.desk import LettersDesk

app = typer.Typer(
    help="Look at documents that could not become a picture, and put them right.\n\nExample: wearon dead-letters list",
    no_args_is_help=True,
    add_completion=False,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The letter's id, from `wearon dead-letters list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100, as_json: AsJson = False
) -> None:
    """List dead letters, newest first.

    Example: wearon dead-letters list --limit 20
    """

    async def read(connections: Connections) -> list[DeadLetter]:
        return list(await _desk(connections).list(limit))

    letters = run_connected(read)
    if as_json:
        print_json({"dead_letters": [asdict(letter) for letter in letters]})
        return
    if not letters:
        out.print("There are no dead letters.")
        return
    table = Table("id", "at", "session", "reason")
    for letter in letters:
        table.add_row(*map(plain, (letter.id, letter.at, letter.session_id or "-", letter.reason)))
    out.print(table)


@app.command()
def show(letter_id: Id, as_json: AsJson = False) -> None:
    """Show one dead letter with its document.

    Example: wearon dead-letters show 3fa9c0d1b2e4
    """

    async def read(connections: Connections) -> DeadLetter:
        return await _desk(connections).find(letter_id)

    letter = run_connected(read)
    if as_json:
        print_json({**asdict(letter), "whole": letter.is_whole})
        return
    for name, value in asdict(letter).items():
        if name != "payload":
            out.print(f"[bold]{name:<11}[/]{plain(str(value or '-'))}", soft_wrap=True, highlight=False)
    print_text(_readable(letter.payload))


@app.command()
def retry(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The letters' ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters that there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push documents again, as a producer does, and forget their letters.

    A session that was failed and refunded for it stays so: for such a one, the shopper starts again.

    Example: wearon dead-letters retry 3fa9c0d1b2e4
    """
    if everything == bool(letter_ids):
        raise CommandError("name the letters, or say --all")
    ids = letter_ids or _all_ids()
    if everything and ids and not yes:
        confirm(f"Push {len(ids)} documents again?")

    async def push(connections: Connections) -> Retried:
        return await _push_again(_desk(connections), ids, shown)

    with progress("Pushing again", quiet=as_json) as shown:
        found = run_connected(push)
    if as_json:
        done = [{"id": letter.id, "session_id": letter.session_id} for letter in found.pushed]
        print_json({"pushed": done, "refused": [{"id": id_, "why": why} for id_, why in found.refused.items()]})
    else:
        for letter in found.pushed:
            out.print(f"{plain(letter.id)}: pushed again", highlight=False)
    if found.refused:
        raise CommandError("\n".join(found.refused.values()))


@dataclass(frozen=True, slots=True)
class Retried:
    """Letters that were pushed, and why others were not, by id."""

    pushed: Sequence[DeadLetter]
    refused: Mapping[str, str]


def _all_ids() -> list[str]:
    """Oldest first, as they were pushed; a document that came several times has several letters of one id."""
    from wearon.tryon.dead_letters import MAX_LETTERS

    async def read(connections: Connections) -> list[str]:
        return [letter.id for letter in await _desk(connections).list(MAX_LETTERS)]

    return list(dict.fromkeys(reversed(run_connected(read))))


async def _push_again(desk: LettersDesk, ids: Sequence[str], shown: Shown) -> Retried:
    """One by one: a letter that cannot be pushed does not keep the others from it."""
    from wearon.tryon.desk import NotPossible

    pushed: list[DeadLetter] = []
    refused: dict[str, str] = {}
    for done, letter_id in enumerate(ids):
        shown.count(done, len(ids))
        try:
            pushed.append(await desk.retry(letter_id))
        except NotPossible as error:
            refused[letter_id] = str(error)
    return Retried(pushed, refused)


@app.command()
def discard(
    letter_id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget one dead letter for good.

    Example: wearon dead-letters discard 3fa9c0d1b2e4 --yes
    """

    async def read(connections: Connections) -> DeadLetter:
        return await _desk(connections).find(letter_id)

    async def forget(connections: Connections) -> None:
        await _desk(connections).discard(letter.id)

    letter = run_connected(read)
    if not yes:
        confirm(f"Forget {letter.id} ({letter.reason})?")
    run_connected(forget)
    _say(letter, "discarded", as_json=as_json)


def _desk(connections: Connections) -> LettersDesk:
    from wearon.tryon.dead_letters import DeadLetters
    from wearon.tryon.desk import LettersDesk

    return LettersDesk(DeadLetters(connections.redis))


def _say(letter: DeadLetter, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": letter.id, "session_id": letter.session_id, "done": what})
    else:
        out.print(f"{plain(letter.id)}: {what}", highlight=False)


def _readable(payload: str) -> str:
    try:
        document: Any = json.loads(payload)
    except ValueError:
        return payload
    return json.dumps(document, indent=2, ensure_ascii=False)
