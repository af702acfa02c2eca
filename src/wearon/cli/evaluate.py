"""`wearon evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.output import CommandError, plain, print_text, say, write_file
from wearon.cli.progress import progress
from wearon.cli.settings import settings_or_error

if TYPE_CHECKING:
    from wearon.sizing.evaluate import Scored


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Pictures of known people, with a truth.csv.", exists=True, file_okay=False),
    ] = None,
    ansur: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ANSUR rows (CSV) to score the girth model on.", exists=True, dir_okay=False),
    ] = None,
    side: Annotated[bool, typer.Option(help="Use the pictures from the side, where there are some.")] = True,
    weight: Annotated[bool, typer.Option(help="Tell the estimate the weight, where it is known.")] = True,
    sex: Annotated[bool, typer.Option(help="Tell the estimate the sex, where it is known.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tables and plots into one HTML file.")
    ] = None,
) -> None:
    """Score the size estimate of this code against known people: is a change better or worse?

    DIR holds pictures and a truth.csv (image, height_cm, chest_cm, waist_cm, hip_cm, shoulder_cm, size; optionally
    category, sex, weight_kg, side_image, skin, person).

    Example: wearon evaluate photos/ --ansur ansur.csv --report evaluation.html
    """
    from wearon.sizing.evaluate import ansur_as_text, as_text, evaluate_ansur
    from wearon.sizing.report import render_report

    if folder is None and ansur is None:
        raise CommandError("nothing to evaluate: name a folder of pictures, or --ansur with a file")
    scored = _score(folder, side=side, weight=weight, sex=sex) if folder else []
    if scored:
        print_text(as_text(scored))
    girths = None
    if ansur:
        try:
            girths = evaluate_ansur(ansur)
        except KeyError as error:
            raise CommandError(f"{ansur} cannot be used: it has no column {error.args[0]}") from error
        except (OSError, ValueError) as error:
            raise CommandError(f"{ansur} cannot be used: {error}") from error
        print_text(ansur_as_text(girths))
    if report:
        write_file(report, render_report(scored, girths).encode())
        say(f"Report written to [bold]{plain(report)}[/]")


def _score(folder: Path, *, side: bool, weight: bool, sex: bool) -> "list[Scored]":
    from wearon.pose import Detector
    from wearon.sizing.evaluate import Given, evaluate_folder
    from wearon.sizing.truth import UnusableTruth

    model = settings_or_error().pose_model_path
    with progress("Estimating") as shown:
        try:
            with Detector(model) as detector:
                given = Given(side=side, weight=weight, sex=sex)
                return evaluate_folder(folder, detector, given=given, progress=shown.count)
        except UnusableTruth as error:
            raise CommandError(str(error)) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise CommandError(f"{folder} cannot be evaluated: {error}") from error
