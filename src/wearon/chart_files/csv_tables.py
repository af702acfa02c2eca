"""The bytes of a CSV file become tables of cells that know their row and column. Nothing is executed or looked up."""

import codecs
import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from wearon.chart_files.headings import read_heading
from wearon.chart_files.problems import UnusableFile
from wearon.chart_files.words import Other
from wearon.sizing.garments import Column

MOST_BYTES = 256 * 1024
"""Forty sizes with ten columns are 4 kB; schema.org's JSON takes thirty times as much."""

MOST_ROWS, MOST_COLUMNS = 200, 60
"""A chart has at most 40 sizes, in two tables, and lines above them; in a transposed one they are columns."""

_DELIMITERS = ";\t,|"

_NOT_TEXT = {
    b"PK\x03\x04": "an Excel or OpenDocument workbook; save it as CSV (“CSV UTF-8” in Excel)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"%PDF": "a PDF; copy its table into a spreadsheet, and save that as CSV",
    b"\x89PNG": "a picture; type its table into a spreadsheet, and save that as CSV",
    b"\xff\xd8\xff": "a picture; type its table into a spreadsheet, and save that as CSV",
}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of the file. `row` and `column` count from 1, as spreadsheets do."""

    text: str
    row: int
    column: int


Row = Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """A line of headings and the lines below it, and what stands above."""

    above: Sequence[Row]
    headings: Row
    rows: Sequence[Row]


def decoded(data: bytes) -> str:
    """The text of a file, as Excel, its relatives and editors write it. Raises UnusableFile."""
    if len(data) > MOST_BYTES:
        raise UnusableFile(f"the file is larger than {MOST_BYTES // 1024} kB: no size chart is")
    for start, what in _NOT_TEXT.items():
        if data.startswith(start):
            raise UnusableFile(f"this is {what}")
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), None)
    try:
        # Without a mark, text is UTF-8, or what Excel calls CSV on a western Windows.
        text = data.decode(encoding) if encoding else _without_mark(data)
    except UnicodeDecodeError as error:
        raise UnusableFile("the text's encoding cannot be told; save the file as “CSV UTF-8”") from error
    if "\0" in text:
        raise UnusableFile("this is no text; save the chart as “CSV UTF-8”")
    if not text.strip():
        raise UnusableFile("the file is empty")
    if text.lstrip()[:1] == "<":
        raise UnusableFile("this is a web page or XML; take the JSON-LD out of it, or save its table as CSV")
    return text


def _without_mark(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def read_tables(text: str) -> Sequence[Table]:
    """The tables of a CSV, one below the other: sizes, and perhaps the second parts of two-part sizes.

    The delimiter is the one that makes the most headings readable. Raises UnusableFile when there are none.
    """
    text = _after_separator_line(text)
    readings = [_rows(text, delimiter) for delimiter in _DELIMITERS]
    rows = max(readings, key=_understood)
    found = [index for index, row in enumerate(rows) if _is_heading(row)]
    if not found:
        # Sizes side by side: the headings stand in the first column.
        rows = max((_transposed(rows) for rows in readings), key=_understood)
        found = [index for index, row in enumerate(rows) if _is_heading(row)]
    if not found:
        raise UnusableFile(
            "no line of headings is found; one line needs “Size” and a measurement such as “Chest (cm)” or “Waist (in)”"
        )
    ends = [*found[1:], len(rows)]
    return [
        Table(
            rows[: found[0]] if start == found[0] else (), rows[start], [r for r in rows[start + 1 : end] if _said(r)]
        )
        for start, end in zip(found, ends, strict=True)
    ]


def _after_separator_line(text: str) -> str:
    """Excel's first line "sep=;" becomes an empty line, so that rows keep their numbers."""
    first, _, rest = text.partition("\n")
    return f"\n{rest}" if first.strip().casefold().startswith("sep=") else text


def _rows(text: str, delimiter: str) -> list[Row]:
    try:
        lines = list(itertools.islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), MOST_ROWS + 1))
    except csv.Error as error:
        raise UnusableFile(f"this is no CSV: {error}") from error
    if len(lines) > MOST_ROWS:
        raise UnusableFile(f"the file has more than {MOST_ROWS} rows: no size chart has")
    if max(map(len, lines), default=0) > MOST_COLUMNS:
        raise UnusableFile(f"the file has more than {MOST_COLUMNS} columns: no size chart has")
    return [
        [Cell(text.strip(), row, column) for column, text in enumerate(line, 1)] for row, line in enumerate(lines, 1)
    ]


def _transposed(rows: Sequence[Row]) -> list[Row]:
    """Columns as rows. The lines above the sizes stay above, each as it was."""
    lines = [row for row in rows if _said(row)]
    first = next((n for n, row in enumerate(lines) if isinstance(read_heading(row[0].text).meaning, Column)), 0)
    above, table = lines[: max(first - 1, 0)], lines[max(first - 1, 0) :]
    width = max(map(len, table), default=0)
    return [*above, *map(list, zip(*(padded(row, width) for row in table), strict=True))]


def padded(row: Row, width: int) -> Row:
    """The row with empty cells up to that width."""
    return [*row, *(Cell("", row[0].row, column) for column in range(len(row) + 1, width + 1))]


def _said(row: Row) -> bool:
    return any(cell.text for cell in row)


def _understood(rows: Sequence[Row]) -> tuple[int, int]:
    """How many headings of one row we know, and how many cells there are."""
    known = [sum(read_heading(cell.text).meaning is not None for cell in row) for row in rows]
    return max(known, default=0), sum(map(len, rows))


def _is_heading(row: Row) -> bool:
    """Whether a row says what stands below: at least one measurement, and nothing but headings beside it."""
    meanings = [read_heading(cell.text).meaning for cell in row if cell.text]
    measured = sum(isinstance(meaning, Column) for meaning in meanings)
    named = Other.NAME in meanings or Other.COLLAR in meanings or (bool(row) and not row[0].text)
    return measured >= (1 if named else 2)
