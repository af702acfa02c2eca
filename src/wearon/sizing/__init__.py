"""One photo or two, a height, and what else the shopper says become a size.

`estimate_size` is run by the pose pool, next to a detector: `await pool.run(estimate_size, photo, request)`. Everything
that it takes and returns is a plain value that travels between processes; `SizeEstimate` is also the HTTP answer as it
is. Importing this package is cheap: the measuring itself (numpy, OpenCV) is imported where it is done.
Imports pose for the joints, and pictures for what becomes of hostile bytes.
"""

from wearon.sizing.calls import (
    drawn_estimate,
    drawn_estimate_of_two,
    estimate_size,
    estimate_size_of_two,
    estimate_without_photo,
)
from wearon.sizing.chart import DEFAULT_CHART, MeasuredOn, Size, SizeChart, Span, Unit
from wearon.sizing.chart_warnings import chart_warnings
from wearon.sizing.garments import Column, Ease, Fit, Garment
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import (
    BodyType,
    ChartWarning,
    ChartWarningCode,
    ColumnFit,
    Measurements,
    MoreMeasurement,
    NextQuestion,
    OutsideChart,
    OutsideCode,
    PhotoWarning,
    Question,
    SizeEstimate,
    SizeFit,
    SizeRange,
    Source,
)
from wearon.sizing.warnings import WarningCode

__all__ = [
    "DEFAULT_CHART",
    "BodyType",
    "ChartWarning",
    "ChartWarningCode",
    "Column",
    "ColumnFit",
    "Ease",
    "EstimateRequest",
    "Fit",
    "Garment",
    "MeasuredOn",
    "Measurements",
    "MoreMeasurement",
    "NextQuestion",
    "NoPerson",
    "OutsideChart",
    "OutsideCode",
    "PhotoWarning",
    "Question",
    "RefusalCode",
    "Sex",
    "Size",
    "SizeChart",
    "SizeEstimate",
    "SizeFit",
    "SizeRange",
    "Source",
    "Span",
    "Unit",
    "WarningCode",
    "chart_warnings",
    "drawn_estimate",
    "drawn_estimate_of_two",
    "estimate_size",
    "estimate_size_of_two",
    "estimate_without_photo",
]
