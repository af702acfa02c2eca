"""A person seen in a photo, and what was said about them, become centimetres with their errors.

Pure: no I/O but the model files that ship with the package, no picture, no mediapipe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wearon.sizing.bodies import typical
from wearon.sizing.features import BANDS, NATURAL_WAIST, Frame, Sighting
from wearon.sizing.legs import Legs, read_legs
from wearon.sizing.photo_model import FrameModel, photo_model
from wearon.sizing.reader import Observation, readers
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


ALIKE = 1.15
"""Factor on the errors of both views together: they are the same person in the same clothes, and err alike a little."""


@dataclass(frozen=True, slots=True)
class Line:
    """Where in the photo a measurement was taken: two points in pixels of the picture that was measured."""

    start: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements in the order of `names`, in cm, and the covariance of their errors, in cm²."""

    mean: Array
    covariance: Array
    strangeness: float
    """How unlike the pictures that the model was fitted to this one is: up to 1 is usual."""
    surprise: float
    """Standard errors between the photo and what is typical of what is stated; 0 when nothing is."""
    stretch: float = 0.0
    """Standard errors of the picture's seeming stretch: negative when squeezed from the sides."""
    names: tuple[str, ...] = MEASURES
    """MEASURES come first; `wearon.sizing.lengths` adds what follows from them."""

    def of(self, names: Sequence[str]) -> tuple[Array, Array]:
        """Mean (n,) and covariance (n, n) of some of the measurements. Raises ValueError for one that is not there."""
        wanted = [self.names.index(name) for name in names]
        return self.mean[wanted], self.covariance[np.ix_(wanted, wanted)]

    @property
    def errors(self) -> Array:
        """Standard errors, in cm."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, slots=True)
class Front:
    """What a picture from the front says, and how strange it is."""

    said: Observation
    strangeness: float
    stretch: float
    legs: Legs | None = None
    """What it says of the inseam; None when not all of the person is in the picture."""


def read_front(
    values: Mapping[str, float],
    frame: Frame,
    *,
    doubt: float = 1.0,
    model: Mapping[Frame, FrameModel] | None = None,
) -> Front:
    """What the features of a picture from the front say by themselves.

    `doubt` multiplies the standard errors: what the photo's faults cost (see `wearon.sizing.coach`).
    """
    shares = (model or photo_model())[frame].predict(values)
    strangeness = max(1.0, shares.strangeness)
    legs = None
    if frame is Frame.FULL:
        said = readers().front.read(values, readers().people)
        legs = read_legs(values).doubted(strangeness * doubt**2)
    else:
        said = readers().people.unmixed(shares.mean, shares.covariance / strangeness)
    mean, covariance = said.mean, said.covariance * strangeness * doubt**2
    stretch = shares.stretch / shares.stretch_error
    if abs(stretch) > STRETCHED:
        # All breadths alike: undone, the more the surer it is, and doubted by all of it. If only doubted, the size
        # would still be a confident XS or XXL; if undone in full, people who are built so would be read far wrong.
        undone = shares.stretch * (1 - (STRETCHED / stretch) ** 2)
        mean, covariance = mean - undone, covariance + shares.stretch**2
    return Front(Observation(mean, covariance), shares.strangeness, stretch, legs)


def read_side(values: Mapping[str, float], *, doubt: float = 1.0) -> Observation:
    """What the features of a picture from the side say by themselves."""
    return readers().side.read(values, readers().people).doubted(doubt)


def combine(front: Front | None, side: Observation | None, request: EstimateRequest) -> Measured:
    """The likeliest measurements, from whatever there is: pictures, and what is typical of what is stated."""
    seen = [one for one in (front.said if front else None, side) if one is not None]
    views = _together(seen, np.log(request.height_cm))
    mean, covariance, surprise = _weighed(views, request)
    if views and surprise > SURPRISING:
        # One of them is wrong, more likely the picture: weights are typed as they are, clothes hide.
        excess = surprise / SURPRISING
        mean, covariance, _ = _weighed(views.doubted(excess**2), request)
        covariance = covariance * excess
    cm = np.exp(mean)
    strange = front or Front(Observation(mean, covariance), 0.0, 0.0)
    return Measured(cm, covariance * np.outer(cm, cm), strange.strangeness, surprise, strange.stretch)


def _together(seen: Sequence[Observation], log_height: float) -> Observation | None:
    """One observation of several, in logarithms of centimetres."""
    if not seen:
        return None
    precisions = [np.linalg.inv(one.covariance) for one in seen]
    covariance = np.linalg.inv(np.sum(precisions, axis=0))
    mean = covariance @ np.sum([p @ one.mean for p, one in zip(precisions, seen, strict=True)], axis=0)
    together = Observation(mean + log_height, covariance)
    return together.doubted(ALIKE) if len(seen) > 1 else together


def _weighed(views: Observation | None, request: EstimateRequest) -> tuple[Array, Array, float]:
    """What is seen and what is typical, by their precisions; and how many standard errors they differ by."""
    if request.weight_kg is None:
        people = readers().of_sex[request.sex] if request.sex else readers().people
        opinions = [(people.mean + np.log(request.height_cm), people.covariance)]
    else:
        opinions = typical(request.sex, request.height_cm, request.weight_kg)
    if views is None:
        weighed = [(mean, spread, 0.0) for mean, spread in opinions]
        odds = np.zeros(len(opinions))
    else:
        weighed, odds = _updated(views, opinions)
    share = np.exp(odds - odds.max())
    share = share / share.sum()
    mixed = np.asarray(sum(part * mean for part, (mean, _, _) in zip(share, weighed, strict=True)))
    total = sum(
        part * (spread + np.outer(mean - mixed, mean - mixed))
        for part, (mean, spread, _) in zip(share, weighed, strict=True)
    )
    distance = sum(part * squared for part, (_, _, squared) in zip(share, weighed, strict=True))
    return mixed, np.asarray(total), float(np.sqrt(distance / len(mixed)))


def _updated(
    views: Observation, opinions: Sequence[tuple[Array, Array]]
) -> tuple[list[tuple[Array, Array, float]], Array]:
    """Each opinion after what is seen, with the squared distance of both; and the logarithms of the opinions' odds."""
    weighed, odds = [], []
    for mean, spread in opinions:
        off = views.mean - mean
        precision = np.linalg.inv(views.covariance + spread)
        gain = spread @ precision
        distance = float(off @ precision @ off)
        weighed.append((mean + gain @ off, spread - gain @ spread, distance))
        odds.append(0.5 * (float(np.linalg.slogdet(precision)[1]) - distance))
    return weighed, np.array(odds)


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
