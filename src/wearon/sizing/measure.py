"""One person's landmarks, silhouette and height become girths with their errors. Pure: no I/O, no mediapipe."""

from dataclasses import dataclass

import numpy as np

from wearon.pose import Joint, Pose
from wearon.sizing.request import EstimateRequest
from wearon.sizing.silhouette import Array, Point, reaches, trunk_axis, vertical_extent

MEASURES = ("chest_cm", "waist_cm", "hip_cm", "shoulder_cm")
"""The order of every vector of measurements here."""

_LEVELS = {"chest_cm": 0.38, "waist_cm": 0.72, "hip_cm": 1.05}
"""Where on the trunk's axis each girth is taken."""


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
    lines: dict[str, Line]
    """The measuring lines, by measurement."""


def measure(pose: Pose, request: EstimateRequest) -> Measured:
    """Girths and shoulder breadth of the person, from the photo and what was said about them."""
    axis = trunk_axis(pose)
    top, bottom = vertical_extent(pose)
    cm = request.height_cm / max(bottom - top, 1.0)
    levels = np.array(list(_LEVELS.values()))
    left, right = reaches(pose, axis, levels)
    breadth = (left + right) * cm
    girths = breadth * np.pi * np.sqrt((1 + 0.75**2) / 2)
    joints = np.subtract(pose.point(Joint.LEFT_SHOULDER), pose.point(Joint.RIGHT_SHOULDER))
    shoulder = float(np.hypot(*joints)) * cm + 3.8
    lines = {
        name: Line(axis.at(level, -float(left[i])), axis.at(level, float(right[i])))
        for i, (name, level) in enumerate(_LEVELS.items())
    }
    lines["shoulder_cm"] = Line(pose.point(Joint.RIGHT_SHOULDER), pose.point(Joint.LEFT_SHOULDER))
    return Measured(np.append(girths, shoulder), np.diag([36.0, 36.0, 25.0, 2.0]), lines)
