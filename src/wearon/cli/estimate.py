"""`wearon estimate`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from wearon.cli.chart_file import usable_chart
from wearon.cli.output import CommandError, plain, print_json, say, write_file
from wearon.cli.progress import Shown, progress
from wearon.cli.settings import settings_or_error
from wearon.cli.typed_units import height_cm, weight_kg
from wearon.observability.logging import configure_logs
from wearon.sizing import (
    DEFAULT_CHART,
    ColumnFit,
    EstimateRequest,
    Fit,
    NoPerson,
    Sex,
    SizeEstimate,
    drawn_estimate,
    drawn_estimate_of_two,
)

LIMIT_S = 30.0
"""For measuring: on any machine, two large pictures are done in a tenth of it."""

ShopsChart = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The shop's sizes: CSV, JSON-LD, or what `chart check FILE --json` prints, which has more options.",
        exists=True,
        dir_okay=False,
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(help="Write the photo here, with landmarks and measuring lines drawn on; a second one beside it."),
]


def estimate(
    height: Annotated[
        float,
        typer.Option(parser=height_cm, metavar="HEIGHT", help="The person's height: 170 (cm), 1.70m, 5'7\", 67in."),
    ],
    photo: Annotated[
        Path | None,
        typer.Argument(help="A photo of the whole person. Not needed with --weight.", exists=True, dir_okay=False),
    ] = None,
    side: Annotated[
        Path | None, typer.Option(help="A second photo, from the side.", exists=True, dir_okay=False)
    ] = None,
    weight: Annotated[
        float | None,
        typer.Option(parser=weight_kg, metavar="WEIGHT", help="Makes it better: 70 (kg), 140lb, 10st4."),
    ] = None,
    sex: Annotated[Sex | None, typer.Option(help="Makes a weight say more.")] = None,
    chart: ShopsChart = None,
    fit_preference: Annotated[Fit, typer.Option(help="How the shopper likes clothes to sit.")] = Fit.REGULAR,
    annotate: Annotate = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the HTTP API gives it.")] = False,
) -> None:
    """Tell which size fits, from a height and photos or a weight.

    Example: wearon estimate me.jpg --height 178 --chart jeans.csv --annotate measured.jpg
    """
    if photo is None and (weight is None or side or annotate):
        raise CommandError("give a photo; only with --height and --weight alone there need be none")
    settings = settings_or_error()
    configure_logs("warning", settings.log_format)
    size_chart = usable_chart(chart) if chart else DEFAULT_CHART
    request = EstimateRequest(height, weight, sex, size_chart, fit_preference)
    pictures: tuple[bytes, ...] = ()
    if photo is None:
        answer = _without_photo(request)
    else:
        with progress("Loading the pose model", quiet=as_json) as shown:
            answer, pictures = asyncio.run(_estimate(photo, side, request, settings.pose_model_path, shown))
    written = _write(annotate, pictures) if annotate else []
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        _print(answer)
        for target in written:
            say(f"Measured photo written to [bold]{plain(target)}[/]")


def _without_photo(request: EstimateRequest) -> SizeEstimate:
    from wearon.sizing.estimate import without_photo  # numpy

    return without_photo(request)


async def _estimate(
    photo: Path, side: Path | None, request: EstimateRequest, model: Path | None, shown: Shown
) -> tuple[SizeEstimate, tuple[bytes, ...]]:
    from wearon.metrics import Metrics
    from wearon.pictures.decode import PictureError
    from wearon.pose.pool import PoseError, PosePool

    pool = PosePool(model, 1, metrics=Metrics())
    try:
        await pool.start()
        shown.say("measuring")
        if side is not None:
            pair = photo.read_bytes(), side.read_bytes()
            return await pool.run(drawn_estimate_of_two, *pair, request, True, timeout=LIMIT_S)
        return await pool.run(drawn_estimate, photo.read_bytes(), request, True, timeout=LIMIT_S)
    except NoPerson as error:
        raise CommandError(f"no size can be told from this photo ({error.code}): {error.hint}") from error
    except (PictureError, PoseError) as error:
        raise CommandError(f"{photo}: {error}") from error
    finally:
        pool.close()


def _write(target: Path, pictures: tuple[bytes, ...]) -> list[Path]:
    """The first picture goes to `target`, the one from the side beside it."""
    targets = [target, target.with_stem(f"{target.stem}-side")][: len(pictures)]
    for path, picture in zip(targets, pictures, strict=True):
        write_file(path, picture)
    return targets


def _size(answer: SizeEstimate) -> str:
    span = answer.size_range
    if answer.recommended_size is None or span is None:
        return "[yellow]No size of this chart[/]"
    return (
        f"Size [bold green]{plain(answer.recommended_size)}[/]  (between {plain(span.lower)} and {plain(span.upper)}; "
        f"confidence {answer.confidence:.0%})"
    )


def _print(answer: SizeEstimate) -> None:
    say(_size(answer))
    if outside := answer.outside_chart:
        say(f"  [yellow]{outside.code}[/]: {outside.message}")
    errors = answer.standard_errors.model_dump()
    measured = {name: (value, errors[name]) for name, value in answer.measurements.model_dump().items()}
    measured |= {name: (more.value, more.standard_error) for name, more in answer.more_measurements.items()}
    for name, (value, error) in measured.items():
        say(f"  {name.removesuffix('_cm'):9} {value:6.1f} cm  ± {error:.1f}")
    if answer.body_type:
        say(f"  body type {answer.body_type}")
    sources = ", ".join(source.replace("_", " ") for source in answer.measured_from)
    say(f"  measured from {sources}")
    for warning in answer.warnings:
        say(f"  [yellow]{warning.code}[/]: {warning.message}")
    for size in answer.fit:
        columns = ", ".join(_sits(one) for one in size.columns)
        say(f"  {plain(size.size)} sits: {columns}")
    for notice in answer.chart_warnings:
        say(f"  [yellow]{notice.code}[/]: {plain(notice.message)}")
    for question in answer.ask_next:
        say(f"  [cyan]next[/]: {question.message} (range narrower by {question.narrows_range_by:.1f} sizes)")


def _sits(one: ColumnFit) -> str:
    if one.ease_cm is not None:
        return f"{one.column} {one.word} ({one.ease_cm:+.1f} cm ease)"
    return f"{one.column} {one.word or f'{one.garment_cm:.1f} cm'}"
