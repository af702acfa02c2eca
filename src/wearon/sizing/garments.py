"""What is sold, and how it is meant to sit: which measurements decide on its size, and how much ease it has.

The figures are chosen: they follow what pattern books call a regular fit, and no data of ours. A chart may state its
own.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Garment(StrEnum):
    """What is sold. The first three are for shops that say no more."""

    FULL = "full"
    TOP = "top"
    BOTTOM = "bottom"
    T_SHIRT = "t_shirt"
    SHIRT = "shirt"
    SWEATER = "sweater"
    JACKET = "jacket"
    COAT = "coat"
    DRESS = "dress"
    SKIRT = "skirt"
    TROUSERS = "trousers"
    JEANS = "jeans"
    LEGGINGS = "leggings"
    SHORTS = "shorts"
    JUMPSUIT = "jumpsuit"
    BRA = "bra"


class Column(StrEnum):
    """What a chart may say of a size."""

    CHEST = "chest"
    UNDERBUST = "underbust"
    WAIST = "waist"
    HIP = "hip"
    SHOULDER = "shoulder"
    INSEAM = "inseam"
    SLEEVE = "sleeve"
    CUP = "cup"
    """Chest girth minus underbust."""
    LENGTH = "length"
    """Of the garment: no body has it, so it is told and never decides."""


GIRTHS = frozenset({Column.CHEST, Column.UNDERBUST, Column.WAIST, Column.HIP})
"""What is half as much when a garment is laid flat."""


class Fit(StrEnum):
    """How a garment sits, and how a shopper likes it to."""

    TIGHT = "tight"
    REGULAR = "regular"
    LOOSE = "loose"


class Ease(BaseModel):
    """What a garment measures more than the body in it, in the chart's unit. `aim` is where it is meant to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
    max: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
    aim: Annotated[float | None, Field(allow_inf_nan=False, description="The middle of both when left out")] = None

    @property
    def aimed(self) -> float:
        """`aim`, or the middle."""
        return (self.min + self.max) / 2 if self.aim is None else self.aim


_C, _W, _H, _S, _I, _L = Column.CHEST, Column.WAIST, Column.HIP, Column.SHOULDER, Column.INSEAM, Column.SLEEVE

_WHOLE: Mapping[Column, float] = {_C: 1, _W: 1, _H: 1, _S: 0.5, _I: 0.5}
_UPPER: Mapping[Column, float] = {_C: 1, _W: 0.5, _H: 0.5, _S: 0.5, _L: 0.5}
_TAILORED: Mapping[Column, float] = {_C: 1, _W: 0.75, _H: 0.5, _S: 1, _L: 0.5}
_LOWER: Mapping[Column, float] = {_W: 1, _H: 1, _I: 0.5}

MATTERS: Mapping[Garment, Mapping[Column, float]] = {
    Garment.FULL: {_C: 1, _W: 1, _H: 1},
    Garment.TOP: {_C: 1, _W: 1, _S: 0.5, _L: 0.5},
    Garment.BOTTOM: _LOWER,
    Garment.T_SHIRT: _UPPER,
    Garment.SHIRT: _TAILORED,
    Garment.SWEATER: _UPPER,
    Garment.JACKET: _TAILORED,
    Garment.COAT: _TAILORED,
    Garment.DRESS: _WHOLE,
    Garment.SKIRT: {_W: 1, _H: 1},
    Garment.TROUSERS: _LOWER,
    Garment.JEANS: _LOWER,
    Garment.LEGGINGS: _LOWER,
    Garment.SHORTS: _LOWER,
    Garment.JUMPSUIT: _WHOLE,
    Garment.BRA: {Column.UNDERBUST: 1, Column.CUP: 1, _C: 0.5},
}
"""Which columns decide, and how much: one of 0.5 may be over a size's limit by half a size before the next is taken."""

STRETCH: Mapping[Garment, float] = {Garment.LEGGINGS: 0.4, Garment.BRA: 0.3}
"""Share by which the fabric gives, where a chart of garment measurements does not say so; else 0."""


def _ease(low: float, high: float, aim: float | None = None) -> Ease:
    return Ease(min=low, max=high, aim=aim)


_ANY: Mapping[Column, Ease] = {
    _C: _ease(4, 12),
    Column.UNDERBUST: _ease(0, 2),
    _W: _ease(2, 10),
    _H: _ease(4, 12),
    # Shoulder breadth is that of the bones: seams lie further out.
    _S: _ease(1, 7),
    # Trousers end above the floor, where the body's inseam ends.
    _I: _ease(-8, 1),
    _L: _ease(-1, 5),
}
# What hangs from chest or shoulders is meant to be wide below, and is only ever too narrow there.
_HANGING: Mapping[Column, Ease] = {_W: _ease(4, 40, 8), _H: _ease(2, 30, 6)}

_EASE: Mapping[Garment, Mapping[Column, Ease]] = {
    Garment.T_SHIRT: {_C: _ease(4, 14), **_HANGING},
    Garment.SHIRT: {_C: _ease(8, 18), _W: _ease(6, 32, 12), _H: _ease(4, 24, 8)},
    Garment.SWEATER: {_C: _ease(6, 18), **_HANGING},
    Garment.JACKET: {_C: _ease(8, 18), _W: _ease(6, 28, 12), _H: _ease(4, 20, 8)},
    Garment.COAT: {_C: _ease(12, 26), _W: _ease(10, 44, 18), _H: _ease(8, 36, 14)},
    Garment.DRESS: {_C: _ease(3, 9), _W: _ease(2, 10), _H: _ease(3, 20, 8)},
    Garment.SKIRT: {_W: _ease(0, 4), _H: _ease(3, 20, 6)},
    Garment.TROUSERS: {_W: _ease(0, 4), _H: _ease(4, 14, 7)},
    Garment.JEANS: {_W: _ease(0, 4), _H: _ease(1, 8)},
    Garment.LEGGINGS: {_W: _ease(0, 2), _H: _ease(0, 2)},
    Garment.SHORTS: {_W: _ease(0, 4), _H: _ease(4, 18, 8)},
    Garment.BRA: {_C: _ease(0, 2)},
}


def usual_ease(garment: Garment, column: Column) -> Ease:
    """The ease in cm that a garment of that type is meant to have there, where its chart does not say so."""
    return _EASE.get(garment, {}).get(column) or _ANY[column]


def preferred(garment: Garment, column: Column, preference: Fit) -> float:
    """The ease in cm by which a preference differs from a regular fit: half of what a regular fit allows, up to 4 cm.

    Nobody who likes clothes loose wants longer legs, or another cup.
    """
    if preference is Fit.REGULAR or column in (Column.INSEAM, Column.SLEEVE, Column.CUP, Column.LENGTH):
        return 0.0
    ease = usual_ease(garment, column)
    shift = min((ease.max - ease.min) / 2, 4.0)
    return shift if preference is Fit.LOOSE else -shift
