"""The tables of a CSV become a sheet: which column is what, in which unit, and what each cell says."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from wearon.chart_files.cells import Reading, UnreadableCell, normal, read_cell, unit_in_words
from wearon.chart_files.csv_tables import Cell, Row, Table, padded
from wearon.chart_files.headings import Heading, is_for_children, read_heading, read_title
from wearon.chart_files.problems import NOT_FOR_CHILDREN, Place, UnusableFile, quoted
from wearon.chart_files.sheet import Line, Sheet, Told
from wearon.chart_files.words import Other
from wearon.sizing.chart import CM_PER_INCH, MeasuredOn, Unit
from wearon.sizing.garments import Column

_YES, _NO = frozenset({"yes", "true", "ja", "oui", "1"}), frozenset({"no", "false", "nein", "non", "0"})

_STATEMENTS = "write as in “unit;in”, “measured on;garment”, “laid flat;yes”, “stretch;5 %”"

_TWICE_APART_CM = 1.5
"""A column in cm and its twin in inches, each rounded, differ by less."""


@dataclass(frozen=True, slots=True)
class _Column:
    cell: Cell
    heading: Heading

    def place(self, cell: Cell, size: str) -> Place:
        return Place(cell.row, cell.column, size, self.cell.text)


def read_csv_sheet(tables: Sequence[Table], names: str | None = None) -> Sheet:
    """The sheet of one table, or two; `names` picks the column of size names where there are several.

    Raises UnusableFile for a children's chart and when no column names the sizes.
    """
    sheet = Sheet()
    _read_above(tables[0].above, sheet)
    if len(tables) > 2:
        raise UnusableFile(
            f"{len(tables)} tables are found, the last at row {tables[-1].headings[0].row}; give one file each"
        )
    _read_table(tables[0], names, sheet, sheet.sizes)
    for table in tables[1:]:
        _read_table(table, None, sheet, sheet.second)
    return sheet


def _read_above(rows: Sequence[Row], sheet: Sheet) -> None:
    """Titles, and statements such as "unit;in" or "stretch;5 %"."""
    for row in rows:
        cells = [cell for cell in row if cell.text]
        if len(cells) == 2 and _read_statement(cells[0], cells[1], sheet):
            continue
        for cell in cells:
            if is_for_children(cell.text):
                raise UnusableFile(NOT_FOR_CHILDREN.format(f"{quoted(cell.text)} in row {cell.row}"))
            sheet.told = sheet.told.over(read_title(cell.text))


def _read_statement(key: Cell, value: Cell, sheet: Sheet) -> bool:
    """Whether two cells are a statement about the whole chart; it is kept."""
    said, place = normal(value.text), Place(value.row, value.column)
    told = Told()
    match normal(key.text).rstrip(":").replace(" ", "_"):
        case "garment" | "type":
            told = Told(garment=said.replace("-", "_").replace(" ", "_"))
        case "unit":
            told = Told(unit=read_title(said).unit)
        case "measured_on" if said in list(MeasuredOn):
            told = Told(measured_on=MeasuredOn(said))
        case "laid_flat" if said in _YES | _NO:
            told = Told(laid_flat=said in _YES)
        case "stretch":
            told = Told(stretch=_share(said))
        case "measured_on" | "laid_flat":
            pass
        case _:
            return False
    if told == Told():
        sheet.wrong(f"{quoted(value.text)} is not understood; {_STATEMENTS}", place)
    sheet.told = told.over(sheet.told)
    return True


def _share(text: str) -> float | None:
    number = text.removesuffix("%").strip().replace(",", ".")
    if not (number.isascii() and number.replace(".", "", 1).isdigit()):
        return None
    return float(number) / (100 if text.endswith("%") else 1)


def _read_table(table: Table, names: str | None, sheet: Sheet, lines: list[Line]) -> None:
    columns = [_Column(cell, read_heading(cell.text)) for cell in table.headings]
    for column in columns:
        if column.heading.meaning is Other.AGE or is_for_children(column.cell.text):
            raise UnusableFile(NOT_FOR_CHILDREN.format(f"the column {quoted(column.cell.text)}"))
    naming = _naming(columns, table.rows, names)
    measured = _measured(columns, naming, sheet)
    rows = [padded(row, len(columns)) for row in table.rows]
    units = {index: columns[index].heading.unit for index in measured}
    if rows and (stated := _units_of(rows[0], measured)):
        units, rows = {**units, **stated}, rows[1:]
    for row in rows:
        name = row[naming]
        if not any(row[index].text for index in measured):
            _read_remark(row, sheet)
            continue
        if is_for_children(name.text):
            raise UnusableFile(NOT_FOR_CHILDREN.format(f"{quoted(name.text)} in row {name.row}"))
        lines.append(_read_line(row, name, {index: (columns[index], units[index]) for index in measured}, sheet))


def _read_remark(row: Row, sheet: Sheet) -> None:
    """A line of the table without a measurement, such as "All measurements in cm"."""
    for cell in row:
        sheet.told = sheet.told.over(Told(unit=read_title(cell.text).unit))
    first = next((cell for cell in row if cell.text), row[0])
    sheet.note("no measurement stands in this row; it is left out", Place(first.row, size=first.text))


def _naming(columns: Sequence[_Column], rows: Sequence[Row], names: str | None) -> int:
    """The column whose cells are the sizes' names."""
    if names is not None:
        wanted = [i for i, one in enumerate(columns) if normal(names) in normal(one.cell.text).split()]
        if not wanted:
            there = ", ".join(quoted(one.cell.text) for one in columns if one.cell.text)
            raise UnusableFile(f"no column is headed {quoted(names)}; there are {there}")
        return wanted[0]
    meanings = [one.heading.meaning for one in columns]
    candidates = [i for i, one in enumerate(meanings) if one is Other.NAME]
    # "Taille" is a waist in German and a size in French, a cup is a letter or a difference, and L32 is no length.
    candidates += [i for i, one in enumerate(meanings) if one is not None and not _has_readings(rows, i)]
    candidates += [0] if meanings[0] in meanings[1:] or meanings[0] is None else []
    candidates += [i for i, one in enumerate(meanings) if one is Other.COLLAR]
    if not candidates:
        raise UnusableFile("no column names the sizes; head it “Size”")
    return candidates[0]


