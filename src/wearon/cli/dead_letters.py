"""`wearon dead-letters`: documents that could not become a picture."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import out, print_json
from wearon.tryon.dead_letters import DeadLetter, DeadLetters
from wearon.tryon.desk import LettersDesk

app = typer.Typer(help="Look at documents that could not become a picture, and put them right.", no_args_is_help=True)

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
        table.add_row(letter.id, letter.at, letter.session_id or "-", escape(letter.reason))
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
            out.print(f"[bold]{name:<11}[/]{escape(str(value or '-'))}", soft_wrap=True, highlight=False)
    print(_readable(letter.payload))


@app.command()
def retry(letter_id: Id, as_json: AsJson = False) -> None:
    """Push the document again, as a producer does, and forget the letter.

    A session that was failed and refunded for it stays so: for such a one, the shopper starts again.

    Example: wearon dead-letters retry 3fa9c0d1b2e4
    """

    async def push(connections: Connections) -> DeadLetter:
        return await _desk(connections).retry(letter_id)

    _say(run_connected(push), "pushed again", as_json=as_json)


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
        typer.confirm(f"Forget {letter.id} ({letter.reason})?", abort=True, err=True)
    run_connected(forget)
    _say(letter, "discarded", as_json=as_json)


def _desk(connections: Connections) -> LettersDesk:
    return LettersDesk(DeadLetters(connections.redis))


def _say(letter: DeadLetter, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": letter.id, "session_id": letter.session_id, "done": what})
    else:
        out.print(f"{letter.id}: {what}", highlight=False)


def _readable(payload: str) -> str:
    try:
        document: Any = json.loads(payload)
    except ValueError:
        return payload
    return json.dumps(document, indent=2, ensure_ascii=False)
