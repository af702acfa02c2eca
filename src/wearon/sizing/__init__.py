"""A photo and a height become a size.

`estimate` is run by the pose pool, next to a detector: `await pool.run(estimate, photo, request)`. Everything that it
takes and returns is a plain value that travels between processes; `SizeEstimate` is also the HTTP answer as it is.
"""

from wearon.sizing.annotate import annotated_estimate, measured_photo
from wearon.sizing.chart import DEFAULT_CHART, Garment, Size, SizeChart
from wearon.sizing.estimate import estimate
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import BodyType, Measurements, PhotoWarning, SizeEstimate, SizeRange
from wearon.sizing.warnings import WarningCode

__all__ = [
    "DEFAULT_CHART",
    "BodyType",
    "EstimateRequest",
    "Garment",
    "Measurements",
    "NoPerson",
    "PhotoWarning",
    "RefusalCode",
    "Sex",
    "Size",
    "SizeChart",
    "SizeEstimate",
    "SizeRange",
    "WarningCode",
    "annotated_estimate",
    "estimate",
    "measured_photo",
]
