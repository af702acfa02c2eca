"""A file of a shop becomes the `size_chart` of a request, or a list of what is wrong in which row and column."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from wearon.chart_files.cells import Reading, unit_in_words
from wearon.chart_files.csv_sheet import read_csv_sheet
from wearon.chart_files.csv_tables import decoded, read_tables
from wearon.chart_files.findings import look_at, refuse_small
from wearon.chart_files.json_ld import parse_json, read_json_ld_sheet
from wearon.chart_files.own_json import read_own_sheet
from wearon.chart_files.problems import Place, Problem, UnusableFile, quoted
from wearon.chart_files.sheet import Line, Sheet, Told, columns_of
from wearon.chart_files.two_parts import Pairs, split_pairs
from wearon.sizing.chart import CM_PER_INCH, MeasuredOn, SizeChart, Unit
from wearon.sizing.chart_warnings import chart_warnings
from wearon.sizing.garments import GIRTHS, Column

SMALLEST_GIRTH_CM, LARGEST_GIRTH_IN = 60.0, 58.0
"""Without a unit, girths of bodies from the one on are cm, and those up to the other inches, if all of them are."""

MOST_NAMED = 8
"""Of the sizes that a warning is about."""

_PLACE_IN_FAULT = re.compile(r"row (\d{1,3}) \([^()]{0,60}\), ([a-z]{1,20})\b:? ?")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file holds. `chart` and `size_chart` (the JSON to send) are None when there are problems.

    `lines` are the sizes in `unit`, as far as they could be read, and `second_lines` the second parts.
    """

    chart: SizeChart | None
    size_chart: dict[str, Any] | None
    unit: Unit
    measured_on: MeasuredOn
    laid_flat: bool
    lines: Sequence[Line]
    second_lines: Sequence[Line]
    problems: Sequence[Problem]
    warnings: Sequence[Problem]

    @property
    def described(self) -> str:
        """Whose measurements they are, and in which unit."""
        flat = " laid flat" if self.laid_flat else ""
        return f"measured on the {self.measured_on}{flat}, in {unit_in_words(self.unit)}"


