"""What is known of the people in a folder of pictures: its truth.csv, read and checked as a whole."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wearon.sizing.chart import DEFAULT_CHART
from wearon.sizing.measure import MEASURES

Truth = Mapping[str, str]
"""One line: `image`, `height_cm`, the measures in cm, `size`, and what else stands there."""

FILE = "truth.csv"

NUMBERS = ("height_cm", *MEASURES)

COLUMNS = ("image", *NUMBERS, "size")

MOST_TOLD = 10
"""Problems that are listed; of more, their number."""


class UnusableTruth(Exception):
    """A folder cannot be evaluated; the message has a line for each thing that is missing or wrong."""

    def __init__(self, folder: Path, problems: Sequence[str]) -> None:
        rest = len(problems) - MOST_TOLD
        told = [*problems[:MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])]
        super().__init__("\n".join([f"{folder} cannot be evaluated:", *(f"  - {problem}" for problem in told)]))


def read_truth(folder: Path) -> Sequence[Truth]:
    """The lines of the folder's truth.csv, at least one; every picture is there. Raises UnusableTruth, OSError."""
    if not (folder / FILE).is_file():
        raise UnusableTruth(folder, [f"there is no {FILE}, with the columns {', '.join(COLUMNS)}"])
    try:
        with (folder / FILE).open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            columns, people = lines.fieldnames or (), list(lines)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableTruth(folder, [f"{FILE} is no CSV in UTF-8: {error}"]) from error
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UnusableTruth(folder, [f"{FILE} has no column {', '.join(missing)}"])
    if not people:
        raise UnusableTruth(folder, [f"{FILE} names no pictures"])
    problems = [problem for number, truth in enumerate(people, 1) for problem in _problems(folder, number, truth)]
    if problems:
        raise UnusableTruth(folder, problems)
    return people


def _problems(folder: Path, number: int, truth: Truth) -> Iterator[str]:
    """What is wrong with one line; a line that is too short has None in its last columns."""
    for column in ("image", "side_image"):
        name = truth.get(column)
        if not name and column == "image":
            yield f"{FILE}, person {number}: no image is named"
        elif name and not (folder / name).is_file():
            yield f"{FILE}, person {number}: there is no {name}"
    for column in (*NUMBERS, "weight_kg"):
        if (column in NUMBERS or truth.get(column)) and not _is_measure(truth.get(column)):
            yield f"{FILE}, person {number}: {column} is not a number above 0"
    if truth["size"] not in DEFAULT_CHART.names:
        yield f"{FILE}, person {number}: size is none of {', '.join(DEFAULT_CHART.names)}"


def _is_measure(text: str | None) -> bool:
    try:
        return 0 < float(text or "") < math.inf
    except ValueError:
        return False
