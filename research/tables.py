"""Files of research/data: packed tables as such, and the table of views with the people in it (`extract_views.py`)."""

import csv
import gzip
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wearon.sizing.measure import MEASURES
from wearon.sizing.reader import FARTHEST, People
from wearon.sizing.silhouette import Array

DATA = Path(__file__).parent / "data"


def read_packed(name: str) -> list[dict[str, str]]:
    """The rows of a table in DATA."""
    with gzip.open(DATA / name, "rt", newline="") as file:
        return list(csv.DictReader(file))


def write_packed(name: str, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table in DATA: these columns first, all others of the rows sorted. The same rows make the same bytes."""
    others = sorted({column for row in rows for column in row} - set(columns))
    with gzip.GzipFile(DATA / name, "wb", mtime=0) as packed, io.TextIOWrapper(packed, newline="") as text:
        writer = csv.DictWriter(text, [*dict.fromkeys(columns), *others], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@dataclass(frozen=True)
class Table:
    """One view's rows."""

    names: tuple[str, ...]
    values: Array
    people: Array
    """Number of the person, over both sets."""
    phones: Array
    """1 where a phone took it, 0 where it is clean."""
    rows: list[dict[str, str]]
    """The truth of each."""
    seen: Array
    """Whether it is the one of two mirror images that an estimate looks at."""
    warnings: list[list[str]]

    @cached_property
    def targets(self) -> Array:
        return np.log([[float(row[name]) / float(row["height_cm"]) for name in MEASURES] for row in self.rows])

    def columns(self, pattern: str) -> list[int]:
        return [number for number, name in enumerate(self.names) if re.fullmatch(pattern, name)]

    def folds(self, seed: int, count: int) -> Array:
        """Each row's fold, 0 to `count` - 1; all rows of a person are in one."""
        persons = np.unique(self.people)
        order = np.random.default_rng(seed).permutation(persons)
        fold = dict(zip(order, np.arange(len(persons)) % count, strict=True))
        return np.array([fold[person] for person in self.people])

    def like(self, centre: Array, scale: Array) -> Array:
        """Features standardised and held as another table's."""
        return np.clip((self.values - centre) / scale, -FARTHEST, FARTHEST)

    def standard(self) -> tuple[Array, Array, Array]:
        """Features standardised and held as this table's own, their means and standard deviations."""
        centre, scale = self.values.mean(axis=0), self.values.std(axis=0) + 1e-4
        return self.like(centre, scale), centre, scale


def read_people() -> list[dict[str, str]]:
    with (DATA / "people.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_table(view: str, people: Sequence[dict[str, str]]) -> Table:
    column, flag = {"front": ("image", "seen_mirrored"), "side": ("side_image", "side_seen_mirrored")}[view]
    truth = {(person["set"], person[column]): person for person in people}
    found = [row for row in read_packed("views.csv.gz") if row["view"] == view]
    texts = {"set", "image", "view", "variant", "warnings", "height"}
    names = tuple(name for name in found[0] if name not in texts and all(row[name] for row in found))
    rows = [truth[row["set"], row["image"]] for row in found]
    return Table(
        names,
        np.array([[float(row[name]) for name in names] for row in found]),
        np.array([int(row["person"]) + 1000 * (row["set"] == "clean") for row in rows]),
        np.array([float(row["set"] == "phones") for row in rows]),
        rows,
        np.array(
            [(row["variant"] == "mirrored") == (truth_[flag] == "yes") for row, truth_ in zip(found, rows, strict=True)]
        ),
        [row["warnings"].split() for row in found],
    )


def read_renders(view: str, table: Table) -> Table:
    """Our own renders (see research/renders), a row a picture, with the features of another table of that view."""
    rows = [row for row in read_packed("renders.csv.gz") if row["view"] == view]
    return Table(
        table.names,
        np.array([[float(row[name]) for name in table.names] for row in rows]),
        np.array([int(row["person"]) + 10_000 for row in rows]),
        np.ones(len(rows)),
        rows,
        np.ones(len(rows), dtype=bool),
        [row["warnings"].split() for row in rows],
    )


def population(people: Sequence[Mapping[str, str]]) -> People:
    """Each person once."""
    each = {(person["set"], person["person"]): person for person in people}.values()
    logs = np.log([[float(person[name]) / float(person["height_cm"]) for name in MEASURES] for person in each])
    return People(logs.mean(axis=0), np.cov(logs.T))
