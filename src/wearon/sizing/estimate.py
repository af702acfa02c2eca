"""From a photo's bytes to a size: what a pose process is asked to run."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wearon.pictures.decode import decode
from wearon.pose import Detector, Joint, Pose
from wearon.sizing.body_type import body_type
from wearon.sizing.chart import GIRTHS
from wearon.sizing.coach import inspect, second_thoughts
from wearon.sizing.features import Sighting
from wearon.sizing.measure import MEASURES, Line, Measured, measure, measuring_lines
from wearon.sizing.request import EstimateRequest
from wearon.sizing.result import Measurements, PhotoWarning, SizeEstimate, SizeRange
from wearon.sizing.warnings import ADVICE, WarningCode

PHOTO_EDGE = 512
"""Pixels of the longer side. The pose networks look at 256; the silhouette's edges gain nothing from more."""

RANGE_PROBABILITY = 0.8
"""Probability from which a run of sizes is wide enough. Whole sizes mostly hold more than is asked for: with this
limit the range held the true size of 96 % of people left out of the fit (`sizing/train.py`), at the least width."""


_EVERY_ROW = 8
"""Rows between those that are compared: which half is lighter shows in sixty of them."""


@dataclass(frozen=True, slots=True)
class Examination:
    """A photo looked at: all that the answer and its picture are made from."""

    picture: Image.Image
    pose: Pose
    sighting: Sighting
    estimate: SizeEstimate

    @property
    def lines(self) -> dict[str, Line]:
        """Where each measurement was taken, by name."""
        shoulders = (self.pose.point(Joint.RIGHT_SHOULDER), self.pose.point(Joint.LEFT_SHOULDER))
        return measuring_lines(self.sighting, shoulders)


def examine(detector: Detector, photo: bytes, request: EstimateRequest) -> Examination:
    """The size, and what it was made from.

    Raises PictureError when the bytes are not a picture, NoPerson when nobody can be measured in it.
    """
    picture = decode(photo, PHOTO_EDGE)
    pixels = np.asarray(picture)
    scene = inspect(_people(detector, pixels), pixels, request)
    measured = measure(scene.sighting, scene.frame, request, doubt=scene.doubt)
    warnings = list(dict.fromkeys([*scene.warnings, *second_thoughts(measured)]))
    return Examination(picture, scene.pose, scene.sighting, conclude(measured, request, warnings))


def _people(detector: Detector, pixels: NDArray[np.uint8]) -> list[Pose]:
    if not seen_mirrored(pixels):
        return detector.detect(pixels)
    # OpenCV's flip: numpy's copy of reversed pixels takes 1 ms, this one 0.02.
    return [pose.mirrored() for pose in detector.detect(np.asarray(cv2.flip(pixels, 1), dtype=np.uint8))]


def seen_mirrored(pixels: NDArray[np.uint8]) -> bool:
    """Whether it is the mirror image of this picture (height, width, 3) that the pose networks are shown.

    They see a picture otherwise than its mirror image, which front cameras make of it. Both readings are as good, and
    of 13 % of people they give another size: so one and the same of the two is always looked at, the one whose right
    half is the lighter.
    """
    middle = pixels.shape[1] // 2
    rows = pixels[::_EVERY_ROW]
    left, right = (sum(cv2.sumElems(half)) for half in (rows[:, :middle], rows[:, -middle:]))
    return left > right


def conclude(measured: Measured, request: EstimateRequest, warnings: Sequence[WarningCode] = ()) -> SizeEstimate:
    """Sizes, their probabilities and the body type that follow from measurements with known errors."""
    chart = request.size_chart
    girths = [MEASURES.index(girth) for girth in GIRTHS]
    probabilities = chart.probabilities(measured.mean[girths], measured.covariance[np.ix_(girths, girths)])
    best = int(probabilities.argmax())
    lower, upper = narrowest_range(probabilities.tolist(), RANGE_PROBABILITY, best)
    values = dict(zip(MEASURES, measured.mean.tolist(), strict=True))
    errors = dict(zip(MEASURES, measured.errors.tolist(), strict=True))
    return SizeEstimate(
        recommended_size=chart.names[best],
        measurements=Measurements(**{name: round(value, 1) for name, value in values.items()}),
        confidence=round(float(probabilities[best]), 3),
        body_type=body_type(request.height_cm, values["chest_cm"], values["waist_cm"], errors["waist_cm"]),
        size_range=SizeRange(lower=chart.names[lower], upper=chart.names[upper]),
        standard_errors=Measurements(**{name: round(error, 1) for name, error in errors.items()}),
        size_probabilities={name: round(float(p), 3) for name, p in zip(chart.names, probabilities, strict=True)},
        warnings=tuple(PhotoWarning(code=code, message=ADVICE[code]) for code in warnings),
    )


def narrowest_range(probabilities: list[float], enough: float, must_hold: int) -> tuple[int, int]:
    """First and last index of the shortest run around `must_hold` with at least `enough` probability.

    Of several as short the likeliest. All of them when rounding leaves the sum short of `enough`.
    """
    count = len(probabilities)
    for width in range(1, count + 1):
        starts = range(max(0, must_hold - width + 1), min(must_hold, count - width) + 1)
        likelihood, start = max((sum(probabilities[start : start + width]), -start) for start in starts)
        if likelihood >= enough:
            return -start, -start + width - 1
    return 0, count - 1
