"""All commands, and what they share: one-line errors, exit statuses, settings."""

import sys

import typer

from wearon.cli import dead_letters, demo, doctor, enqueue, estimate, evaluate, reconcile, refunds, serve
from wearon.cli.output import CommandError, errors

app = typer.Typer(
    help="The WearOn worker: try-on tasks become pictures, and one photo becomes a size.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(enqueue.enqueue)
app.command()(estimate.estimate)
app.command()(evaluate.evaluate)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(refunds.app, name="refunds")
app.command()(reconcile.reconcile)


def run() -> None:
    """Run the command line; a failure that we understand is one line on stderr and status 1."""
    try:
        app()
    except CommandError as error:
        errors.print(f"[bold red]Error:[/] {error}", soft_wrap=True, highlight=False)
        sys.exit(error.status)
