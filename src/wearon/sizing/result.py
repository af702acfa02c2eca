"""The answer: also the HTTP body of `POST /estimate-body`, field by field."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from wearon.sizing.warnings import WarningCode


class BodyType(StrEnum):
    """The contract's four; see `wearon.sizing.body_type` for the rule."""

    ATHLETIC = "athletic"
    SLIM = "slim"
    AVERAGE = "average"
    BROAD = "broad"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Measurements(_Value):
    """Centimetres, one decimal. Callers refuse the whole answer on any further key here."""

    chest_cm: float
    waist_cm: float
    hip_cm: float
    shoulder_cm: float


class SizeRange(_Value):
    """The narrowest run of sizes that holds the true one at least 9 times in 10."""

    lower: str
    upper: str


class PhotoWarning(_Value):
    """Something about the photo that makes the answer less sure, and what the shopper can do."""

    code: WarningCode
    message: str


class SizeEstimate(_Value):
    """A size, and how far it can be trusted."""

    recommended_size: str
    measurements: Measurements
    confidence: Annotated[float, Field(ge=0, le=1, description="Probability that recommended_size is right")]
    body_type: BodyType | None
    size_range: SizeRange
    standard_errors: Annotated[
        Measurements, Field(description="Standard error of each measurement, in cm: right within it 2 times in 3")
    ]
    size_probabilities: Annotated[
        dict[str, float], Field(description="Probability of each size of the chart, smallest size first")
    ]
    warnings: tuple[PhotoWarning, ...]
