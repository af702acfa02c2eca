"""A `size_chart` in the API's own JSON becomes a sheet, to be looked at and drawn; the model says what is wrong."""

from collections.abc import Sequence
from typing import Any

from wearon.chart_files.cells import Reading
from wearon.chart_files.problems import Place
from wearon.chart_files.sheet import Line, Sheet, Told
from wearon.sizing.chart import MeasuredOn, Unit
from wearon.sizing.garments import Column


def read_own_sheet(document: dict[str, Any]) -> Sheet:
    """What of the document can be read; rows are the sizes' numbers."""
    unit = Unit.INCH if document.get("unit") == Unit.INCH else Unit.CM
    side = MeasuredOn.GARMENT if document.get("measured_on") == MeasuredOn.GARMENT else MeasuredOn.BODY
    return Sheet(
        sizes=_lines(document.get("sizes"), unit),
        second=_lines(document.get("second_sizes"), unit),
        told=Told(unit=unit, measured_on=side, laid_flat=document.get("laid_flat") is True),
    )


def _lines(sizes: Any, unit: Unit) -> list[Line]:
    if not isinstance(sizes, Sequence):
        return []
    return [_line(number, size, unit) for number, size in enumerate(sizes, 1) if isinstance(size, dict)]


def _line(number: int, size: dict[str, Any], unit: Unit) -> Line:
    name = size.get("name")
    shown = name if isinstance(name, str) else ""
    readings = {}
    for column in Column:
        reading = _reading(size.get(column), unit) or _reading({"max": size.get(f"{column}_cm")}, Unit.CM)
        if reading is not None:
            readings[column] = reading
    return Line(shown, Place(number, size=shown), readings)


def _reading(value: Any, unit: Unit) -> Reading | None:
    ends = value if isinstance(value, dict) else {"min": value, "max": value}
    low, high = (_number(ends.get(key)) for key in ("min", "max"))
    return None if low is None and high is None else Reading(low, high, unit)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1000
    return float(value) if is_number else None
