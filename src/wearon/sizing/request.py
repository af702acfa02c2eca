"""What is asked of the estimate, besides the photo."""

from dataclasses import dataclass
from enum import StrEnum

from wearon.sizing.chart import DEFAULT_CHART, SizeChart
from wearon.sizing.garments import Fit


class Sex(StrEnum):
    """Which statistics of bodies apply, when the shopper says so."""

    FEMALE = "female"
    MALE = "male"


@dataclass(frozen=True, slots=True)
class EstimateRequest:
    """`height_cm` 100..250 (required by the contract); a `weight_kg` of 30..250 makes the estimate much better.

    `sex` says which statistics of bodies the photo and the weight are read with. It helps little where the photo is
    good, which shows the sex, and more where it is not.
    """

    height_cm: float
    weight_kg: float | None = None
    sex: Sex | None = None
    size_chart: SizeChart = DEFAULT_CHART
    fit_preference: Fit = Fit.REGULAR
