"""Statistics of real bodies: what a stated weight and sex say about girths, and girths from breadths.

For each sex the logarithms of some measurements of ANSUR II are taken as jointly normal; the numbers are in
bodies.json, fitted by `research/train.py`. Logarithms make weight, which goes with the product of lengths, linear.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from wearon.sizing.request import Sex
from wearon.sizing.silhouette import Array

FILE = Path(__file__).parent / "bodies.json"

GIRTHS = ("chestcircumference_cm", "waistcircumference_cm", "buttockcircumference_cm")
"""ANSUR's names of chest, waist (at the navel) and hip girth."""
STATURE = "stature_cm"
WEIGHT = "weightkg"
BREADTHS = (
    "biacromialbreadth_cm",
    "bideltoidbreadth_cm",
    "chestbreadth_cm",
    "waistbreadth_cm",
    "hipbreadth_cm",
    "bicristalbreadth_cm",
)
COLUMNS = (*GIRTHS, STATURE, WEIGHT, *BREADTHS)

NAVEL_OVER_NATURAL_WAIST = 1.027
"""Navel girth over natural waist: 2.2 cm on average on the synthetic bodies, which have both."""

STATED_WEIGHT_ERROR = 0.03
"""Standard error of the logarithm of a weight that people state of themselves, clothes and flattery included (self
reports are off by 1 to 2 kg: Gorber et al. 2007, Obesity Reviews 8:307)."""


OTHER_PEOPLE = 1.1
"""Factor on the variances of ANSUR's soldiers: shops have customers of other ages and builds, too. On ANSUR itself 1
would be best, by 1 % of the error."""


@dataclass(frozen=True, eq=False)
class Population:
    """Logarithms of COLUMNS of one sex: mean and covariance."""

    mean: Array
    covariance: Array
    shift: Array = field(default_factory=lambda: np.zeros((3, 4)))
    """(3, 4): what chest, natural waist, hip and shoulder are more than ANSUR's rows of that stature and weight say: a
    constant, and slopes of the logarithms of the stature in m and of the body mass index in 25 kg/m². The measurements
    are defined otherwise than ANSUR's; fitted to people who have both."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """What some columns tell of others in one population; all in logarithms."""

    wanted: Array
    known: Array
    """Means of both."""
    gain: Array
    """(wanted, known): change of the expected for a change of the known."""
    covariance: Array
    """(wanted, wanted): what stays unknown."""
    precision: Array
    """(known, known): inverse covariance of the known."""

    def mean(self, values: Array) -> Array:
        """Expected values (n, wanted) for known ones (n, known)."""
        return self.wanted + (values - self.known) @ self.gain.T

    def likelihood(self, values: Array) -> Array:
        """How likely the known values (n) are in this population: logarithms, up to a constant."""
        off = values - self.known
        distance = np.einsum("ni,ij,nj->n", off, self.precision, off)
        result: Array = 0.5 * (np.linalg.slogdet(self.precision)[1] - distance)
        return result


@cache
def conditional(population: Population, wanted: tuple[str, ...], known: tuple[str, ...]) -> Conditional:
    """The conditional distribution of jointly normal columns; kept, since few pairs are ever asked for."""
    w, k = ([COLUMNS.index(name) for name in names] for names in (wanted, known))
    precision = np.asarray(np.linalg.inv(population.covariance[np.ix_(k, k)]), np.float64)
    gain = population.covariance[np.ix_(w, k)] @ precision
    left = population.covariance[np.ix_(w, w)] - gain @ population.covariance[np.ix_(k, w)]
    return Conditional(population.mean[w], population.mean[k], gain, left, precision)


@cache
def populations() -> Mapping[Sex, Population]:
    """Both sexes, as they ship with the package."""
    data = json.loads(FILE.read_text())["populations"]
    return {
        Sex(sex): Population(np.array(p["mean"]), np.array(p["covariance"]), np.array(p.get("shift", np.zeros((3, 4)))))
        for sex, p in data.items()
    }


def girths_from_breadths(
    known: Mapping[str, Array], sexes: Sequence[Sex | None], model: Mapping[Sex, Population] | None = None
) -> Array:
    """Chest, waist (navel) and hip girth (n, 3) in cm of people of whom other COLUMNS are known, in cm and kg."""
    model = model or populations()
    values = np.log(np.stack(list(known.values()), axis=1))
    means, odds = [], []
    for sex, population in model.items():
        told = conditional(population, GIRTHS, tuple(known))
        said = np.array([0.0 if stated in (None, sex) else -np.inf for stated in sexes])
        means.append(told.mean(values))
        odds.append(told.likelihood(values) + said)
    share = _shares(np.array(odds))
    result: Array = np.einsum("sn,sng->ng", share, np.exp(np.array(means)))
    return result


def typical(sex: Sex | None, height_cm: float, weight_kg: float, *, shifted: bool = True) -> list[tuple[Array, Array]]:
    """Chest, natural waist, hip and shoulder of people of that stature, weight and sex, so far as they are said.

    Mean and covariance of the logarithms of centimetres, for each sex that it may be; as ANSUR has them when they are
    not `shifted`.
    """
    return [_typical(population, height_cm, weight_kg, shifted=shifted) for population in _of(sex)]


def _typical(population: Population, height_cm: float, weight_kg: float, *, shifted: bool) -> tuple[Array, Array]:
    told = conditional(population, _PHOTO_COLUMNS, (STATURE, WEIGHT))
    misstated = told.gain[:, 1] * STATED_WEIGHT_ERROR
    spread = OTHER_PEOPLE * told.covariance + np.outer(misstated, misstated)
    mean = told.mean(np.log([[height_cm, weight_kg]]))[0] - _PHOTO_SHIFT
    return (mean + _shift(population, height_cm, weight_kg) if shifted else mean), spread


def as_surveyed(logs: Array, sex: Sex | None, height_cm: float, weight_kg: float | None) -> Array:
    """Logarithms of chest, natural waist, hip and shoulder (4) as ANSUR would have measured them, navel and all."""
    weight_kg = weight_kg or 25 * (height_cm / 100) ** 2
    shift = np.mean([_shift(population, height_cm, weight_kg) for population in _of(sex)], axis=0)
    return np.asarray(logs + _PHOTO_SHIFT - shift)


def _shift(population: Population, height_cm: float, weight_kg: float) -> Array:
    metres = height_cm / 100
    return np.asarray(np.array([1.0, np.log(metres), np.log(weight_kg / metres**2 / 25)]) @ population.shift)


_PHOTO_COLUMNS = (*GIRTHS, "biacromialbreadth_cm")
_PHOTO_SHIFT = np.log([1.0, NAVEL_OVER_NATURAL_WAIST, 1.0, 1.0])
"""ANSUR's measurements over those of the photo, as logarithms."""


def _of(sex: Sex | None) -> list[Population]:
    return [population for name, population in populations().items() if sex in (None, name)]


def _shares(log_odds: Array) -> Array:
    """Probabilities along the first axis."""
    odds = np.exp(log_odds - log_odds.max(axis=0))
    result: Array = odds / odds.sum(axis=0)
    return result
