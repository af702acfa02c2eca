"""What looks odd in a chart before it is one: another unit, a garment laid flat, a child's sizes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from wearon.chart_files.cells import unit_in_words
from wearon.chart_files.problems import NOT_FOR_CHILDREN, UnusableFile, quoted
from wearon.chart_files.sheet import Line, Sheet, columns_of
from wearon.sizing.chart import CM_PER_INCH, Unit
from wearon.sizing.garments import GIRTHS, Column

STEEP = 1.35
"""A size is at most so many times the one before: sizes of two letters' difference are 1.2 times."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """What adults and their clothes measure, in cm."""

    low: float
    high: float


_PLAUSIBLE = {
    Column.CHEST: Plausible(65, 200),
    Column.UNDERBUST: Plausible(55, 170),
    Column.WAIST: Plausible(50, 200),
    Column.HIP: Plausible(65, 210),
    Column.SHOULDER: Plausible(28, 75),
    Column.INSEAM: Plausible(5, 115),
    Column.SLEEVE: Plausible(8, 105),
    Column.CUP: Plausible(5, 50),
    Column.LENGTH: Plausible(20, 190),
}

_LARGEST_CHILD = {Column.CHEST: 78.0, Column.WAIST: 63.0, Column.HIP: 82.0}
"""In cm: a chart whose largest size is below all of these is for nobody grown up. An XXS begins about there."""
_SMALLEST_IN_CM = 40.0
"""A girth below that was measured in inches, or across the garment."""


def refuse_small(sheet: Sheet, unit: Unit) -> None:
    """Raise UnusableFile when the largest size of a body chart is a child's."""
    largest = {
        column: max(_cm(line.readings[column].middle, unit) for line in sheet.sizes if column in line.readings)
        for column in columns_of(sheet.sizes)
        if column in _LARGEST_CHILD
    }
    if largest and all(_SMALLEST_IN_CM <= value < _LARGEST_CHILD[column] for column, value in largest.items()):
        told = ", ".join(f"{column} {value:g} cm" for column, value in largest.items())
        raise UnusableFile(NOT_FOR_CHILDREN.format(f"its largest size has {told}"))


def look_at(sheet: Sheet, unit: Unit) -> None:
    """Note what looks like another unit, of a whole column or from one size to the next."""
    for lines in sheet.parts:
        for column in columns_of(lines):
            having = [line for line in lines if column in line.readings]
            if not _look_at_magnitude(sheet, column, having, unit):
                for one, after in itertools.pairwise(having):
                    _look_at_pair(sheet, column, one, after)


def _cm(value: float, unit: Unit) -> float:
    return value * CM_PER_INCH if unit is Unit.INCH else value


def _look_at_magnitude(sheet: Sheet, column: Column, lines: Sequence[Line], unit: Unit) -> bool:
    """Whether a measurement is none; it is noted, once when all of the column are."""
    worn = 2 if sheet.told.laid_flat and column in GIRTHS else 1
    strange = {
        line.name: said
        for line in lines
        if (said := _strange(column, _cm(line.readings[column].middle, unit) * worn, unit, worn))
    }
    if len(strange) == len(lines) > 1:
        sheet.note(next(iter(strange.values())), lines[0].place_of(column))
        return True
    for line in lines:
        if line.name in strange:
            sheet.note(strange[line.name], line.place_of(column))
    return bool(strange)


def _strange(column: Column, cm: float, unit: Unit, worn: int) -> str | None:
    """Why a measurement is not one, in cm as worn; None when it may be."""
    limits = _PLAUSIBLE[column]
    if limits.low <= cm <= limits.high:
        return None
    other, factor = (Unit.CM, 1 / CM_PER_INCH) if unit is Unit.INCH else (Unit.INCH, CM_PER_INCH)
    guesses = [(factor, f"it looks like {unit_in_words(other)}")]
    if column in GIRTHS:
        guesses.append(
            (2, "it looks measured across the garment laid flat")
            if worn == 1
            else (0.5, "it looks round, not laid flat")
        )
    likely = [text for by, text in guesses if limits.low <= cm * by <= limits.high]
    return f"{cm:.0f} cm is no adult's {column}" + (f"; {', or '.join(likely)}" if likely else "")


def _look_at_pair(sheet: Sheet, column: Column, one: Line, after: Line) -> None:
    before, now = one.readings[column], after.readings[column]
    place = after.place_of(column)
    if now.middle > before.middle * STEEP or now.middle < before.middle / STEEP:
        sheet.note(f"{now.middle:g} follows on {before.middle:g} of {quoted(one.name)}: is it in another unit?", place)
    elif now.middle < before.middle:
        sheet.note(f"{now.middle:g} is less than {before.middle:g} of {quoted(one.name)} before it", place)
