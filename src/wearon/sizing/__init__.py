"""A photo and a height become a size.

`estimate_size` is run by the pose pool, next to a detector: `await pool.run(estimate_size, photo, request)`. Everything
that it takes and returns is a plain value that travels between processes; `SizeEstimate` is also the HTTP answer as it
is. Importing this package is cheap: the measuring itself (numpy, OpenCV) is imported where it is done.
"""

from wearon.sizing.calls import annotated_estimate, estimate_size, measured_photo
from wearon.sizing.chart import DEFAULT_CHART, Garment, Size, SizeChart
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
    "estimate_size",
    "measured_photo",
]
