"""`wearon dead-letters`: documents that could not become a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, confirm, out, plain, print_json, print_text, say
from wearon.cli.progress import progress
from wearon.cli.tables import print_table

if TYPE_CHECKING:
    from wearon.operations.actions.dead_letters import DeadLetterActions
    from wearon.operations.dead_letter_groups import BulkLetter, BulkStep
    from wearon.queue.audit_log import Actor
    from wearon.queue.dead_letters import DeadLetter

T = TypeVar("T")

app = typer.Typer(
    help="Look at documents that could not become a picture, and put them right.\n\nExample: wearon dead-letters list",
    no_args_is_help=True,
    add_completion=False,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id, from `wearon dead-letters list`.")]
Group = Annotated[str | None, typer.Option(help="Only of this group, from `wearon dead-letters groups`.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before more than one dead letter.")]

FATES = {
    "pushed": "pushed again",
    "no_task": "stay: they cannot become tasks",
    "no_session": "stay: their sessions are not there, so they would come back at once",
    "ended": "stay: their sessions are final already",
    "discarded": "discarded",
}


@app.command()
def groups(as_json: AsJson = False) -> None:
    """Count dead letters by cause and producer version, the largest group first.

    Example: wearon dead-letters groups
    """

    found = _act(lambda actions, _by: actions.groups())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if not found.groups:
        out.print("There are no dead letters.")
        return
    rows = [
        (one.id, str(one.letters), str(one.usable), one.version or "-", _minute(one.first_at), one.reason)
        for one in found.groups
    ]
    headings = ("group", "letters", "can be retried", "version", "first seen (UTC)", "reason")
    print_table("", headings, rows, texts=["reason"])
    shown = sum(one.letters for one in found.groups)
    more = "" if shown == found.letters else f", {found.letters - shown} of them in smaller groups"
    say(f"{found.letters} dead letters{more}; {found.usable} can be retried.")


@app.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    skip: Annotated[int, typer.Option(min=0, help="How many of the newest to pass over.")] = 0,
    group: Group = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first.

    Example: wearon dead-letters list --limit 20
    """

    letters = _act(lambda actions, _by: actions.list(limit, skip, group))
    if as_json:
        print_json({"dead_letters": [asdict(letter) for letter in letters]})
    elif letters:
        rows = [(letter.id, letter.at, letter.session_id or "-", letter.reason) for letter in letters]
        print_table("", ("id", "at", "session", "reason"), rows, texts=["reason"])
    else:
        out.print(f"There are no dead letters{' of this group' if group else ''}{' behind those' if skip else ''}.")


@app.command()
def show(letter_id: Id, as_json: AsJson = False) -> None:
    """Show one dead letter with its document.

    Example: wearon dead-letters show 3fa9c0d1b2e4
    """
    letter = _act(lambda actions, _by: actions.find(letter_id))
    if as_json:
        print_json({**asdict(letter), "whole": letter.is_whole})
        return
    for name, value in asdict(letter).items():
        if name != "payload":
            say(f"[bold]{name:<11}[/]{plain(str(value or '-'))}")
    print_text(_readable(letter.payload))


