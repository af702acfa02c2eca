"""What a file holds, before it is a chart: lines of sizes with what was read for each column, and where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from wearon.chart_files.cells import Reading
from wearon.chart_files.problems import MOST_PROBLEMS, Place, Problem
from wearon.sizing.chart import MeasuredOn, Unit
from wearon.sizing.garments import Column

NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a whole chart, by the file or by who hands it over. None: not said."""

    garment: str | None = None
    unit: Unit | None = None
    measured_on: MeasuredOn | None = None
    laid_flat: bool | None = None
    stretch: float | None = None

    def over(self, other: "Told") -> "Told":
        """What is said here, and where nothing is, what `other` says."""
        both = {one.name: (getattr(self, one.name), getattr(other, one.name)) for one in fields(Told)}
        return Told(**{name: theirs if mine is None else mine for name, (mine, theirs) in both.items()})


@dataclass(frozen=True, slots=True)
class Line:
    """One size: its name, where it stands, and what each of its columns says."""

    name: str
    place: Place
    readings: Mapping[Column, Reading]
    places: Mapping[Column, Place] = field(default_factory=dict)

    def place_of(self, column: Column) -> Place:
        """Where that column of this size stands, or would."""
        return self.places.get(column) or Place(self.place.row, size=self.name, heading=column)


@dataclass(slots=True)
class Sheet:
    """A file's sizes. `second` holds the second parts of two-part sizes."""

    sizes: list[Line] = field(default_factory=list)
    second: list[Line] = field(default_factory=list)
    told: Told = Told()
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    """What was left out or assumed, and what looks odd: the shop should know."""

    def wrong(self, message: str, place: Place = NOWHERE) -> None:
        """Keep a problem, up to a bound."""
        _keep(Problem(message, place), self.problems)

    def note(self, message: str, place: Place = NOWHERE) -> None:
        """Keep what the shop should know, up to a bound."""
        _keep(Problem(message, place), self.notes)

    @property
    def parts(self) -> Sequence[list[Line]]:
        """One list of lines, or two."""
        return [self.sizes, self.second] if self.second else [self.sizes]


def _keep(problem: Problem, kept: list[Problem]) -> None:
    if len(kept) < MOST_PROBLEMS and problem not in kept:
        kept.append(problem)


def columns_of(lines: Sequence[Line]) -> Sequence[Column]:
    """The measurements that any of the lines has, in the order of a chart."""
    return [column for column in Column if any(column in line.readings for line in lines)]