def _has_readings(rows: Sequence[Row], index: int) -> bool:
    """Whether a cell of the column can be read as a measurement, or there is none to tell by."""
    texts = [row[index].text for row in rows if index < len(row) and row[index].text]
    for text in texts:
        with suppress(UnreadableCell):
            read_cell(text)
            return True
    return not texts


def _measured(columns: Sequence[_Column], naming: int, sheet: Sheet) -> Sequence[int]:
    """The columns with measurements. Of twins in cm and inches both are kept: their cells are compared."""
    found: list[int] = []
    taken: set[tuple[Column, Unit | None]] = set()
    for index, (cell, heading) in enumerate((one.cell, one.heading) for one in columns):
        place = Place(cell.row, cell.column, heading=cell.text)
        if index == naming or not cell.text:
            continue
        if heading.meaning is None:
            sheet.note("this heading is not known, and the column is left out", place)
        elif heading.meaning is Other.NAME:
            sheet.note("other names of the sizes, left out; --names takes them instead", place)
        elif not isinstance(heading.meaning, Column):
            sheet.note("the estimate does not measure this; the column is left out", place)
        elif (heading.meaning, heading.unit) in taken:
            sheet.wrong(f"{heading.meaning} stands in two columns; keep one", place)
        else:
            taken.add((heading.meaning, heading.unit))
            found.append(index)
            _hint(heading, sheet)
    if not found:
        raise UnusableFile("no column has a measurement that we know, such as “Chest (cm)”")
    return found


def _hint(heading: Heading, sheet: Sheet) -> None:
    flat = heading.laid_flat or None
    sheet.told = sheet.told.over(Told(measured_on=heading.measured_on, laid_flat=flat))


def _units_of(row: Row, measured: Sequence[int]) -> dict[int, Unit] | None:
    """The units when a line below the headings has nothing else."""
    titles = {index: read_title(row[index].text) for index in measured if row[index].text}
    bare = not any(character.isdigit() for index in titles for character in row[index].text)
    units = {index: title.unit for index, title in titles.items() if title.unit is not None}
    return units if bare and len(units) == len(titles) > 0 else None


def _read_line(row: Row, name: Cell, measured: dict[int, tuple[_Column, Unit | None]], sheet: Sheet) -> Line:
    readings: dict[Column, Reading] = {}
    places: dict[Column, Place] = {}
    for index, (column, unit) in measured.items():
        cell, meaning = row[index], column.heading.meaning
        assert isinstance(meaning, Column)
        place = column.place(cell, name.text)
        try:
            reading = read_cell(cell.text)
        except UnreadableCell as error:
            sheet.wrong(str(error), place)
            continue
        if reading is None:
            continue
        if reading.unit is not None and unit is not None and reading.unit is not unit:
            sheet.wrong(
                f"{quoted(cell.text)} is in {unit_in_words(reading.unit)}, its heading in {unit_in_words(unit)}", place
            )
            continue
        reading = Reading(reading.min, reading.max, reading.unit or unit)
        if meaning in readings:
            _compare_twins(readings[meaning], reading, place, sheet)
        if meaning not in readings or reading.unit is Unit.CM:
            readings[meaning], places[meaning] = reading, place
    return Line(name.text, Place(name.row, name.column, name.text), readings, places)


def _compare_twins(one: Reading, other: Reading, place: Place, sheet: Sheet) -> None:
    """A chart that gives cm and inches may give two different sizes."""
    middles = [reading.middle * (CM_PER_INCH if reading.unit is Unit.INCH else 1) for reading in (one, other)]
    if abs(middles[0] - middles[1]) > _TWICE_APART_CM:
        sheet.wrong(f"{middles[0]:g} cm and {middles[1]:g} cm are said of the same size; cm and inches differ", place)
