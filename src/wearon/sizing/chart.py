"""A shop's chart: what it says of each of its sizes, checked so far that sizes can be told from it.

    Size        one line: a name, and a range or one figure for each column
    SizeChart   the lines, smallest first, and how to read them

Nothing here imports numpy: the API reads charts, the pose processes use them (`wearon.sizing.fitting`).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from wearon.sizing.garments import GIRTHS, MATTERS, STRETCH, Column, Ease, Garment, usual_ease
from wearon.sizing.steps import Ends, Step, body_steps, garment_steps

MOST_SIZES = 40
MOST_PAIRS = 400

MOST_NAMES = 20
"""Names that one object may have: a line of a chart has thirteen, and each unknown one would be a complaint. Of a list,
only the first faulty item is complained about: sixteen kilobytes of faults took the event loop 23 ms and gave an answer
of 1 MB."""

CM_PER_INCH = 2.54


class Unit(StrEnum):
    """What a chart counts in."""

    CM = "cm"
    INCH = "in"


class MeasuredOn(StrEnum):
    """Whose measurements a chart lists."""

    BODY = "body"
    GARMENT = "garment"


Figure = Annotated[float, Field(gt=0, le=300, allow_inf_nan=False)]


class Span(BaseModel):
    """A range, either end of which may be open. A figure alone stands for both ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: Figure | None = None
    max: Figure | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


def _span(value: Any) -> Any:
    is_a_figure = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"min": value, "max": value} if is_a_figure else value


Cell = Annotated[Span, BeforeValidator(_span, json_schema_input_type=Figure | Span)]
Name = Annotated[str, Field(min_length=1, max_length=20)]


