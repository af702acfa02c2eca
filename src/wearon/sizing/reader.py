"""The fitted readers: features of a view from the front or from the side become measurements, with their errors.

One Gaussian process a view, fitted by `research/views.py` to two kinds of pictures: clean ones, and such as phones take
(short lenses, loose clothes, clutter, dim light). A gate says how much a picture looks like the second kind; the reader
trusts examples of its own kind more, and knows how wrong it was on each. Pictures of another maker count less among the
examples: their pulls are scaled by that when they are fitted. Its numbers are in views.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from wearon.sizing.request import Sex
from wearon.sizing.silhouette import Array

FILE = Path(__file__).parent / "views.json"

FARTHEST = 3.0
"""Standard deviations from the fitted pictures' mean at which a feature is held: beyond, nothing was seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Logarithms of chest, waist, hip and shoulder as shares of the stature, and the covariance of their errors.

    It is what the picture says by itself, without what is typical of people: errors of two are independent enough to
    be combined by their precisions.
    """

    mean: Array
    covariance: Array

    def doubted(self, factor: float) -> "Observation":
        """The observation, with its standard errors times the factor."""
        return Observation(self.mean, self.covariance * factor**2)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people that the readers were fitted to: mean and covariance of what an Observation holds."""

    mean: Array
    covariance: Array

    def unmixed(self, mean: Array, errors: Array) -> Observation:
        """What a picture says by itself, of a best guess that leans towards these people and its errors.

        A best guess is the picture's own word and what is typical, weighed by their precisions: the latter is taken
        out again, so that another opinion on what is typical may take its place.
        """
        precision = np.linalg.inv(errors) - np.linalg.inv(self.covariance)
        values, vectors = np.linalg.eigh(precision)
        own = (vectors / np.maximum(values, _LEAST_PRECISION)) @ vectors.T
        return Observation(mean + own @ np.linalg.solve(self.covariance, mean - self.mean), own)


_LEAST_PRECISION = 20.0
"""Of any direction: a standard error of 0.22 in the logarithm, as much as people differ by."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Standardised features times weights, plus a constant."""

    features: tuple[str, ...]
    centre: Array
    scale: Array
    weights: Array
    constant: float = 0.0

    def value(self, values: Mapping[str, float]) -> float:
        """The sum for named features."""
        standard = (np.array([values[name] for name in self.features]) - self.centre) / self.scale
        return float(np.clip(standard, -FARTHEST, FARTHEST) @ self.weights) + self.constant

    def to_json(self) -> dict[str, object]:
        """Numbers for the file, rounded to what matters."""
        arrays = {name: np.round(getattr(self, name), 5).tolist() for name in ("centre", "scale", "weights")}
        return {"features": list(self.features), "constant": round(self.constant, 4), **arrays}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        centre, scale, weights = (np.array(data[name], np.float64) for name in ("centre", "scale", "weights"))
        return cls(tuple(data["features"]), centre, scale, weights, float(data["constant"]))


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A Gaussian process over a view's features: a line and a smooth bend of it, shared between kinds of pictures."""

    features: tuple[str, ...]
    centre: Array
    scale: Array
    line: Array
    """(features): variance of the line's slopes."""
    reach: Array
    """(features): inverse squared distance over which the bend changes."""
    bend: float
    examples: Array
    """(n, features): standardised and held features of the fitted pictures."""
    kinds: Array
    """(n): how much each looked like a phone's."""
    pulls: Array
    """(n, 4)"""
    shared: float
    """How much a picture of the other kind says, 0..1."""
    apart: float
    """Variance of what differs between both kinds throughout."""
    middle: Array
    spread: Array
    """(4): mean and standard deviation of the targets."""
    errors: Array
    """(2, 4, 4): covariance of the errors on people left out, of clean pictures and of phones'."""
    gate: Linear | None
    """Logit of being a phone's picture; None: all examples are."""
    doubt: Linear
    """Logarithm of how much larger or smaller than usual the errors are."""
    lengths: Array = field(init=False)
    """(n): squared distances of the examples from the middle of all features."""

    def __post_init__(self) -> None:
        """Compute what follows from the examples."""
        object.__setattr__(self, "lengths", np.square(self.examples) @ self.reach)

    def kind(self, values: Mapping[str, float]) -> float:
        """How much the picture looks like a phone's, 0..1."""
        if self.gate is None:
            return 1.0
        return float(1 / (1 + np.exp(-self.gate.value(values))))

    def guess(self, values: Mapping[str, float], kind: float) -> Array:
        """The best guess (4)."""
        standard = (np.array([values[name] for name in self.features]) - self.centre) / self.scale
        held = np.clip(standard, -FARTHEST, FARTHEST)
        # The squared distances multiplied out: a tenth of the time.
        distances = self.lengths - 2 * (self.examples @ (self.reach * held)) + held**2 @ self.reach
        alike = kind * self.kinds + (1 - kind) * (1 - self.kinds)
        nearness = self.examples @ (self.line * held) + self.bend * np.exp(-0.5 * distances)
        weights = nearness * (self.shared + (1 - self.shared) * alike) + self.apart * alike
        result: Array = self.middle + self.spread * (weights @ self.pulls)
        return result

    def read(self, values: Mapping[str, float], people: People) -> Observation:
        """What the view says by itself."""
        kind = self.kind(values)
        errors = (1 - kind) * self.errors[0] + kind * self.errors[1]
        said = people.unmixed(self.guess(values, kind), errors)
        return said.doubted(float(np.exp(self.doubt.value(values))))

    def to_json(self) -> dict[str, object]:
        """Numbers for the file, rounded to what matters."""
        return {
            "features": list(self.features),
            **{name: getattr(self, name) for name in _NUMBERS},
            **{name: np.round(getattr(self, name), digits).tolist() for name, digits in _ARRAYS.items()},
            "gate": self.gate.to_json() if self.gate else None,
            "doubt": self.doubt.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        gate = Linear.from_json(data["gate"]) if data["gate"] else None
        fields: dict[str, Any] = {name: float(data[name]) for name in _NUMBERS}
        fields |= {name: np.array(data[name], dtype=np.float64) for name in _ARRAYS}
        return cls(tuple(data["features"]), gate=gate, doubt=Linear.from_json(data["doubt"]), **fields)


_NUMBERS = ("bend", "shared", "apart")
_ARRAYS = {
    "centre": 5, "scale": 5, "line": 6, "reach": 6, "kinds": 2, "pulls": 4, "middle": 5, "spread": 5, "errors": 7,
    "examples": 2,
}  # fmt: skip
"""A reader's arrays, and their decimals in the file."""


@dataclass(frozen=True, slots=True, eq=False)
class Readers:
    """What ships with the package."""

    people: People
    of_sex: Mapping[Sex, People]
    """The people of one sex, for who says that alone."""
    front: Reader
    side: Reader


@cache
def readers() -> Readers:
    """The readers that ship with the package."""
    data = json.loads(FILE.read_text())
    people = {name: People(np.array(one["mean"]), np.array(one["covariance"])) for name, one in data["people"].items()}
    of_sex = {sex: people[sex.value] for sex in Sex}
    return Readers(people["all"], of_sex, Reader.from_json(data["front"]), Reader.from_json(data["side"]))
