"""A size chart in a file, for all commands that take one: CSV, JSON-LD, or our own JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.output import CommandError, errors, plain
from wearon.sizing.chart import MeasuredOn, Unit
from wearon.sizing.garments import Garment

if TYPE_CHECKING:
    from wearon.chart_files import Checked, Told
    from wearon.sizing import SizeChart

ChartFile = Annotated[
    Path, typer.Argument(help="CSV, schema.org JSON-LD, or a size_chart in JSON.", exists=True, dir_okay=False)
]
GarmentSold = Annotated[Garment | None, typer.Option(help="What is sold; else the file's, or full.")]
UnitOfNumbers = Annotated[Unit | None, typer.Option(help="For numbers that say none.")]
WhoseMeasurements = Annotated[MeasuredOn | None, typer.Option(help="Whose measurements they are.")]
LaidFlat = Annotated[
    bool | None, typer.Option("--laid-flat/--round", help="Garments: girths are half, across the garment.")
]
Stretch = Annotated[float | None, typer.Option(min=0, max=1, help="Garments: share by which the fabric gives.")]
Names = Annotated[
    str | None, typer.Option(metavar="WHICH", help="Of several size columns or systems: which, such as UK.")
]


def check_file(file: Path, told: Told | None = None, names: str | None = None) -> Checked:
    """What is in the file; `told` counts more than it. Raises UnusableFile, CommandError."""
    from wearon.chart_files import Told, check_chart
    from wearon.chart_files.csv_tables import MOST_BYTES

    try:
        with file.open("rb") as opened:
            document = opened.read(MOST_BYTES + 1)  # one more than it may have, so that a larger file is told
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    return check_chart(document, told or Told(), names)


def usable_chart(file: Path, told: Told | None = None, names: str | None = None) -> SizeChart:
    """The chart in the file. What looks odd or is wrong goes to stderr. Raises CommandError."""
    from wearon.chart_files import UnusableFile

    try:
        checked = check_file(file, told, names)
    except UnusableFile as error:
        raise CommandError(f"{file.name}: {error}") from error
    print_findings(checked)
    if checked.chart is None:
        raise CommandError(f"{file.name}: this chart cannot be used yet")
    return checked.chart


def print_findings(checked: Checked) -> None:
    """What looks odd, and what is wrong."""
    for warning in checked.warnings:
        errors.print(f"[yellow]look[/]: {plain(warning)}", soft_wrap=True)
    for problem in checked.problems:
        errors.print(f"[bold red]wrong[/]: {plain(problem)}", soft_wrap=True)
