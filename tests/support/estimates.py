"""Answers of the size estimate, as far as a test names them."""

from collections.abc import Mapping

from wearon.sizing import Measurements, SizeEstimate, SizeRange

SIZES = {"XS": 0.0, "S": 0.06, "M": 0.71, "L": 0.23, "XL": 0.0, "XXL": 0.0}


def answer(sizes: Mapping[str, float] = SIZES, recommended: str = "M") -> SizeEstimate:
    """An estimate that gives each size this probability."""
    girths = Measurements(chest_cm=96.5, waist_cm=82.3, hip_cm=98.1, shoulder_cm=44.2)
    return SizeEstimate(
        recommended_size=recommended,
        measurements=girths,
        confidence=min(1.0, sizes[recommended]),
        body_type=None,
        size_range=SizeRange(lower=recommended, upper=recommended),
        standard_errors=girths,
        size_probabilities=dict(sizes),
        warnings=(),
    )
