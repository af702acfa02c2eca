"""One list of pairs becomes two parts: 30/32, 32/32, 32/34 are waists and legs; 70A, 70B, 75A are bands and cups.

As a list they could not be told: the leg falls where the waist rises.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from wearon.chart_files.cells import Reading
from wearon.chart_files.sheet import Line, Sheet, columns_of
from wearon.sizing.garments import Column

_PAIR = re.compile(r"([A-Za-z]?\d{1,3})( ?[/x] ?)([A-Za-z]?\d{1,3}|[A-Za-z]{1,10})")
_BRA = re.compile(r"(\d{2,3})()([A-Z]{1,3})")


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is sold, by the names of both parts, and what stands between them."""

    sold: Sequence[tuple[str, str]]
    separator: str


def split_pairs(sheet: Sheet) -> Pairs | None:
    """Split the sheet's sizes into first and second parts when all are pairs and each column follows one of them."""
    for pattern in (_PAIR, _BRA):
        matches = [pattern.fullmatch(line.name) for line in sheet.sizes]
        names = [(match.group(1), match.group(3)) for match in matches if match]
        separators = {match.group(2) for match in matches if match}
        is_list = len(names) == len(sheet.sizes) and len(separators) == 1
        if is_list and min(len({pair[0] for pair in names}), len({pair[1] for pair in names})) > 1:
            break
    else:
        return None
    lines = [_with_cup(line) for line in sheet.sizes] if pattern is _BRA else sheet.sizes
    columns = columns_of(lines)
    firsts = [column for column in columns if _follows(lines, [pair[0] for pair in names], column)]
    seconds = [
        column for column in columns if column not in firsts and _follows(lines, [pair[1] for pair in names], column)
    ]
    if not firsts or not seconds or len(firsts) + len(seconds) < len(columns):
        return None
    sheet.sizes = _part(lines, [pair[0] for pair in names], firsts)
    sheet.second = _part(lines, [pair[1] for pair in names], seconds)
    return Pairs(names, separators.pop())


def _with_cup(line: Line) -> Line:
    """A bra's bust as what it has more than the band."""
    bust, under = line.readings.get(Column.CHEST), line.readings.get(Column.UNDERBUST)
    if bust is None or under is None:
        return line
    low, high = (None if end is None else round(end - under.middle, 2) for end in (bust.min, bust.max))
    readings = {**line.readings, Column.CUP: Reading(low, high, bust.unit)}
    del readings[Column.CHEST]
    places = {**line.places, Column.CUP: line.place_of(Column.CHEST)}
    return Line(line.name, line.place, readings, places)


def _part(lines: Sequence[Line], names: Sequence[str], columns: Sequence[Column]) -> list[Line]:
    """The first line of each name with these columns, smallest first."""
    found: dict[str, Line] = {}
    for line, name in zip(lines, names, strict=True):
        readings = {column: line.readings[column] for column in columns if column in line.readings}
        found.setdefault(name, Line(name, line.place, readings, line.places))
    return sorted(found.values(), key=lambda line: sum(one.middle for one in line.readings.values()))


def _follows(lines: Sequence[Line], names: Sequence[str], column: Column) -> bool:
    """Whether all lines of one name say the same of the column."""
    said: dict[str, Reading | None] = {}
    readings = [line.readings.get(column) for line in lines]
    return all(said.setdefault(name, reading) == reading for name, reading in zip(names, readings, strict=True))
