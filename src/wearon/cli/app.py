"""The list of all commands, and what they share: errors in one line, exit statuses, an output that is closed."""

import errno
import os
import sys
from typing import Annotated

import typer

from wearon.cli.lazy import lazy_group, register
from wearon.cli.output import CommandError, errors, plain, print_text

COMMANDS = {
    "serve": "Run the worker: consumer, job worker and HTTP API in one process.",
    "demo": "See it work: one try-on through a real worker in a temporary folder, and a size over HTTP.",
    "doctor": "Check settings, Redis, Supabase, OpenAI, pose model and machine, without changing anything.",
    "status": "Show what waits, what runs and what is wrong, live until Ctrl-C.",
    "session": "Tell one session's history: what was done for it, how it ended, and where the credit is.",
    "sessions": "List sessions, newest first: those of the last JOURNAL_HOURS, and older ones by a whole id.",
    "enqueue": "Push one task, as a producer does.",
    "estimate": "Tell which size fits, from a height and photos or a weight.",
    "chart": "Check a shop's size chart, and look at and change those that are kept here.",
    "evaluate": "Score the size estimate of this code against known people: is a change better or worse?",
    "calibration": "Tell what became of our sizes, and whether the stated probabilities need a recalibration.",
    "dead-letters": "Look at documents that could not become a picture, and put them right.",
    "refunds": "Look at refunds that are outstanding, and try them again.",
    "cancel": "Cancel a session, or all that wait of one store: each is failed, and its credit refunded once.",
    "pause": "Start no more jobs, of the whole fleet or of one store, until a resume.",
    "resume": "Start jobs again that an operator or the fleet itself has paused.",
    "reconcile": "Find sessions that nobody works on and refunds that are outstanding, and settle both.",
    "audit": "Compare ended sessions with the credit ledgers, the stored pictures and the history.",
    "audit-log": "List what operators did, newest first: who, when, what, and what was before and after.",
    "retention": "Delete results and uploads that are older than RETENTION_HOURS, from the whole storage.",
}
"""Each with the first sentence of its help."""

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EIO}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app, COMMANDS)


def _print_version(wanted: bool) -> None:
    if wanted:
        from wearon.cli.version import versions

        print_text("\n".join(versions()))
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print version, commit and models.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """The WearOn worker: try-on tasks become pictures, and one photo becomes a size.

    Example: wearon serve
    """


def run() -> None:
    """Run the command line.

    A failure that we understand is one line on stderr and status 1, and so is a disk that takes no output. When the
    reader of our output is gone (`| head -1`), the command ends silently.
    """
    try:
        try:
            app()
        except CommandError as error:
            errors.print(f"[bold red]Error:[/] {plain(error)}", soft_wrap=True)
            sys.exit(error.status)
        finally:
            if sys.stdout is not None:  # as it is in a process that was started without one
                sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and error.errno not in NOT_WRITTEN:
            raise
        # What is still to be written goes nowhere, so that Python does not complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            errors.print(f"[bold red]Error:[/] the output cannot be written: {error.strerror}")
        sys.exit(1)
