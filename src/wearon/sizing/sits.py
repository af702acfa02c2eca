"""How sizes sit on a body, measurement by measurement, and which measurement is outside of the chart."""

import math
from collections.abc import Iterator

from wearon.sizing.chart import MeasuredOn, Rule, Size
from wearon.sizing.fitting import Chances, Fitting, made_of
from wearon.sizing.garments import Column, Fit
from wearon.sizing.result import ColumnFit, OutsideChart, OutsideCode, SizeFit
from wearon.sizing.silhouette import Array

_MESSAGES = {
    OutsideCode.TOO_SMALL_FOR_CHART: "The smallest size is likely too large.",
    OutsideCode.TOO_LARGE_FOR_CHART: "The largest size is likely too small.",
    OutsideCode.SIZE_NOT_SOLD: "The size that would fit is not sold.",
}


def fit_around(fitting: Fitting, best: int, mean: Array, covariance: Array) -> tuple[SizeFit, ...]:
    """How the size and those one step away sit, smallest first; mean and covariance are of the fitting's measures."""
    first, second = fitting.sold[best]
    near = [at for at, pair in enumerate(fitting.sold) if abs(pair[0] - first) + abs(pair[1] - second) <= 1]
    return tuple(SizeFit(size=fitting.names[at], columns=_columns(fitting, at, mean, covariance)) for at in near)


def _columns(fitting: Fitting, at: int, mean: Array, covariance: Array) -> tuple[ColumnFit, ...]:
    chart, found = fitting.chart, []
    lines = (chart.sizes, chart.second_sizes)
    for index, sizes, rules in zip(fitting.sold[at], lines, fitting.rules, strict=False):
        for rule in rules:
            body, error = _known(fitting, rule.column, mean, covariance)
            found.append(_column(rule, index, body, error, _garment(fitting, sizes[index], rule.column)))
        if sizes and sizes[index].length is not None:
            length = _garment(fitting, sizes[index], Column.LENGTH)
            found.append(
                ColumnFit(
                    column=Column.LENGTH, word=None, probability=None, room_cm=None, garment_cm=length, ease_cm=None
                )
            )
    return tuple(found)


def _column(rule: Rule, index: int, body: float, error: float, garment: float | None) -> ColumnFit:
    step = rule.steps[index]
    above, below = _below((body - step.high) / error), _below((step.low - body) / error)
    words = {Fit.TIGHT: above, Fit.LOOSE: below, Fit.REGULAR: max(0.0, 1 - above - below)}
    word = max(words, key=lambda one: words[one])
    return ColumnFit(
        column=rule.column,
        word=word,
        probability=round(words[word], 3),
        room_cm=round(step.high - body, 1) if math.isfinite(step.high) else None,
        garment_cm=garment,
        ease_cm=None if garment is None else round(garment - body, 1),
    )


def _garment(fitting: Fitting, size: Size, column: Column) -> float | None:
    """What the garment measures in cm, in the middle of a range."""
    cell = fitting.chart.cell_cm(size, column) if fitting.chart.measured_on is MeasuredOn.GARMENT else None
    ends = [end for end in cell or () if end is not None]
    return round(sum(ends) / len(ends), 1) if ends else None


def _known(fitting: Fitting, column: Column, mean: Array, covariance: Array) -> tuple[float, float]:
    """The body's measurement there and its standard error, in cm."""
    shares = [made_of(column).get(name, 0.0) for name in fitting.measures]
    return float(shares @ mean), math.sqrt(float(shares @ covariance @ shares))


def _below(standard: float) -> float:
    """Probability that a standard normal number is below."""
    return 0.5 * math.erfc(-standard / math.sqrt(2))


def outside(fitting: Fitting, chances: Chances, mean: Array, covariance: Array) -> OutsideChart | None:
    """Why no size fits, and the measurement that says so most clearly, in standard errors."""
    if chances.outside is None:
        return None
    return OutsideChart(
        code=chances.outside,
        column=max(_off(fitting, chances.outside, mean, covariance), default=(0.0, None))[1],
        probability=round(chances.none[chances.outside], 3),
        message=_MESSAGES[chances.outside],
    )


def _off(fitting: Fitting, code: OutsideCode, mean: Array, covariance: Array) -> Iterator[tuple[float, Column | None]]:
    """Standard errors by which measurements are outside: too large in any, too small only in all of one part."""
    for rules in fitting.rules:
        found: list[tuple[float, Column | None]] = []
        for rule in rules:
            body, error = _known(fitting, rule.column, mean, covariance)
            beyond = body - rule.steps[-1].high if code is OutsideCode.TOO_LARGE_FOR_CHART else rule.steps[0].low - body
            found.append((beyond / error, rule.column))
        if code is OutsideCode.TOO_LARGE_FOR_CHART:
            yield from found
        elif code is OutsideCode.TOO_SMALL_FOR_CHART and found:
            yield min(found)