@app.command()
def retry(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The dead letters' ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    group: Group = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Push documents again, as a producer does, and forget their letters.

    Of a group, and of all, what would come back at once stays: what cannot become a task, and what has no session. A
    session that was failed and refunded for it stays so: for such a one, the shopper starts again.

    Example: wearon dead-letters retry 3fa9c0d1b2e4
    """
    if everything + bool(letter_ids) + bool(group) != 1:
        raise CommandError("name the letters, or a --group, or say --all")
    if letter_ids:
        _retry_each(letter_ids, as_json=as_json)
        return
    done: Sequence[BulkLetter] = ()
    if dry_run or not yes:
        done = _in_parts(
            "Looking", lambda actions, by, at: actions.retry_some(group, by, at, dry_run=True), quiet=as_json
        )
        _tell(done, "would be ", quiet=as_json)
    pushed = sum(letter.fate == "pushed" for letter in done)
    if not dry_run and (yes or pushed):
        confirm(f"Push {pushed} of {len(done)} documents again?", yes=yes)
        done = _in_parts("Pushing again", lambda actions, by, at: actions.retry_some(group, by, at), quiet=as_json)
        _tell(done, "", quiet=as_json)
    if group and not done:
        raise CommandError(f"there is no group {group}")
    if as_json:
        told = [{"id": letter.id, "session_id": letter.session_id} for letter in done if letter.fate == "pushed"]
        kept = [{"id": letter.id, "why": FATES[letter.fate]} for letter in done if letter.fate != "pushed"]
        print_json({"dry_run": dry_run, "pushed": told, "refused": kept})
    if any(letter.fate != "pushed" for letter in done):
        raise CommandError("not every document can be pushed again: discard what stays, or mend what it lacks")


@app.command()
def discard(
    letter_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The dead letter's id.")] = None,
    group: Group = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget one dead letter, or a group, for good.

    Example: wearon dead-letters discard 3fa9c0d1b2e4 --yes
    """
    if (letter_id is None) == (group is None):
        raise CommandError("name the letter, or a --group")
    if letter_id is not None:
        letter = _act(lambda actions, _by: actions.find(letter_id))
        confirm(f"Forget {letter.id} ({letter.reason})?", yes=yes)
        _act(lambda actions, by: actions.discard(letter_id, by))
        if as_json:
            print_json({"id": letter.id, "session_id": letter.session_id, "done": "discarded"})
        else:
            say(f"{plain(letter.id)}: discarded")
        return
    found = _act(lambda actions, _by: actions.groups()).groups
    one = next((one for one in found if one.id == group), None)
    if one is None:
        raise CommandError(f"there is no group {group}")
    confirm(f"Forget {one.letters} dead letters ({one.reason})?", yes=yes)
    done = _in_parts(
        "Discarding", lambda actions, by, at: actions.discard_some(one.id, by, at, until=one.last_at), quiet=as_json
    )
    _tell(done, "", quiet=as_json)
    if as_json:
        print_json({"group": one.id, "discarded": [letter.id for letter in done]})


def _retry_each(ids: Sequence[str], *, as_json: bool) -> None:
    """Push one by one, so that a letter that cannot be pushed does not stop the others."""
    refused: dict[str, str] = {}

    async def push(actions: DeadLetterActions, by: Actor) -> Sequence[DeadLetter]:
        from wearon.operations.actions.errors import NotPossible

        pushed = []
        for letter_id in ids:
            try:
                pushed.append(await actions.retry(letter_id, by))
            except NotPossible as error:
                refused[letter_id] = str(error)
        return pushed

    pushed = _act(push)
    if as_json:
        done = [{"id": letter.id, "session_id": letter.session_id} for letter in pushed]
        print_json({"pushed": done, "refused": [{"id": id_, "why": why} for id_, why in refused.items()]})
    else:
        for letter in pushed:
            say(f"{plain(letter.id)}: pushed again")
    if refused:
        raise CommandError("\n".join(refused.values()))


def _in_parts(
    what: str, part: Callable[[DeadLetterActions, Actor, int], Awaitable[BulkStep]], *, quiet: bool
) -> Sequence[BulkLetter]:
    """Do all parts of a group, one after the other."""

    async def do(actions: DeadLetterActions, by: Actor) -> Sequence[BulkLetter]:
        done: list[BulkLetter] = []
        passed: int | None = 0
        while passed is not None:
            step = await part(actions, by, passed)
            done += step.letters
            passed = step.passed
            shown.say(f"{len(done)} dead letters")
        return done

    with progress(what, quiet=quiet) as shown:
        return _act(do)


def _tell(done: Sequence[BulkLetter], would: str, *, quiet: bool) -> None:
    if quiet:
        return
    counts = Counter(letter.fate.value for letter in done)
    say(f"{len(done)} dead letters" + (":" if counts else "."))
    for fate, count in counts.most_common():
        say(f"  {count} {would if fate == 'pushed' else ''}{FATES[fate]}")


def _act(action: Callable[[DeadLetterActions, Actor], Awaitable[T]]) -> T:
    async def act(connections: Connections) -> T:
        from wearon.events import Events
        from wearon.operations.actions.dead_letters import DeadLetterActions
        from wearon.queue.dead_letters import DeadLetters

        letters = DeadLetters(connections.redis, Events())
        actions = DeadLetterActions(letters, await connections.platform(), connections.audit_log)
        return await action(actions, connections.actor)

    return run_connected(act)


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")


def _readable(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return payload
