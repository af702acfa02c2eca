"""What is wrong in a file, and where: as a shop that has the file open finds it."""

from dataclasses import dataclass

MOST_PROBLEMS = 50
"""A file of rubbish is told by its first problems."""

SHOWN = 40
"""Characters of a foreign text that a message repeats."""


NOT_FOR_CHILDREN = (
    "this is a children's chart ({}): the estimate knows the bodies of adults only, and gives no sizes for children"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A row and a column as a spreadsheet counts them, both from 1; in JSON-LD the row is the size's number.

    `size` and `heading` are what stands there, to find it without counting.
    """

    row: int | None = None
    column: int | None = None
    size: str | None = None
    heading: str | None = None

    def __str__(self) -> str:
        parts = []
        if self.row is not None:
            parts.append(f"row {self.row}" + (f" ({_short(self.size)})" if self.size else ""))
        if self.column is not None:
            parts.append(f"column {letters(self.column)}" + (f" ({_short(self.heading)})" if self.heading else ""))
        elif self.heading:
            parts.append(_short(self.heading))
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence about one place of the file, or about all of it."""

    message: str
    place: Place = Place()

    def __str__(self) -> str:
        where = str(self.place)
        return f"{where}: {self.message}" if where else self.message


class UnusableFile(Exception):
    """The file cannot be read as a chart at all; the message says what to do instead."""


def letters(column: int) -> str:
    """The name of a column in spreadsheets: 1 is A, 27 is AA."""
    name = ""
    while column > 0:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def quoted(text: str) -> str:
    """A foreign text within a message: one line, not too long."""
    return f"“{_short(text)}”"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
