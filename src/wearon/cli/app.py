"""All commands, and what they share: one-line errors, exit statuses, quiet ends."""

import os
import sys
from typing import Annotated

import typer

from wearon.cli.lazy import Lazy, lazy_group, register
from wearon.cli.output import CommandError, errors, plain, print_text

COMMANDS = {
    "serve": Lazy("wearon.cli.serve", "serve", "Run the worker: consumer, job worker and HTTP API in one process."),
    "demo": Lazy(
        "wearon.cli.demo",
        "demo",
        "See it work: one try-on through a real worker in a temporary folder, and a size over HTTP.",
    ),
    "doctor": Lazy(
        "wearon.cli.doctor",
        "doctor",
        "Check settings, Redis, Supabase, OpenAI, pose model and machine, without changing anything.",
    ),
    "status": Lazy("wearon.cli.status", "status", "Show what waits, what runs and what is wrong, live until Ctrl-C."),
    "session": Lazy(
        "wearon.cli.session",
        "session",
        "Tell one session's story: what was done for it, how it ended, and where the credit is.",
    ),
    "enqueue": Lazy("wearon.cli.enqueue", "enqueue", "Push one task, as a producer does."),
    "estimate": Lazy("wearon.cli.estimate", "estimate", "Tell which size fits, from one photo and a height."),
    "evaluate": Lazy(
        "wearon.cli.evaluate",
        "evaluate",
        "Score the size estimate of this code against known people: is a change better or worse?",
    ),
    "dead-letters": Lazy(
        "wearon.cli.dead_letters",
        "app",
        "Look at documents that could not become a picture, and put them right.",
    ),
    "refunds": Lazy("wearon.cli.refunds", "app", "Look at refunds that are outstanding, and try them again."),
    "reconcile": Lazy(
        "wearon.cli.reconcile",
        "reconcile",
        "Find sessions that nobody works on and refunds that are outstanding, and settle both.",
    ),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app, COMMANDS)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_text(f"wearon {version('wearon')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The WearOn worker: try-on tasks become pictures, and one photo becomes a size.

    Example: wearon serve
    """


def run() -> None:
    """Run the command line.

    A failure that we understand is one line on stderr and status 1. When whoever reads our output goes away
    (`| head -1`), we end without a word.
    """
    try:
        try:
            app()
        except CommandError as error:
            errors.print(f"[bold red]Error:[/] {plain(error)}", soft_wrap=True, highlight=False)
            sys.exit(error.status)
        finally:
            if sys.stdout is not None:  # as it is in a process that was started without one
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written goes nowhere, so that Python does not complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
