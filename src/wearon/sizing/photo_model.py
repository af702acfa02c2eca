"""The fitted model: features of a photo become shares of the stature, with their errors.

One linear model a frame, ridge-regressed on pictures of bodies with known girths by `sizing/train.py`; its numbers
are in photo_model.json, with their provenance.
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


@dataclass(frozen=True, slots=True)
class Prediction:
    """Logarithms of chest, waist, hip and shoulder as shares of the stature, and the covariance of their errors."""

    mean: Array
    covariance: Array
    strangeness: float
    """How unlike the fitted pictures this one is: up to 1 for 99 % of those."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A ridge regression: standardised features times weights, plus the mean."""

    features: tuple[str, ...]
    centre: Array
    scale: Array
    weights: Array
    """(features, targets)"""
    intercept: Array
    spread: Array
    """(features, features): a standardised row times it times the row is the row's leverage, its share of the
    regression's own uncertainty."""
    usual_leverage: float
    """The leverage that 99 % of the fitted pictures stay below when they are left out."""

    @classmethod
    def fit(cls, names: tuple[str, ...], rows: Array, targets: Array, weights: Array, ridge: float) -> Self:
        """Fit targets (n, t) to rows (n, features), each row counted `weights` (n) times."""
        share = weights / weights.sum()
        centre = share @ rows
        scale = np.sqrt(share @ (rows - centre) ** 2) + 1e-9
        intercept = share @ targets
        standard = (rows - centre) / scale
        spread = np.linalg.inv(standard.T @ (standard * weights[:, None]) + ridge * np.eye(len(names)))
        slopes = spread @ standard.T @ ((targets - intercept) * weights[:, None])
        inside = np.einsum("ij,jk,ik->i", standard, spread, standard)
        left_out = inside / np.maximum(1 - weights * inside, 0.1)
        return cls(names, centre, scale, slopes, intercept, spread, float(np.quantile(left_out, 0.99)))

    def predict(self, values: Mapping[str, float]) -> tuple[Array, float]:
        """The targets (t) for named features, and the row's leverage."""
        standard = (np.array([values[name] for name in self.features]) - self.centre) / self.scale
        leverage = float(standard @ self.spread @ standard)
        mean: Array = np.clip(standard, -FARTHEST, FARTHEST) @ self.weights + self.intercept
        return mean, leverage

    def to_json(self) -> dict[str, object]:
        """Numbers for the file, rounded to what matters."""
        return {
            "features": list(self.features),
            "usual_leverage": round(self.usual_leverage, 5),
            **{
                name: np.round(getattr(self, name), 6).tolist()
                for name in ("centre", "scale", "weights", "intercept", "spread")
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_json`."""
        arrays = {name: np.array(data[name]) for name in ("centre", "scale", "weights", "intercept", "spread")}
        usual = data["usual_leverage"]
        names = data["features"]
        assert isinstance(usual, float)
        assert isinstance(names, list)
        return cls(tuple(names), usual_leverage=usual, **arrays)


@dataclass(frozen=True, slots=True)
class FrameModel:
    """The model of one frame: girths, shoulder, and how wrong both were on pictures they had not seen."""

    girths: Regression
    shoulder: Regression
    covariance: Array
    """(4, 4): of the cross-validated errors of chest, waist, hip and shoulder, in logarithms."""

    def predict(self, values: Mapping[str, float]) -> Prediction:
        """Shares of the stature for a photo's features."""
        girths, leverage = self.girths.predict(values)
        shoulder, _ = self.shoulder.predict(values)
        strangeness = leverage / self.girths.usual_leverage
        # The covariance holds the usual uncertainty of the line already; what is stranger has more of it.
        excess = max(1.0, strangeness)
        return Prediction(np.append(girths, shoulder), self.covariance * excess, strangeness)


@cache
def photo_model() -> Mapping[Frame, FrameModel]:
    """The model that ships with the package."""
    frames = json.loads(FILE.read_text())["frames"]
    return {
        Frame(name): FrameModel(
            Regression.from_json(data["girths"]),
            Regression.from_json(data["shoulder"]),
            np.array(data["covariance"]),
        )
        for name, data in frames.items()
    }