class Size(BaseModel):
    """One line of a chart. `chest_cm`, `waist_cm` and `hip_cm` are a short form: upper limits of the body, in cm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    chest: Cell | None = None
    underbust: Cell | None = None
    waist: Cell | None = None
    hip: Cell | None = None
    shoulder: Cell | None = None
    inseam: Cell | None = None
    sleeve: Cell | None = None
    cup: Cell | None = None
    length: Cell | None = None
    chest_cm: Figure | None = None
    waist_cm: Figure | None = None
    hip_cm: Figure | None = None

    @property
    def is_short(self) -> bool:
        """Whether it has an upper limit of the short form."""
        return self.chest_cm is not None or self.waist_cm is not None or self.hip_cm is not None

    def span(self, column: Column) -> Span | None:
        """What the chart says of that column, in the chart's unit; the short form's in cm."""
        limit = getattr(self, f"{column}_cm", None) if self.is_short else None
        span: Span | None = getattr(self, column) if limit is None else Span(max=limit)
        return span


def _has_an_object_of_many(data: Any) -> bool:
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if len(one) > MOST_NAMES:
                return True
            left.extend(one.values())
        elif isinstance(one, list) and len(one) <= MOST_PAIRS:  # no longer one is read
            left.extend(one)
    return False


def _weights(value: Any) -> Any:
    listed = (
        isinstance(value, (list, tuple)) and len(value) <= len(Column) and all(isinstance(one, str) for one in value)
    )
    return dict.fromkeys(value, 1.0) if listed else value


Weight = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Weights = Annotated[
    dict[Column, Weight], BeforeValidator(_weights, json_schema_input_type=list[Column] | dict[Column, Weight])
]


@dataclass(frozen=True, slots=True)
class Rule:
    """A column that decides on a size: how much, 1 for what decides most, and for which bodies each size is."""

    column: Column
    weight: float
    steps: list[Step]


class SizeChart(BaseModel):
    """A shop's sizes, smallest first; of two parts (W32/L34) when there are `second_sizes`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    garment: Garment = Garment.FULL
    unit: Unit = Unit.CM
    measured_on: MeasuredOn = MeasuredOn.BODY
    laid_flat: Annotated[bool, Field(description="Girths of the garment are half of what they are worn")] = False
    stretch: Annotated[
        float | None,
        Field(ge=0, le=1, allow_inf_nan=False, description="Share by which the fabric gives; else by garment type"),
    ] = None
    ease: Annotated[dict[Column, Ease], Field(description="Intended ease, in `unit`; else by garment type")] = {}
    matters: Annotated[Weights | None, Field(description="What decides, and how much (0..1); else by garment type")] = (
        None
    )
    sizes: Annotated[tuple[Size, ...], Field(min_length=1, max_length=MOST_SIZES, fail_fast=True)]
    second_sizes: Annotated[tuple[Size, ...], Field(max_length=MOST_SIZES, fail_fast=True)] = ()
    pairs: Annotated[
        tuple[tuple[Name, Name], ...] | None,
        Field(min_length=1, max_length=MOST_PAIRS, fail_fast=True, description="Sold pairs of both parts; else all"),
    ] = None
    separator: Annotated[str, Field(max_length=3)] = "/"

    @model_validator(mode="before")
    @classmethod
    def _is_no_list_of_faults(cls, data: Any) -> Any:
        if _has_an_object_of_many(data):
            raise ValueError(f"an object has more than {MOST_NAMES} names")
        return data

    @field_validator("ease")
    @classmethod
    def _eases_make_sense(cls, ease: dict[Column, Ease]) -> dict[Column, Ease]:
        for column, one in ease.items():
            if column in (Column.CUP, Column.LENGTH):
                raise ValueError(f"{column} has no ease")
            if one.min < 0:
                raise ValueError(f"{column}: ease must not be negative; of what is worn stretched, give the stretch")
            if not one.min <= one.aimed <= one.max:
                raise ValueError(f"{column}: ease needs min <= aim <= max")
        return ease

    @model_validator(mode="after")
    def _sizes_can_be_told(self) -> Self:
        for part in (self.sizes, self.second_sizes):
            _names_differ([size.name for size in part])
        self._is_of_one_form()
        for column in self.matters or ():
            if column is Column.LENGTH or not any(size.span(column) for size in (*self.sizes, *self.second_sizes)):
                raise ValueError(f"matters: {column} is not in the chart, or cannot decide")
        first, *second = self.parts()
        if not first:
            raise ValueError(f"a {self.garment} chart needs limits for {' or '.join(MATTERS[self.garment])}")
        if second == [[]]:
            raise ValueError("second_sizes needs a column that decides and that sizes does not have")
        if self.pairs is not None and not second:
            raise ValueError("pairs needs second_sizes")
        if len(self.sold()) > MOST_PAIRS:
            raise ValueError(f"{len(self.sold())} pairs of sizes: at most {MOST_PAIRS}; list in pairs which are sold")
        _names_differ(self.names)
        return self

    def _is_of_one_form(self) -> None:
        on_garment = self.measured_on is MeasuredOn.GARMENT
        if not on_garment and (self.laid_flat or self.stretch is not None or self.ease):
            raise ValueError("laid_flat, stretch and ease need measured_on: garment")
        refused = Column.CUP if on_garment else Column.LENGTH
        is_short = self.is_short
        if is_short and self.second_sizes:
            raise ValueError("second_sizes: chest_cm, waist_cm and hip_cm are for sizes of one part")
        for part in (self.sizes, self.second_sizes):
            for number, size in enumerate(part, 1):
                if getattr(size, refused) is not None:
                    raise ValueError(
                        f"{_row(number, size)}, {refused}: not in a chart measured on the {self.measured_on}"
                    )
                if is_short and (on_garment or any(getattr(size, column) is not None for column in Column)):
                    raise ValueError(f"{_row(number, size)}: chest_cm, waist_cm and hip_cm stand alone, for bodies")

    @property
    def is_short(self) -> bool:
        """Whether the chart is of upper limits in cm, whose last size takes everybody above."""
        return any(size.is_short for size in (*self.sizes, *self.second_sizes))

    @property
    def names(self) -> tuple[str, ...]:
        """The sold sizes' names, smallest first, as the shop writes them."""
        if not self.second_sizes:
            return tuple(size.name for size in self.sizes)
        first, second = self.sizes, self.second_sizes
        return tuple(f"{first[one].name}{self.separator}{second[other].name}" for one, other in self.sold())

    def sold(self) -> list[tuple[int, int]]:
        """Both parts of each sold size, as indices, smallest first; the second is 0 where there is none."""
        if self.pairs is None:
            return list(itertools.product(range(len(self.sizes)), range(max(1, len(self.second_sizes)))))
        first, second = ({size.name: at for at, size in enumerate(part)} for part in (self.sizes, self.second_sizes))
        for number, (one, other) in enumerate(self.pairs, 1):
            if one not in first or other not in second:
                raise ValueError(f"pair {number} names a size that the chart does not have")
        return sorted({(first[one], second[other]) for one, other in self.pairs})

    def parts(self) -> list[list[Rule]]:
        """What decides on each part of a size: one part, or two. Raises ValueError with row and column."""
        weights = self.matters or MATTERS[self.garment]
        first = [column for column in weights if any(size.span(column) for size in self.sizes)]
        second = [
            column for column in weights if column not in first and any(size.span(column) for size in self.second_sizes)
        ]
        parts = [(self.sizes, first), (self.second_sizes, second)]
        return [
            [
                Rule(column, weights[column] / max(weights[one] for one in columns), self._steps(column, sizes))
                for column in columns
            ]
            for sizes, columns in parts
            if sizes
        ]

    def _steps(self, column: Column, sizes: Sequence[Size]) -> list[Step]:
        rows = [f"{_row(number, size)}, {column}" for number, size in enumerate(sizes, 1)]
        factor = self._factor_cm(column)
        cells = [_ends(size.span(column), factor) for size in sizes]
        if self.measured_on is MeasuredOn.GARMENT:
            return garment_steps(cells, rows, self.intended_ease_cm(column), self.gives)
        return body_steps(cells, rows)

    def cell_cm(self, size: Size, column: Column) -> Ends | None:
        """Both ends of what the chart says there, in cm, as worn."""
        return _ends(size.span(column), self._factor_cm(column))

    def _factor_cm(self, column: Column) -> float:
        if self.is_short:
            return 1.0
        return self.one_unit_cm * (2 if self.laid_flat and column in GIRTHS else 1)

    def intended_ease_cm(self, column: Column) -> Ease:
        """The ease that the garment is meant to have there, as stated or as is usual."""
        stated = self.ease.get(column)
        if stated is None:
            return usual_ease(self.garment, column)
        factor = self.one_unit_cm
        return Ease(min=stated.min * factor, max=stated.max * factor, aim=stated.aimed * factor)

    @property
    def one_unit_cm(self) -> float:
        """Centimetres of one unit of the chart."""
        return CM_PER_INCH if self.unit is Unit.INCH else 1.0

    @property
    def gives(self) -> float:
        """The stretch, as stated or as is usual."""
        return STRETCH.get(self.garment, 0.0) if self.stretch is None else self.stretch


def _ends(span: Span | None, factor: float) -> Ends | None:
    if span is None:
        return None
    return None if span.min is None else span.min * factor, None if span.max is None else span.max * factor


def _row(number: int, size: Size) -> str:
    return f"row {number} ({size.name})"


def _names_differ(names: Sequence[str]) -> None:
    rows: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if rows.setdefault(name, number) != number:
            raise ValueError(f"size names must differ: rows {rows[name]} and {number} are both {name!r}")


DEFAULT_CHART = SizeChart(
    sizes=tuple(
        Size(name=name, chest_cm=limit, waist_cm=limit, hip_cm=limit)
        for name, limit in (("XS", 84), ("S", 92), ("M", 100), ("L", 108), ("XL", 116), ("XXL", None))
    )
)
"""The contract's: thresholds in cm on the largest of chest, waist and hip."""
