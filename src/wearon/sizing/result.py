"""The answer: also the HTTP body of `POST /estimate-body`, field by field."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from wearon.sizing.garments import Column, Fit
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
    inseam_cm: Annotated[float | SkipJsonSchema[None], Field(exclude_if=lambda inseam: inseam is None)] = None
    """Floor to crotch; left out by who measured girths alone."""


class MoreMeasurement(_Value):
    """A measurement that callers of today do not know, in cm."""

    value: float
    standard_error: float


class SizeRange(_Value):
    """The narrowest run of sizes that holds the true one at least 9 times in 10, of those whom a size fits."""

    lower: str
    upper: str


class PhotoWarning(_Value):
    """Something about the photo that makes the answer less sure, and what the shopper can do."""

    code: WarningCode
    message: str


class Source(StrEnum):
    """What an answer was made from."""

    PHOTO = "photo"
    SIDE_PHOTO = "side_photo"
    HEIGHT = "height"
    WEIGHT = "weight"
    SEX = "sex"


class Question(StrEnum):
    """What the shopper can still be asked for; the names of the request's fields, and a better photo."""

    WEIGHT_KG = "weight_kg"
    SEX = "sex"
    IMAGE_URL = "image_url"
    SIDE_IMAGE_URL = "side_image_url"
    RETAKE = "retake"


class NextQuestion(_Value):
    """Something to ask the shopper, and what the answer would be worth."""

    ask: Question
    narrows_range_by: Annotated[float, Field(ge=0, description="Sizes by which size_range is expected to shrink")]
    message: str


class ColumnFit(_Value):
    """How a size sits in one measurement: from the measurement and its error."""

    column: Column
    word: Annotated[Fit | None, Field(description="The likeliest; null for length, which no body has")]
    probability: Annotated[float | None, Field(description="Probability of `word`")]
    room_cm: Annotated[float | None, Field(description="From the body to the size's upper limit; below 0: over it")]
    garment_cm: Annotated[
        float | None, Field(description="What the garment measures; null where only bodies are known")
    ]
    ease_cm: Annotated[float | None, Field(description="Garment minus body; below 0: it is stretched")]


class SizeFit(_Value):
    """How one size sits."""

    size: str
    columns: tuple[ColumnFit, ...]


class OutsideCode(StrEnum):
    """Why no size of the chart fits."""

    TOO_SMALL_FOR_CHART = "too_small_for_chart"
    TOO_LARGE_FOR_CHART = "too_large_for_chart"
    SIZE_NOT_SOLD = "size_not_sold"


class OutsideChart(_Value):
    """No size of the chart fits, more likely than not."""

    code: OutsideCode
    column: Annotated[Column | None, Field(description="The measurement that is furthest outside")]
    probability: float
    message: str


class ChartWarningCode(StrEnum):
    """What a shop should know about its chart."""

    SIZE_NAME_REFUSED = "size_name_refused"
    COLUMN_NOT_MEASURED = "column_not_measured"
    GAP_BETWEEN_SIZES = "gap_between_sizes"
    SIZES_OVERLAP = "sizes_overlap"


class ChartWarning(_Value):
    """Something about the chart, for the shop."""

    code: ChartWarningCode
    column: Column | None
    sizes: Annotated[tuple[str, ...], Field(description="The sizes that it is about, as the shop writes them")]
    message: str


class SizeEstimate(_Value):
    """A size, and how far it can be trusted.

    Outside of the chart there is none: `recommended_size` and `size_range` are null and `confidence` is 0, so that no
    caller sells the last size by mistake. That never happens without a chart, nor with one in the short form.
    """

    recommended_size: str | None
    measurements: Measurements
    confidence: Annotated[float, Field(ge=0, le=1, description="Probability that recommended_size is right")]
    body_type: BodyType | None
    size_range: SizeRange | None
    standard_errors: Annotated[
        Measurements, Field(description="Standard error of each measurement, in cm: right within it 2 times in 3")
    ]
    size_probabilities: Annotated[
        dict[str, float],
        Field(description="Probability of each size of the chart, smallest first; what is missing to 1: of none"),
    ]
    warnings: tuple[PhotoWarning, ...]
    more_measurements: Annotated[
        dict[str, MoreMeasurement],
        Field(description="`sleeve_cm`, shoulder point to wrist, and `underbust_cm` of who says that she is female"),
    ] = {}
    measured_from: Annotated[tuple[Source, ...], Field(description="What the answer was made from")] = ()
    ask_next: Annotated[
        tuple[NextQuestion, ...], Field(description="What would narrow size_range for this person, most useful first")
    ] = ()
    fit: Annotated[
        tuple[SizeFit, ...],
        Field(description="How the recommended size and its neighbours sit; empty without a `size_chart`"),
    ] = ()
    outside_chart: Annotated[OutsideChart | None, Field(description="Null when a size of the chart fits")] = None
    chart_warnings: Annotated[
        tuple[ChartWarning, ...], Field(description="What the shop should know of its chart")
    ] = ()
    chart_version: Annotated[int | None, Field(description="Of the kept chart that was named; else null")] = None
    estimate_id: Annotated[
        str | None, Field(description="For POST /estimate-feedback: what this answer says, sealed; null without a size")
    ] = None
