"""What a shop should know of its chart, though sizes can be told from it."""

import itertools
import re
from collections.abc import Iterator, Sequence

from wearon.sizing.chart import MeasuredOn, Rule, SizeChart
from wearon.sizing.garments import Column
from wearon.sizing.result import ChartWarning, ChartWarningCode

WIDGET_NAME = re.compile(r"[A-Z0-9]{1,10}")
"""Size names that the platform's published widget shows."""


def chart_warnings(chart: SizeChart, not_measured: Sequence[Column] = ()) -> tuple[ChartWarning, ...]:
    """At most one warning of each kind for a column. `not_measured` cannot decide: the body's is not known."""
    refused = tuple(name for name in chart.names if not WIDGET_NAME.fullmatch(name))
    found = [
        ChartWarning(
            code=ChartWarningCode.COLUMN_NOT_MEASURED,
            column=column,
            sizes=(),
            message=f"{column} is not known of this person, so it does not decide.",
        )
        for column in not_measured
    ]
    if refused:
        message = "The platform's widget shows only size names of 1 to 10 capital letters and digits."
        code = ChartWarningCode.SIZE_NAME_REFUSED
        found.insert(0, ChartWarning(code=code, column=None, sizes=refused, message=message))
    if chart.measured_on is MeasuredOn.BODY and not chart.is_short:
        for sizes, rules in zip((chart.sizes, chart.second_sizes), chart.parts(), strict=False):
            names = [size.name for size in sizes]
            found += [warning for rule in rules for warning in _between(names, rule, chart.one_unit_cm)]
    return tuple(found)


def _between(names: Sequence[str], rule: Rule, unit_cm: float) -> Iterator[ChartWarning]:
    gaps: list[str] = []
    overlaps: list[str] = []
    for (one, after), (step, above) in zip(itertools.pairwise(names), itertools.pairwise(rule.steps), strict=True):
        # "92 to 95" and "96 to 99" are whole numbers without a gap.
        if above.low - step.high > unit_cm * 1.001:
            gaps += [one, after]
        elif step.high - above.low > 0.001:
            overlaps += [one, after]
    for code, sizes, message in (
        (ChartWarningCode.GAP_BETWEEN_SIZES, gaps, "has gaps between sizes: who is in one gets the nearer size"),
        (ChartWarningCode.SIZES_OVERLAP, overlaps, "fits two sizes in places: the one whose middle is nearer is told"),
    ):
        if sizes:
            about = tuple(dict.fromkeys(sizes))
            yield ChartWarning(code=code, column=rule.column, sizes=about, message=f"{rule.column} {message}.")
