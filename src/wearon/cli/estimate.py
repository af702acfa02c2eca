"""`wearon estimate`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from wearon.cli.output import CommandError, out, plain, print_json
from wearon.cli.progress import Shown, progress
from wearon.cli.settings import settings_or_error
from wearon.logs import configure_logs
from wearon.sizing import EstimateRequest, NoPerson, Sex, SizeEstimate, annotated_estimate


def estimate(
    photo: Annotated[Path, typer.Argument(help="A photo of the whole person.", exists=True, dir_okay=False)],
    height: Annotated[float, typer.Option(min=100, max=250, help="The person's height in cm.")],
    weight: Annotated[float | None, typer.Option(min=30, max=250, help="Weight in kg: makes it better.")] = None,
    sex: Annotated[Sex | None, typer.Option(help="Makes a weight say more.")] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write the photo here, with landmarks and measuring lines drawn on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the HTTP API gives it.")] = False,
) -> None:
    """Tell which size fits, from one photo and a height.

    Example: wearon estimate me.jpg --height 178 --annotate measured.jpg
    """
    settings = settings_or_error()
    configure_logs("warning", settings.log_format)
    request = EstimateRequest(height, weight, sex)
    with progress("Loading the pose model", quiet=as_json) as shown:
        answer, picture = asyncio.run(_estimate(photo, request, settings.pose_model_path, shown))
    if annotate is not None:
        _write(annotate, picture)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _print(answer)
        if annotate is not None:
            out.print(f"Measured photo written to [bold]{plain(annotate)}[/]", highlight=False)


async def _estimate(
    photo: Path, request: EstimateRequest, model: Path | None, shown: Shown
) -> tuple[SizeEstimate, bytes]:
    from wearon.pictures.decode import PictureError
    from wearon.pose.pool import PoseError, PosePool

    pool = PosePool(model, processes=1)
    try:
        await pool.start()
        shown.say("measuring")
        return await pool.run(annotated_estimate, photo.read_bytes(), request, timeout=30.0)
    except NoPerson as error:
        raise CommandError(f"no size can be told from this photo ({error.code}): {error.hint}") from error
    except (PictureError, PoseError) as error:
        raise CommandError(f"{photo}: {error}") from error
    finally:
        pool.close()


def _write(target: Path, picture: bytes) -> None:
    try:
        target.write_bytes(picture)
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}") from error


def _print(answer: SizeEstimate) -> None:
    span = answer.size_range
    out.print(
        f"Size [bold green]{plain(answer.recommended_size)}[/]  "
        f"(between {span.lower} and {span.upper}; confidence {answer.confidence:.0%})",
        highlight=False,
    )
    for name, value in answer.measurements.model_dump().items():
        error = getattr(answer.standard_errors, name)
        out.print(f"  {name.removesuffix('_cm'):9} {value:6.1f} cm  ± {error:.1f}", highlight=False)
    if answer.body_type:
        out.print(f"  body type {answer.body_type}", highlight=False)
    for warning in answer.warnings:
        out.print(f"  [yellow]{warning.code}[/]: {warning.message}", highlight=False)
