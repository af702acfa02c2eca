"""A chart applied to a body of which measurements are known with their errors: how likely each size is, how it sits.

The errors of all measurements together are normal. A fixed set of points stands for them, and each point gets a size:
the smallest above none of whose boundaries it is (see `wearon.sizing.steps`). So a larger body never gets a smaller
size. A body below all boundaries of the smallest size, or above one of the largest, is outside of the chart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from wearon.sizing.chart import Rule, SizeChart
from wearon.sizing.garments import Column, Fit, Garment, preferred
from wearon.sizing.likely import RANGE_PROBABILITY, narrowest_range
from wearon.sizing.result import OutsideCode
from wearon.sizing.silhouette import Array, Indices
from wearon.sizing.steps import boundaries

_BASE = ("chest_cm", "waist_cm", "hip_cm")
"""Always looked at together, whatever the chart says: their points are the same for every chart."""
_SAMPLES = 4096
"""Points that stand for the error distribution: probabilities are good to about 0.005, for 0.3 ms."""
_FEW_SAMPLES = 200

_MADE_OF: Mapping[Column, Mapping[str, float]] = {Column.CUP: {"chest_cm": 1.0, "underbust_cm": -1.0}}
"""Columns that are sums of measurements."""


def made_of(column: Column) -> Mapping[str, float]:
    """The measurements of a body that a column is the sum of, and how often each."""
    return _MADE_OF.get(column, {f"{column}_cm": 1.0})


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Where the sizes of one column end, in cm."""

    column: Column
    bottom: float
    """Where the smallest size begins."""
    ends: Array
    """(n): that of the largest included."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a size: how many there are, and what decides between them. Nothing: all are as likely."""

    count: int
    edges: list[_Edges]

    def places(self, bodies: Mapping[Column, Array], shape: tuple[int, ...]) -> Indices:
        """Where bodies stand, from 0 (too small for all) over 1..count to count + 1 (too large for all)."""
        if not self.edges:
            return np.broadcast_to(np.arange(shape[-1]) % self.count + 1, shape)
        result = np.zeros(shape, dtype=np.intp)
        for one in self.edges:
            values = bodies[one.column]
            place = 1 + np.searchsorted(one.ends, values)
            # Only a body that is below in every column is too small: a slim waist alone is no fault.
            np.maximum(result, np.where(values < one.bottom, 0, place), out=result)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """What is how likely: each of the sold sizes, or none of them. All add up to 1.

    Only the last size of the short form is also that of those who are too large for it.
    """

    sizes: Array
    none: Mapping[OutsideCode, float]
    outside: OutsideCode | None
    """Why there is more likely no size than any."""

    @property
    def best(self) -> int:
        """The likeliest size; the nearest one outside of the chart."""
        if self.outside is OutsideCode.TOO_LARGE_FOR_CHART:
            return len(self.sizes) - 1
        return 0 if self.outside is OutsideCode.TOO_SMALL_FOR_CHART else int(self.sizes.argmax())


_NONE = tuple(OutsideCode)
"""The outcomes that follow the sizes."""


