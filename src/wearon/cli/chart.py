"""`wearon chart`: check a shop's size chart, and keep it here for estimates that name it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.chart_file import (
    ChartFile,
    GarmentSold,
    LaidFlat,
    Names,
    Stretch,
    UnitOfNumbers,
    WhoseMeasurements,
    check_file,
    print_findings,
    usable_chart,
)
from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, CommandError, Yes, confirm, errors, plain, print_json, print_text, say, write_file
from wearon.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any, TypeVar

    from wearon.chart_files import Checked
    from wearon.queue.audit_log import Actor
    from wearon.shop_charts.store import ChartReference, ChartStore, ChartSummary, KeptChart

    T = TypeVar("T")

app = typer.Typer(
    help="Check a shop's size chart, and look at and change those that are kept here.\n\n"
    "Example: wearon chart check jeans.csv",
    no_args_is_help=True,
    add_completion=False,
)

Chart = Annotated[str, typer.Argument(metavar="STORE/NAME", help="The chart, as estimates name it.")]


@app.command()
def check(
    file: ChartFile,
    garment: GarmentSold = None,
    unit: UnitOfNumbers = None,
    measured_on: WhoseMeasurements = None,
    laid_flat: LaidFlat = None,
    stretch: Stretch = None,
    names: Names = None,
    picture: Annotated[Path | None, typer.Option("--out", metavar="PNG", help="Draw the chart into this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a size chart: what is wrong in which row and column, what looks odd, and the JSON to send.

    Ends with status 1 when the chart cannot be used.

    Example: wearon chart check jeans.csv --garment jeans --out jeans.png
    """
    from wearon.chart_files import Told, UnusableFile, draw_chart

    try:
        checked = check_file(file, Told(garment, unit, measured_on, laid_flat, stretch), names)
    except UnusableFile as error:
        if as_json:
            print_json({"size_chart": None, "problems": [str(error)], "warnings": []})
            raise typer.Exit(1) from error
        raise CommandError(f"{file.name}: {error}") from error
    if picture:
        write_file(picture, draw_chart(checked, file.name))
    if as_json:
        listed = {"problems": [*map(str, checked.problems)], "warnings": [*map(str, checked.warnings)]}
        print_json({"size_chart": checked.size_chart, **listed})
    else:
        _print(file, checked)
    if checked.size_chart is None:
        raise typer.Exit(1)


@app.command("list")
def list_charts(
    store: Annotated[str | None, typer.Argument(metavar="[STORE]", help="Its charts; all stores without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the stores that keep charts here, or the charts of one.

    Example: wearon chart list
    """
    if store is None:
        stores: Mapping[str, int] = _ask(lambda charts, _by: charts.stores())
        if as_json:
            print_json({"stores": dict(stores)})
        else:
            _list(["store", "charts"], [[name, str(count)] for name, count in stores.items()])
        return
    summaries: Sequence[ChartSummary] = _ask(lambda charts, _by: charts.list(store))
    if as_json:
        print_json({"charts": [summary.model_dump(mode="json") for summary in summaries]})
        return
    rows = [[s.name, str(s.version), f"{s.stored_at:%Y-%m-%d %H:%M:%S}Z", str(s.size_bytes)] for s in summaries]
    _list(["chart", "version", "since", "bytes"], rows)


@app.command()
def show(chart: Chart) -> None:
    """Print a kept chart with its version, as JSON. `chart put` takes that again.

    Example: wearon chart show acme/shirts
    """
    reference = _reference(chart)
    kept: KeptChart = _ask(lambda charts, _by: charts.get(reference))
    print_json(kept.model_dump(mode="json", exclude_unset=True))


@app.command()
def put(
    chart: Chart,
    file: ChartFile,
    garment: GarmentSold = None,
    unit: UnitOfNumbers = None,
    measured_on: WhoseMeasurements = None,
    laid_flat: LaidFlat = None,
    stretch: Stretch = None,
    names: Names = None,
    replaces: Annotated[
        int | None, typer.Option(min=0, help="Only if this is the version that is there; 0: none is.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a chart as the next version. Running workers use it within a minute.

    It takes what `wearon chart check` takes, and refuses what that calls wrong.

    Example: wearon chart put acme/jeans jeans.csv --garment jeans
    """
    from wearon.chart_files import Told

    reference = _reference(chart)
    read = usable_chart(file, Told(garment, unit, measured_on, laid_flat, stretch), names)
    kept: KeptChart = _ask(lambda charts, by: charts.put(reference, read, by, replaces=replaces))
    if as_json:
        print_json({"chart": chart, "version": kept.version})
    else:
        say(f"{plain(chart)} is kept, version {kept.version}")


@app.command()
def delete(
    chart: Chart,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget a kept chart. Estimates that name it are refused within a minute.

    Example: wearon chart delete acme/shirts --yes
    """
    reference = _reference(chart)
    confirm(f"Forget the chart {chart}?", yes=yes)
    _ask(lambda charts, by: charts.delete(reference, by))
    if as_json:
        print_json({"chart": chart, "deleted": True})
    else:
        say(f"{plain(chart)} is forgotten")


def _list(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        print_table("", headings, rows, texts=[])
    else:
        say("There are no charts.")


def _reference(text: str) -> ChartReference:
    from wearon.shop_charts.store import ChartReference

    try:
        return ChartReference.parse(text)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _ask(question: Callable[[ChartStore, Actor], Coroutine[Any, Any, T]]) -> T:
    async def ask(connections: Connections) -> T:
        from wearon.shop_charts.store import ChartError, ChartStore

        try:
            return await question(ChartStore(connections.redis, connections.audit_log), connections.actor)
        except ChartError as error:
            raise CommandError(str(error)) from error

    return run_connected(ask)


def _print(file: Path, checked: Checked) -> None:
    from wearon.chart_files import columns_of, in_words

    say(f"{plain(file.name)}: {checked.described}")
    for lines in filter(None, (checked.lines, checked.second_lines)):
        columns = columns_of(lines)
        rows = [[line.name, *(in_words(line.readings.get(column)) for column in columns)] for line in lines]
        print_table("", ["size", *columns], rows, texts=["size"])
    print_findings(checked)
    if checked.size_chart is None:
        errors.print("This chart cannot be used yet.")
        return
    print_text(f"Send it as this size_chart:\n{json.dumps(checked.size_chart)}")
