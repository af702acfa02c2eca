"""Centimetres become sizes: a shop's chart, and how likely each of its sizes is."""

import itertools
import math
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:  # imported where it is needed: the API only reads charts
    import numpy as np
    from numpy.typing import NDArray

GIRTHS = ("chest_cm", "waist_cm", "hip_cm")
"""The measurements that a chart may limit, in the order of every girth vector here."""

_SAMPLES = 4096
"""Points that stand for the error distribution: probabilities are good to about 0.005, for 0.3 ms."""


class Garment(StrEnum):
    """What is sold: it says which limits of the chart matter."""

    FULL = "full"
    TOP = "top"
    BOTTOM = "bottom"


_MATTERS = {
    Garment.FULL: ("chest_cm", "waist_cm", "hip_cm"),
    Garment.TOP: ("chest_cm", "waist_cm"),
    Garment.BOTTOM: ("waist_cm", "hip_cm"),
}

Limit = Annotated[float, Field(gt=0, le=300)]


class Size(BaseModel):
    """One line of a size chart: the largest body that the size is for. A girth left out does not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=20)]
    chest_cm: Limit | None = None
    waist_cm: Limit | None = None
    hip_cm: Limit | None = None


class SizeChart(BaseModel):
    """A shop's sizes, smallest first. Whoever is above the last one's limits gets the last one.

    The smallest size wins whose limits hold for every girth that the garment type makes matter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    garment: Garment = Garment.FULL
    sizes: Annotated[tuple[Size, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _is_a_ladder(self) -> Self:
        names = [size.name for size in self.sizes]
        if len(set(names)) < len(names):
            raise ValueError("size names must differ")
        if not self.girths:
            raise ValueError(f"a {self.garment} chart needs limits for {' or '.join(_MATTERS[self.garment])}")
        for girth in self.girths:
            limits = [getattr(size, girth) for size in self.sizes[:-1]]
            last = getattr(self.sizes[-1], girth)
            if None in limits:
                raise ValueError(f"{girth} must be given for every size, or for none; the last may leave it open")
            steps = [*limits, math.inf if last is None else last]
            if any(lower > upper for lower, upper in itertools.pairwise(steps)):
                raise ValueError(f"{girth} must not fall from one size to the next")
        return self

    @property
    def girths(self) -> tuple[str, ...]:
        """The girths that decide: those the garment makes matter and the chart has limits for."""
        return tuple(
            girth for girth in _MATTERS[self.garment] if any(getattr(size, girth) is not None for size in self.sizes)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The sizes' names, smallest first."""
        return tuple(size.name for size in self.sizes)

    def size_for(self, girths: "NDArray[np.float64]") -> "NDArray[np.intp]":
        """Indices of the sizes for bodies (3, ...) of chest, waist and hip girths in cm."""
        import numpy as np

        deciding = [(girth, girths[GIRTHS.index(girth)]) for girth in self.girths]
        result = np.zeros(girths.shape[1:], dtype=np.intp)
        for size in self.sizes[:-1]:
            # A body needs the first size above all limits that it exceeds: count those with any exceeded.
            exceeded = np.zeros(girths.shape[1:], dtype=bool)
            for girth, values in deciding:
                exceeded |= values > getattr(size, girth)
            result += exceeded
        return result

    def probabilities(self, mean: "NDArray[np.float64]", covariance: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """How likely each size is when the girths (3,) are normal with that mean and covariance (cm, cm²)."""
        import numpy as np

        bodies = np.linalg.cholesky(covariance) @ _standard_normal() + mean[:, None]
        result: NDArray[np.float64] = np.bincount(self.size_for(bodies), minlength=len(self.sizes)) / bodies.shape[1]
        return result


@cache
def _standard_normal() -> "NDArray[np.float64]":
    """Points (3, n), the same every time, so that a photo always gets the same answer; mirrored, to favour no side."""
    import numpy as np

    half = np.random.default_rng(2).standard_normal((_SAMPLES // 2, len(GIRTHS)))
    return np.ascontiguousarray(np.concatenate([half, -half]).T)


DEFAULT_CHART = SizeChart(
    sizes=tuple(
        Size(name=name, chest_cm=limit, waist_cm=limit, hip_cm=limit)
        for name, limit in (("XS", 84), ("S", 92), ("M", 100), ("L", 108), ("XL", 116), ("XXL", None))
    )
)
"""The contract's: thresholds in cm on the largest of chest, waist and hip."""
