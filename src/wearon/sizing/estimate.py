"""From photos' bytes to a size: what a pose process is asked to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wearon.pose import Detector, Joint
from wearon.sizing.asking import Known, questions
from wearon.sizing.body_type import body_type
from wearon.sizing.chart import DEFAULT_CHART
from wearon.sizing.chart_warnings import chart_warnings
from wearon.sizing.fitting import Fitting
from wearon.sizing.lengths import UNDERBUST, with_lengths
from wearon.sizing.measure import SURPRISING, Line, Measured, combine, measuring_lines
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest, Sex
from wearon.sizing.result import Measurements, MoreMeasurement, PhotoWarning, SizeEstimate, SizeRange, Source
from wearon.sizing.sight import FrontView, Photo, SideView, apart, from_the_front, from_the_side, open_photo, open_side
from wearon.sizing.sits import fit_around, outside
from wearon.sizing.warnings import ADVICE, WarningCode

OTHER_PERSON = 2.5
"""Standard errors between front and side from which they show different people: 1 in 10,000 pairs by chance."""


@dataclass(frozen=True, slots=True)
class Examination:
    """Photos looked at: all that the answer and its pictures are made from."""

    photo: Photo
    """The first one that was sent."""
    front: FrontView | None
    side: SideView | None
    estimate: SizeEstimate

    @property
    def lines(self) -> dict[str, Line]:
        """Where in the front's photo each measurement was taken, by name."""
        if self.front is None:
            return {}
        pose = self.front.scene.pose
        shoulders = (pose.point(Joint.RIGHT_SHOULDER), pose.point(Joint.LEFT_SHOULDER))
        return measuring_lines(self.front.scene.sighting, shoulders)


def examine(detector: Detector, photo: bytes, request: EstimateRequest, side: bytes | None = None) -> Examination:
    """The size, and what it was made from. `side` is a second photo; which of both is from the side is seen.

    Raises PictureError when `photo` is not a picture, NoPerson when nobody can be measured and no weight is known.
    """
    first = open_photo(detector, photo)
    second = open_side(detector, side) if side is not None else None
    warnings: list[WarningCode] = []
    front_photo, side_photo = _assigned(first, second)
    if second is front_photo and second is not None:
        warnings.append(WarningCode.PHOTOS_SWAPPED)
    front, refusal = _front(front_photo, request)
    profile = _side(side_photo)
    if front and profile and apart(front.front.said, profile.said) > OTHER_PERSON:
        profile = None
    nobody = not first.poses and not (second and second.poses)
    if not front and (request.weight_kg is None or nobody) and not (profile and side is not None):
        raise refusal
    if side is not None and profile is None:
        warnings.append(WarningCode.SIDE_PHOTO_NOT_USED)
    warnings += [WarningCode.PHOTO_NOT_USED] if front is None else list(front.warnings)
    estimate = estimated(front, profile, request, warnings, hint=None if front else refusal.hint)
    return Examination(first, front, profile, estimate)


def _assigned(first: Photo, second: Photo | None) -> tuple[Photo | None, Photo | None]:
    """Which photo is from the front, and which from the side."""
    first_is_front = first.poses and not first.is_from_the_side
    second_is_front = second and second.poses and not second.is_from_the_side
    if not first_is_front and second_is_front:
        return second, first
    if first.is_from_the_side and not (second and second.poses):
        return None, first
    return first, second


def _front(photo: Photo | None, request: EstimateRequest) -> tuple[FrontView | None, NoPerson]:
    """The view from the front, or why there is none."""
    try:
        if photo is None:
            raise NoPerson(RefusalCode.SIDE_VIEW)
        return from_the_front(photo, request), NoPerson(RefusalCode.NO_PERSON)
    except NoPerson as refusal:
        return None, refusal


def _side(photo: Photo | None) -> SideView | None:
    try:
        return from_the_side(photo) if photo else None
    except NoPerson:
        return None


def without_photo(request: EstimateRequest) -> SizeEstimate:
    """The size of what is typical of people of that height, weight and sex. Raises ValueError without a weight."""
    if request.weight_kg is None:
        raise ValueError("without a photo a weight is needed")
    return estimated(None, None, request)


