"""A person seen in a photo, and what was said about them, become centimetres with their errors.

Pure: no I/O but the model files that ship with the package, no picture, no mediapipe.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wearon.sizing.bodies import with_statements
from wearon.sizing.features import BANDS, NATURAL_WAIST, Frame, Sighting, features
from wearon.sizing.photo_model import FrameModel, photo_model
from wearon.sizing.request import EstimateRequest
from wearon.sizing.silhouette import Array, Point

MEASURES = ("chest_cm", "waist_cm", "hip_cm", "shoulder_cm")
"""The order of every vector of measurements here."""

SURPRISING = 2.0
"""Standard errors between the photo and what is typical of the stated weight and height from which one of them
must be wrong: 1 in 300 people differ by as much by chance."""

STRETCHED = 2.8
"""Standard errors of the seeming stretch from which a picture counts as squeezed or stretched. Cross-validated, 0.4 %
of honest pictures are beyond, half of those squeezed to 0.85 or stretched to 1.17, and 94 % of those squeezed to 0.75
or stretched to 1.33."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where in the photo a measurement was taken: two points in pixels of the picture that was measured."""

    start: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements in the order of MEASURES, in cm, and the covariance of their errors, in cm²."""

    mean: Array
    covariance: Array
    strangeness: float
    """How unlike the pictures that the model was fitted to this one is: up to 1 is usual."""
    surprise: float
    """Standard errors between the photo and what is typical of what is stated; 0 when nothing is."""
    stretch: float = 0.0
    """Standard errors of the picture's seeming stretch: negative when squeezed from the sides."""

    @property
    def errors(self) -> Array:
        """Standard errors, in cm."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def measure(
    sighting: Sighting,
    frame: Frame,
    request: EstimateRequest,
    *,
    doubt: float = 1.0,
    model: Mapping[Frame, FrameModel] | None = None,
) -> Measured:
    """Girths and shoulder breadth of the person.

    `doubt` multiplies the standard errors: what the photo's faults cost (see `wearon.sizing.coach`).
    """
    values = features(sighting, frame, request.height_cm)
    return measure_features(values, frame, request, doubt=doubt, model=model)


def measure_features(
    values: Mapping[str, float],
    frame: Frame,
    request: EstimateRequest,
    *,
    doubt: float = 1.0,
    model: Mapping[Frame, FrameModel] | None = None,
) -> Measured:
    """The same from features that have been taken already."""
    shares = (model or photo_model())[frame].predict(values)
    mean = shares.mean + np.log(request.height_cm)
    covariance = shares.covariance * doubt**2
    stretch, surprise = shares.stretch / shares.stretch_error, 0.0
    if abs(stretch) > STRETCHED:
        # All breadths alike: undone, the more the surer it is, and doubted by all of it. If only doubted, the size
        # would still be a confident XS or XXL; if undone in full, people who are built so would be read far wrong.
        undone = shares.stretch * (1 - (STRETCHED / stretch) ** 2)
        mean, covariance = mean - undone, covariance + shares.stretch**2
    if request.weight_kg is not None or request.sex is not None:
        said = (request.height_cm, request.weight_kg, request.sex)
        mean, covariance, surprise = with_statements(mean, covariance, *said)
        covariance = covariance * max(1.0, surprise / SURPRISING) ** 2
    cm = np.exp(mean)
    return Measured(cm, covariance * np.outer(cm, cm), shares.strangeness, surprise, stretch)


def measuring_lines(sighting: Sighting, shoulders: tuple[Point, Point]) -> dict[str, Line]:
    """Where the measurements show in the picture, by name."""
    outline = sighting.profile
    waist = outline.between(*NATURAL_WAIST)
    narrowest = outline.trunk.sum(axis=0)[waist].argmin()
    levels = {
        "chest_cm": float(np.mean(BANDS["chest"])),
        "waist_cm": float(outline.levels[waist][narrowest]),
        "hip_cm": float(np.mean(BANDS["hip"])),
    }
    lines = {name: Line(*_across(sighting, level)) for name, level in levels.items()}
    return {**lines, "shoulder_cm": Line(*shoulders)}


def _across(sighting: Sighting, level: float) -> tuple[Point, Point]:
    index = int(np.abs(sighting.profile.levels - level).argmin())
    left, right = sighting.profile.trunk[:, index].tolist()
    return sighting.axis.at(level, -left), sighting.axis.at(level, right)
