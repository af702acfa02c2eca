"""One column of a chart as steps: the bodies, in cm, that each size is for, and where it ends and the next begins.

A chart may leave gaps between its sizes, and sizes may overlap. Between two neighbours there is always one boundary:

    they touch      where they do
    a gap           its middle, so that the nearer size is told; of one measurement, nearer in cm is nearer in
                    standard errors
    an overlap      where the body is as far from what the one size aims at as from what the other does

Faults are ValueErrors that name row and column.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from wearon.sizing.garments import Ease

LONE_FIGURE_CM = 2.5
"""Reach to each side of a single figure in a chart of one size: half of the usual step of 4 to 6 cm."""


@dataclass(frozen=True, slots=True)
class Step:
    """The bodies that a size is for, in cm; infinite where it is open."""

    low: float
    high: float
    aim: float | None
    """The body that it fits best; None when one end is open."""


Ends = tuple[float | None, float | None]


def body_steps(cells: Sequence[Ends | None], rows: Sequence[str]) -> list[Step]:
    """Steps of a column of body measurements: `min` and `max` of each size in cm; `rows` name them in faults.

    An end left out is the neighbour's. The last size may be left out, or open: then it is for everybody above.
    """
    for row, cell in zip(rows[:-1], cells[:-1], strict=True):
        if cell is None:
            raise ValueError(f"{row} is missing: give it for every size, or for none; the last may leave it open")
    ends = [cell or (None, None) for cell in cells]
    figures = [low for low, high in ends if low is not None and low == high]
    if len(figures) == len(ends):
        ends = _widened(figures)
    steps = []
    for at, (low, high) in enumerate(ends):
        below = -math.inf if at == 0 else ends[at - 1][1]
        above = math.inf if at == len(ends) - 1 else ends[at + 1][0]
        start, end = below if low is None else low, above if high is None else high
        if start is None or end is None:
            raise ValueError(f"{rows[at]} does not say where it {'begins' if start is None else 'ends'}")
        if start > end:
            raise ValueError(f"{rows[at]} must not fall from one size to the next")
        steps.append(Step(start, end, (start + end) / 2 if math.isfinite(end - start) else None))
    return _rising(steps, rows)


def _widened(figures: Sequence[float]) -> list[Ends]:
    """Ranges around single figures, up to half way to the neighbours."""
    halves = [(upper - lower) / 2 for lower, upper in itertools.pairwise(figures)] or [LONE_FIGURE_CM]
    return [
        (figure - halves[max(at - 1, 0)], figure + halves[min(at, len(halves) - 1)])
        for at, figure in enumerate(figures)
    ]


def garment_steps(cells: Sequence[Ends | None], rows: Sequence[str], ease: Ease, stretch: float) -> list[Step]:
    """Steps of a column of garment measurements in cm, worn with that ease in cm.

    A fabric that gives may be half stretched where the garment is worn tightest, and a quarter where it is meant to be.
    """
    steps = []
    for row, cell in zip(rows, cells, strict=True):
        if cell is None or cell[0] is None or cell[1] is None:
            raise ValueError(f"{row} is missing: what a garment measures must be given for every size")
        smallest, largest = cell[0], cell[1]
        low, high = smallest - ease.max, largest * (1 + stretch / 2) - ease.min
        aim = (smallest + largest) / 2 * (1 + stretch / 4) - ease.aimed
        steps.append(Step(low, high, min(max(aim, low), high)))
    return _rising(steps, rows)


def _rising(steps: list[Step], rows: Sequence[str]) -> list[Step]:
    for row, (one, after) in zip(rows[1:], itertools.pairwise(steps), strict=True):
        if after.low < one.low or after.high < one.high:
            raise ValueError(f"{row} must not fall from one size to the next")
    return steps


def boundaries(steps: Sequence[Step], shift: float, slack: float) -> list[float]:
    """Where each size ends (n, the last one's end included), never falling.

    `shift` is the ease that is wanted beyond the usual, in cm; it moves nobody out of the chart. `slack` is the share
    of the next size by which the body may be over.
    """
    bottom, top = steps[0].low, steps[-1].high
    ends = [_between(one, after) for one, after in itertools.pairwise(steps)]
    if shift:
        ends = [min(max(end - shift, bottom), top) for end in ends]
    ends.append(top)
    if not slack:
        return ends
    widths = [after - end for end, after in itertools.pairwise(ends)]
    # What comes after the last size is not said: it is taken to be as wide as the size before.
    usual = [0.0, *(width for width in (widths or [top - bottom]) if math.isfinite(width))]
    return [
        end + slack * (width if math.isfinite(width) else usual[-1])
        for end, width in zip(ends, [*widths, math.inf], strict=True)
    ]


def _between(one: Step, after: Step) -> float:
    low, high = min(one.high, after.low), max(one.high, after.low)
    if after.low >= one.high or one.aim is None or after.aim is None:
        return (low + high) / 2
    return min(max((one.aim + after.aim) / 2, low), high)
