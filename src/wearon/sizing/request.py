"""What is asked of the estimate, besides the photo."""

from dataclasses import dataclass
from enum import StrEnum

from wearon.sizing.chart import DEFAULT_CHART, SizeChart


class Sex(StrEnum):
    """Which statistics of bodies apply, when the shopper says so."""

    FEMALE = "female"
    MALE = "male"


@dataclass(frozen=True, slots=True)
class EstimateRequest:
    """`height_cm` 100..250 (required by the contract); `weight_kg` 30..250 and `sex` make the estimate better."""

    height_cm: float
    weight_kg: float | None = None
    sex: Sex | None = None
    size_chart: SizeChart = DEFAULT_CHART
