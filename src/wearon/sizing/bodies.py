"""Statistics of real bodies: what a stated weight and sex say about girths, and girths from breadths.

For each sex the logarithms of some measurements of ANSUR II are taken as jointly normal; the numbers are in
bodies.json, fitted by `sizing/train.py`. Logarithms make weight, which goes with the product of lengths, linear.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


OTHER_PEOPLE = 1.5
"""Factor on the variances of ANSUR's soldiers: shops have customers of other ages and builds, too. On ANSUR itself 1
would be best, by 1 % of the error."""

OTHER_SHAPES = 4.0
OTHER_BUILDS = 0.05
"""Without a weight, what is typical of a sex is taken for its shape, hardly for its build: the variances four times
ANSUR's, and besides 0.05 for being larger or smaller all over (a standard error of 22 %: no opinion). At these the
sex changes nothing on the synthetic people, whose builds are spread evenly, and helps on ANSUR (docs/sizing.md)."""
_BUILD = np.array([1.0, 1.0, 1.0, 0.3])
"""How chest, waist, hip and shoulder go with the build: bones grow less."""


@dataclass(frozen=True, eq=False)
class Population:
    """Logarithms of COLUMNS of one sex: mean and covariance."""

    mean: Array
    covariance: Array


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
    return {Sex(sex): Population(np.array(p["mean"]), np.array(p["covariance"])) for sex, p in data.items()}


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


def with_statements(
    mean: Array, covariance: Array, height_cm: float, weight_kg: float | None, sex: Sex | None
) -> tuple[Array, Array, float]:
    """Measurements after a stated weight or sex: logarithms of chest, natural waist, hip and shoulder (4), covariance.

    What is typical of people of that stature, weight and sex, so far as they are said, is a second opinion,
    independent of the photo. Third, how many standard errors both opinions differ by.
    """
    means, covariances, odds, distances = [], [], [], []
    for population in _of(sex):
        typical, spread = _typical(population, height_cm, weight_kg)
        off = typical - mean
        precision = np.linalg.inv(covariance + spread)
        gain = covariance @ precision
        means.append(mean + gain @ off)
        covariances.append(covariance - gain @ covariance)
        distances.append(off @ precision @ off)
        odds.append(0.5 * (np.linalg.slogdet(precision)[1] - distances[-1]))
    share = _shares(np.array(odds))
    mixed = share @ np.array(means)
    apart = [np.outer(one - mixed, one - mixed) for one in means]
    total = np.einsum("s,sij->ij", share, np.array(covariances) + np.array(apart))
    return mixed, total, float(np.sqrt(share @ np.array(distances) / len(mean)))


def _typical(population: Population, height_cm: float, weight_kg: float | None) -> tuple[Array, Array]:
    """What the photo measures of people of that stature and weight: mean and covariance of the logarithms."""
    if weight_kg is None:
        told = conditional(population, _PHOTO_COLUMNS, (STATURE,))
        spread = OTHER_SHAPES * told.covariance + OTHER_BUILDS * np.outer(_BUILD, _BUILD)
        return told.mean(np.log([[height_cm]]))[0] - _PHOTO_SHIFT, spread
    told = conditional(population, _PHOTO_COLUMNS, (STATURE, WEIGHT))
    misstated = told.gain[:, 1] * STATED_WEIGHT_ERROR
    spread = OTHER_PEOPLE * told.covariance + np.outer(misstated, misstated)
    return told.mean(np.log([[height_cm, weight_kg]]))[0] - _PHOTO_SHIFT, spread


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