def estimated(
    front: FrontView | None,
    side: SideView | None,
    request: EstimateRequest,
    warnings: Sequence[WarningCode] = (),
    *,
    hint: str | None = None,
) -> SizeEstimate:
    """The answer from whatever there is."""
    girths = combine(front.front if front else None, side.said if side else None, request)
    measured = with_lengths(girths, request, front.front.legs if front else None)
    if measured.surprise > SURPRISING and WarningCode.UNUSUAL_PROPORTIONS not in warnings:
        warnings = [*warnings, WarningCode.UNUSUAL_PROPORTIONS]
    sources = {
        Source.PHOTO: front,
        Source.SIDE_PHOTO: side,
        Source.HEIGHT: request.height_cm,
        Source.WEIGHT: request.weight_kg,
        Source.SEX: request.sex,
    }
    known = Known(request, bool(front), bool(side), front.scene.doubt if front else 1.0, tuple(warnings), hint)
    fitting = Fitting(request.size_chart, measured.names, request.fit_preference)
    found, width = _concluded(measured, request, fitting, warnings, hint)
    return found.model_copy(
        update={
            "measured_from": tuple(source for source, value in sources.items() if value is not None),
            "ask_next": questions(measured, known, fitting, width),
        }
    )


def conclude(measured: Measured, request: EstimateRequest, warnings: Sequence[WarningCode] = ()) -> SizeEstimate:
    """Sizes, their probabilities and the body type that follow from measurements with known errors."""
    fitting = Fitting(request.size_chart, measured.names, request.fit_preference)
    return _concluded(measured, request, fitting, warnings, None)[0]


def _concluded(
    measured: Measured, request: EstimateRequest, fitting: Fitting, warnings: Sequence[WarningCode], hint: str | None
) -> tuple[SizeEstimate, int]:
    """The answer, and how many sizes its range has, which is known outside of the chart, too."""
    mean, covariance = measured.of(fitting.measures)
    chances = fitting.chances(mean, covariance)
    lower, upper, width = fitting.likely_range(chances)
    values = dict(zip(measured.names, measured.mean.tolist(), strict=True))
    errors = dict(zip(measured.names, measured.errors.tolist(), strict=True))
    chart, names, best = request.size_chart, fitting.names, chances.best
    # The short form has always answered its last size to everybody above.
    there_is_one = chances.outside is None or chart.is_short
    estimate = SizeEstimate(
        recommended_size=names[best] if there_is_one else None,
        measurements=_measurements(values),
        confidence=round(float(chances.sizes[best]), 3) if there_is_one else 0.0,
        body_type=body_type(request.height_cm, values["chest_cm"], values["waist_cm"], errors["waist_cm"]),
        size_range=SizeRange(lower=names[lower], upper=names[upper]) if there_is_one else None,
        standard_errors=_measurements(errors),
        more_measurements={
            name: MoreMeasurement(value=round(values[name], 1), standard_error=round(errors[name], 1))
            for name in measured.names
            if name not in Measurements.model_fields and (name != UNDERBUST or request.sex is Sex.FEMALE)
        },
        size_probabilities={name: round(float(p), 3) for name, p in zip(names, chances.sizes, strict=True)},
        warnings=tuple(_warning(code, hint) for code in warnings),
        # The default chart is of no garment: whether a waist sits loosely is not known.
        fit=() if chart == DEFAULT_CHART else fit_around(fitting, best, mean, covariance),
        outside_chart=outside(fitting, chances, mean, covariance),
        chart_warnings=chart_warnings(chart, fitting.not_measured),
    )
    return estimate, width


def _measurements(values: Mapping[str, float]) -> Measurements:
    """Those that callers know, rounded."""
    return Measurements(**{name: round(values[name], 1) for name in Measurements.model_fields if name in values})


def _warning(code: WarningCode, hint: str | None) -> PhotoWarning:
    return PhotoWarning(code=code, message=hint if hint and code is WarningCode.PHOTO_NOT_USED else ADVICE[code])
