"""The fitted model: features of a photo become shares of the stature, with their errors.

One Gaussian process a frame, a line and a smooth bend of it, fitted to pictures of bodies with known girths by
`research/train.py`; its numbers are in photo_model.json, with their provenance.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np

from wearon.sizing.features import Frame
from wearon.sizing.silhouette import Array

FILE = Path(__file__).parent / "photo_model.json"

FARTHEST = 3.0
"""Standard deviations from the fitted pictures' mean at which a feature is held: beyond, the line is not trusted."""

BEND = 1.0
"""Variance of what bends the line, in units of the targets' noise: as much as the noise of one picture."""
BEND_REACH = 3.0
"""Standard deviations over which it bends: people are about 5.3 apart in 14 features. Cross-validated, reaches of 2 to
4 and variances of 0.25 to 2 come to the same within 0.06 cm; one of 5 reads the chest worse by 0.08 cm."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Logarithms of chest, waist, hip and shoulder as shares of the stature, and the covariance of their errors."""

    mean: Array
    covariance: Array
    strangeness: float
    """How unlike the fitted pictures this one is: up to 1 for 99 % of those."""
    stretch: float
    """By how much the picture's breadth seems to have been stretched against its height: a logarithm."""
    stretch_error: float
    """Its standard error: people's own proportions look like a stretch of that much."""


@dataclass(frozen=True, slots=True)
class Regression:
    """Standardised features times weights, plus how much the people nearest to them pull, plus the mean."""

    features: tuple[str, ...]
    centre: Array
    scale: Array
    weights: Array
    """(features, targets): the line."""
    examples: Array
    """(n, features): standardised features of the fitted pictures. None (n = 0): a line only."""
    pulls: Array
    """(n, targets): what each of them adds, at its own place."""
    intercept: Array
    spread: Array
    """(features, features): a standardised row times it times the row is the row's leverage, its share of the
    line's own uncertainty."""
    usual_leverage: float
    """The leverage that 99 % of the fitted pictures stay below when they are left out."""

    @classmethod
    def fit(
        cls, names: tuple[str, ...], rows: Array, targets: Array, weights: Array, ridge: float, bend: float = 0.0
    ) -> Self:
        """Fit targets (n, t) to rows (n, features), each row counted `weights` (n) times.

        It is a Gaussian process: the line's slopes have a variance of 1 / `ridge`, its bend one of `bend`.
        """
        share = weights / weights.sum()
        centre = share @ rows
        scale = np.sqrt(share @ (rows - centre) ** 2) + 1e-9
        intercept = share @ targets
        standard = (rows - centre) / scale
        spread = np.linalg.inv(standard.T @ (standard * weights[:, None]) + ridge * np.eye(len(names)))
        inside = np.einsum("ij,jk,ik->i", standard, spread, standard)
        left_out = inside / np.maximum(1 - weights * inside, 0.1)
        held = np.clip(standard, -FARTHEST, FARTHEST)
        # Held inputs in what is fitted, too: they are what the model will be asked with.
        between = held @ held.T / ridge + bend * _nearness(held, held)
        pulls = np.linalg.solve(between + np.diag(1 / weights), targets - intercept)
        slopes = held.T @ pulls / ridge
        if not bend:
            held, pulls = held[:0], pulls[:0]
        usual = float(np.quantile(left_out, 0.99))
        return cls(names, centre, scale, slopes, held, bend * pulls, intercept, spread, usual)

    def predict(self, values: Mapping[str, float]) -> tuple[Array, float]:
        """The targets (t) for named features, and the row's leverage."""
        standard = (np.array([values[name] for name in self.features]) - self.centre) / self.scale
        leverage = float(standard @ self.spread @ standard)
        held = np.clip(standard, -FARTHEST, FARTHEST)
        bend = _nearness(held[None], self.examples)[0] @ self.pulls
        mean: Array = held @ self.weights + bend + self.intercept
        return mean, leverage

    def to_json(self) -> dict[str, object]:
        """Numbers for the file, rounded to what matters."""
        return {
            "features": list(self.features),
            "usual_leverage": round(self.usual_leverage, 5),
            **{name: np.round(getattr(self, name), digits).tolist() for name, digits in _ARRAYS.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_json`."""
        arrays = {name: np.array(data[name], dtype=np.float64) for name in _ARRAYS}
        usual = data["usual_leverage"]
        names = data["features"]
        assert isinstance(usual, float)
        assert isinstance(names, list)
        targets = len(arrays["intercept"])
        arrays["examples"] = arrays["examples"].reshape(-1, len(names))
        arrays["pulls"] = arrays["pulls"].reshape(-1, targets)
        return cls(tuple(names), usual_leverage=usual, **arrays)


_ARRAYS = {"centre": 6, "scale": 6, "weights": 6, "examples": 3, "pulls": 6, "intercept": 6, "spread": 6}
"""A regression's arrays, and their decimals in the file."""


def _nearness(rows: Array, others: Array) -> Array:
    """(rows, others): 1 at the same place, and less the farther apart."""
    squares = np.square(rows[:, None, :] - others[None, :, :]).sum(axis=-1)
    return np.asarray(np.exp(squares / (-2 * BEND_REACH**2)))


@dataclass(frozen=True, slots=True)
class FrameModel:
    """The model of one frame: girths, shoulder, and how wrong both were on pictures they had not seen."""

    girths: Regression
    shoulder: Regression
    covariance: Array
    """(4, 4): of the cross-validated errors of chest, waist, hip and shoulder, in logarithms."""
    stretch: Regression | None = None
    """The logarithm of what a picture's breadth was multiplied with, from joints, hips and heights. None where too
    little of the body shows to tell that from its posture."""
    stretch_error: float = 1.0
    """Standard deviation of that for pictures that were not stretched, of people left out."""

    def predict(self, values: Mapping[str, float]) -> Prediction:
        """Shares of the stature for a photo's features."""
        girths, leverage = self.girths.predict(values)
        shoulder, _ = self.shoulder.predict(values)
        strangeness = leverage / self.girths.usual_leverage
        # The covariance holds the usual uncertainty of the line already; what is stranger has more of it.
        excess = max(1.0, strangeness)
        stretch = float(self.stretch.predict(values)[0][0]) if self.stretch else 0.0
        mean, covariance = np.append(girths, shoulder), self.covariance * excess
        return Prediction(mean, covariance, strangeness, stretch, self.stretch_error)


@cache
def photo_model() -> Mapping[Frame, FrameModel]:
    """The model that ships with the package."""
    frames = json.loads(FILE.read_text())["frames"]
    return {
        Frame(name): FrameModel(
            Regression.from_json(data["girths"]),
            Regression.from_json(data["shoulder"]),
            np.array(data["covariance"]),
            Regression.from_json(data["stretch"]) if "stretch" in data else None,
            float(data.get("stretch_error", 1.0)),
        )
        for name, data in frames.items()
    }