class Fitting:
    """A chart, ready for bodies of which the `known` measurements are told, for a shopper who likes it so."""

    def __init__(self, chart: SizeChart, known: Sequence[str], preference: Fit = Fit.REGULAR) -> None:
        parts = chart.parts()
        self.chart, self.names, self.sold = chart, chart.names, chart.sold()
        self.rules = [[rule for rule in part if made_of(rule.column).keys() <= set(known)] for part in parts]
        self.not_measured = [rule.column for part in parts for rule in part if rule not in chain(*self.rules)]
        wanted = {name for rule in chain(*self.rules) for name in made_of(rule.column)}
        self.measures = (*_BASE, *sorted(wanted.difference(_BASE)))
        """What the means and covariances here are of, in this order, in cm."""
        counts = (len(chart.sizes), max(1, len(chart.second_sizes)))
        edges = [[_edges(rule, chart.garment, preference) for rule in part] for part in self.rules]
        self._parts = [_Part(count, one) for count, one in zip(counts, [*edges, []], strict=False)]
        self._outcomes = _outcomes(counts, self.sold)

    def place(self, bodies: Array) -> Indices:
        """For bodies (measures, ...) in cm: the index of a size or, beyond the sizes, of an OutsideCode."""
        columns = {
            rule.column: sum(share * bodies[self.measures.index(name)] for name, share in made_of(rule.column).items())
            for rule in chain(*self.rules)
        }
        first, second = (part.places(columns, bodies.shape[1:]) for part in self._parts)
        return self._outcomes[first, second]

    def chances(self, mean: Array, covariance: Array) -> Chances:
        """How likely each size is when the measures are normal with that mean (k,) and covariance (k, k)."""
        bodies = np.linalg.cholesky(covariance) @ _standard_normal(_SAMPLES, len(mean)) + mean[:, None]
        return self._chances(np.bincount(self.place(bodies), minlength=len(self.sold) + len(_NONE)))

    def rough_chances(self, means: Array, covariance: Array) -> list[Chances]:
        """Chances around each of the means (n, k), all with one relative covariance.

        From few points: good to about 0.03, for all of them in the time of one exact answer.
        """
        relative = 1 + np.linalg.cholesky(covariance) @ _standard_normal(_FEW_SAMPLES, means.shape[1])
        places = self.place(means.T[:, :, None] * relative[:, None, :])
        return [self._chances(np.bincount(one, minlength=len(self.sold) + len(_NONE))) for one in places]

    def _chances(self, counts: Indices) -> Chances:
        points = int(counts.sum())
        sizes, beyond = counts[: len(self.sold)], dict(zip(_NONE, counts[len(self.sold) :].tolist(), strict=True))
        # Each reason by itself: for who may as well be too small as too large, the middle is the best guess.
        outside = next((code for code in beyond if 2 * beyond[code] > points), None)
        if self.chart.is_short:
            sizes[-1] += beyond[OutsideCode.TOO_LARGE_FOR_CHART]
        return Chances(sizes / points, {code: count / points for code, count in beyond.items()}, outside)

    def likely_range(self, chances: Chances) -> tuple[int, int, int]:
        """The first and the last size of the narrowest run that holds the true one, if any does; and its sizes.

        Of a size of two parts, each part's run holds 0.9: both hold at least 0.8.
        """
        best, inside = chances.best, max(float(chances.sizes.sum()), 1 / _SAMPLES)
        shares = chances.sizes / inside if inside < 1 - 0.5 / _SAMPLES else chances.sizes
        if not self.chart.second_sizes:
            first, last = narrowest_range(shares.tolist(), RANGE_PROBABILITY, best)
            return first, last, last - first + 1
        parts = np.array(self.sold).T
        runs = [
            narrowest_range(np.bincount(at, shares).tolist(), math.sqrt(RANGE_PROBABILITY), int(at[best]))
            for at in parts
        ]
        held = np.all([(first <= at) & (at <= last) for at, (first, last) in zip(parts, runs, strict=True)], axis=0)
        within = np.flatnonzero(held)
        return int(within[0]), int(within[-1]), len(within)


def _edges(rule: Rule, garment: Garment, preference: Fit) -> _Edges:
    ends = boundaries(rule.steps, preferred(garment, rule.column, preference), 1 - rule.weight)
    return _Edges(rule.column, rule.steps[0].low, np.array(ends))


def _outcomes(counts: tuple[int, int], sold: Sequence[tuple[int, int]]) -> Indices:
    """(first + 2, second + 2): what the places of both parts come to."""
    small, large, missing = (len(sold) + at for at in range(len(_NONE)))
    table = np.full((counts[0] + 2, counts[1] + 2), missing, dtype=np.intp)
    for index, (first, second) in enumerate(sold):
        table[first + 1, second + 1] = index
    table[0, :] = table[:, 0] = small
    table[-1, :] = table[:, -1] = large
    return table


@cache
def _standard_normal(points: int, measures: int) -> Array:
    """Points (measures, n); mirrored, to favour no side. The same every time: a photo always gets the same answer."""
    base = np.random.default_rng(2).standard_normal((points // 2, len(_BASE)))
    more = np.random.default_rng(4).standard_normal((points // 2, measures - len(_BASE)))
    half = np.concatenate([base, more], axis=1)
    return np.ascontiguousarray(np.concatenate([half, -half]).T)