def check_chart(data: bytes, told: Told = Told(), names: str | None = None) -> Checked:  # noqa: B008 a frozen value
    """Check the bytes of a CSV, of JSON-LD or of a `size_chart` in JSON. What is `told` counts more than the file.

    `names` picks the column of size names, or the size system, where there are several. Raises UnusableFile.
    """
    text = decoded(data)
    own: dict[str, Any] | None = None
    if text.lstrip()[:1] in ("{", "["):
        document = parse_json(text)
        own = _own(document)
        own = own and {**own, **_stated(told)}
        sheet = read_json_ld_sheet(document, names, told.measured_on) if own is None else read_own_sheet(own)
    else:
        sheet = read_csv_sheet(read_tables(text), names)
    sheet.told = told.over(sheet.told)
    if not sheet.sizes:
        raise UnusableFile("no size stands below the headings")
    unit = _unify(sheet)
    if sheet.told.measured_on is not MeasuredOn.GARMENT:
        refuse_small(sheet, unit)
    _find_twins(sheet)
    pairs = split_pairs(sheet) if own is None and not sheet.second else None
    _order(sheet)
    look_at(sheet, unit)
    size_chart = _document(sheet, unit, pairs) if own is None else own
    chart = None if sheet.problems else _validated(size_chart, sheet)
    for warning in chart_warnings(chart) if chart else ():
        more = len(warning.sizes) - MOST_NAMED
        named = [*warning.sizes[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
        sheet.note(f"{warning.message.rstrip('.')} ({', '.join(named)})")
    return Checked(
        chart,
        None if chart is None else size_chart,
        unit,
        sheet.told.measured_on or MeasuredOn.BODY,
        sheet.told.laid_flat is True,
        sheet.sizes,
        sheet.second,
        sheet.problems,
        sheet.notes,
    )


def _own(document: Any) -> dict[str, Any] | None:
    """The document when it is a `size_chart`, or has one: a request, what `chart check` prints, or a kept chart."""
    if not isinstance(document, dict):
        return None
    found = document.get("size_chart", document.get("chart", document))
    return found if isinstance(found, dict) and isinstance(found.get("sizes"), list) else None


def _unify(sheet: Sheet) -> Unit:
    """Bring all readings to one unit: the stated one, or cm where both are stated."""
    readings = [reading for lines in sheet.parts for line in lines for reading in line.readings.values()]
    usual = sheet.told.unit
    if usual is None and any(reading.unit is None for reading in readings):
        usual = next((one.unit for one in readings if one.unit), None) or _guessed(sheet)
    units = {reading.unit or usual for reading in readings}
    unit = Unit.INCH if units == {Unit.INCH} else Unit.CM
    for lines in sheet.parts:
        lines[:] = [
            replace(line, readings={column: _in(one, usual, unit) for column, one in line.readings.items()})
            for line in lines
        ]
    return unit


def _in(reading: Reading, usual: Unit | None, unit: Unit) -> Reading:
    mine = reading.unit or usual
    return reading.times(CM_PER_INCH) if mine is Unit.INCH and unit is Unit.CM else reading


def _guessed(sheet: Sheet) -> Unit | None:
    """The unit that girths of bodies show; a garment may be laid flat, and shows none."""
    girths = [one.middle for line in sheet.sizes for column, one in line.readings.items() if column in GIRTHS]
    if girths and sheet.told.measured_on is not MeasuredOn.GARMENT:
        if min(girths) >= SMALLEST_GIRTH_CM:
            sheet.note("no unit is stated; by their size, the numbers are cm")
            return Unit.CM
        if max(girths) <= LARGEST_GIRTH_IN:
            sheet.note("no unit is stated; by their size, the numbers are inches")
            return Unit.INCH
    sheet.wrong("no unit is stated; write it into the headings, as in “Chest (cm)” or “Chest (in)”, or use --unit")
    return None


def _order(sheet: Sheet) -> None:
    """Turn a chart round that begins with its largest size."""
    for lines in sheet.parts:
        columns = [column for column in columns_of(lines) if all(column in line.readings for line in lines)]
        middles = [[line.readings[column].middle for column in columns] for line in lines]
        falls = [all(a >= b for a, b in zip(one, after, strict=True)) for one, after in itertools.pairwise(middles)]
        if columns and falls and all(falls) and middles[0] != middles[-1]:
            lines.reverse()
            sheet.note("the largest size stands first; a chart begins with the smallest, so the order was turned round")


def _find_twins(sheet: Sheet) -> None:
    for lines in sheet.parts:
        seen: dict[str, Place] = {}
        for line in lines:
            if not line.name:
                sheet.wrong("this size has no name", line.place)
            elif line.name in seen:
                sheet.wrong(f"the name {quoted(line.name)} stands in row {seen[line.name].row}, too", line.place)
            seen.setdefault(line.name, line.place)


def _stated(told: Told) -> dict[str, Any]:
    """The keys of a `size_chart` for what is said of all of it."""
    keys = {
        "garment": told.garment,
        "unit": told.unit,
        "measured_on": told.measured_on,
        "laid_flat": told.laid_flat,
        "stretch": told.stretch,
    }
    return {key: value for key, value in keys.items() if value is not None}


def _document(sheet: Sheet, unit: Unit, pairs: Pairs | None) -> dict[str, Any]:
    told = replace(sheet.told, unit=unit, measured_on=sheet.told.measured_on or MeasuredOn.BODY)
    second: dict[str, Any] = {"second_sizes": [_size(line) for line in sheet.second]} if sheet.second else {}
    if pairs:
        is_all = len(pairs.sold) == len(sheet.sizes) * len(sheet.second)
        second |= {"separator": pairs.separator} | ({} if is_all else {"pairs": [list(pair) for pair in pairs.sold]})
    elif Column.CUP in columns_of(sheet.second):
        second["separator"] = ""  # 75B
    return {**_stated(told), "sizes": [_size(line) for line in sheet.sizes], **second}


def _size(line: Line) -> dict[str, Any]:
    return {"name": line.name, **{str(column): _cell(reading) for column, reading in line.readings.items()}}


def _cell(reading: Reading) -> float | dict[str, float]:
    ends = {"min": reading.min, "max": reading.max}
    told = {name: int(end) if end.is_integer() else end for name, end in ends.items() if end is not None}
    return told["min"] if reading.min == reading.max else told


def _validated(size_chart: dict[str, Any], sheet: Sheet) -> SizeChart | None:
    """The chart as the API takes it; what that refuses becomes problems at their rows and columns."""
    try:
        return SizeChart.model_validate(size_chart)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            if fault["type"] != "too_short" or error.error_count() == 1:  # it follows on others
                message = fault["msg"].removeprefix("Value error, ")
                place, message = _place_of(fault["loc"], message, sheet)
                sheet.wrong(message, place)
        return None


def _place_of(loc: Sequence[int | str], message: str, sheet: Sheet) -> tuple[Place, str]:
    """The place in the file of a fault of the model; the model counts sizes, the file rows."""
    if len(loc) > 1 and loc[0] in ("sizes", "second_sizes") and isinstance(loc[1], int):
        lines = sheet.sizes if loc[0] == "sizes" else sheet.second
        if loc[1] < len(lines):
            return _at(lines[loc[1]], loc[2] if len(loc) > 2 else None), message
    if match := _PLACE_IN_FAULT.match(message):
        number, column = int(match.group(1)) - 1, match.group(2)
        for lines in sheet.parts:
            if number < len(lines) and column in columns_of(lines):
                return _at(lines[number], column), message[match.end() :]
    return Place(heading=".".join(map(str, loc)) or None), message


def _at(line: Line, column: int | str | None) -> Place:
    if column in (None, "name"):
        return line.place
    return next((place for key, place in line.places.items() if key == column), None) or Place(
        line.place.row, size=line.name, heading=str(column)
    )
