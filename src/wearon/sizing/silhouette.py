"""The outline of a person, seen along the trunk: how far it reaches to both sides of the body's axis.

The axis runs through the middles of the shoulder and hip joints. A level is a place on it in units of that distance:
0 at the shoulders, 1 at the hip joints, about 1.8 at the knees.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose

INSIDE = 0.5
"""A pixel belongs to the person when the mask says so more likely than not."""

Point = tuple[float, float]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """The trunk's axis in pixels: from the middle of the shoulders to the middle of the hips."""

    start: Array
    along: Array
    """Unit vector towards the hips."""
    length: float

    @property
    def across(self) -> Array:
        """Unit vector to the picture's right (when the person stands upright)."""
        across: Array = np.array([self.along[1], -self.along[0]])
        return across

    def at(self, level: float, offset: float = 0.0) -> Point:
        """The point `offset` pixels to the right of the axis at a level."""
        x, y = self.start + self.along * (level * self.length) + self.across * offset
        return float(x), float(y)


def trunk_axis(pose: Pose) -> Axis:
    """The axis through the middles of the shoulder and hip joints."""
    shoulders = _middle(pose, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)
    hips = _middle(pose, Joint.LEFT_HIP, Joint.RIGHT_HIP)
    length = float(np.hypot(*(hips - shoulders)))
    return Axis(shoulders, (hips - shoulders) / max(length, 1e-6), max(length, 1e-6))


def reaches(pose: Pose, axis: Axis, levels: Array) -> tuple[Array, Array]:
    """How far the silhouette reaches left and right of the axis at each level, in pixels (positive outwards).

    Only the piece that the axis runs through counts: arms held off the body do not. 0 where the axis is outside
    the silhouette.
    """
    step = 0.5  # pixels: edges are then interpolated between samples
    offsets = np.arange(0.0, 1.6 * axis.length, step)
    sides = []
    for sign in (-1.0, 1.0):
        places = (
            axis.start
            + axis.along * (levels[:, None, None] * axis.length)
            + axis.across * (sign * offsets[None, :, None])
        )
        values = _sample(pose.mask, places)
        sides.append(_first_exit(values) * step)
    return sides[0], sides[1]


def vertical_extent(pose: Pose) -> tuple[float, float]:
    """The silhouette's highest and lowest row, in pixels with fractions."""
    # Three pixels of mask in a row make an edge: single specks are the segmentation's noise.
    rows = np.sort(pose.mask, axis=1)[:, -min(3, pose.mask.shape[1])].astype(np.float64)
    inside = np.flatnonzero(rows >= INSIDE)
    if inside.size == 0:
        return 0.0, 0.0
    first, last = int(inside[0]), int(inside[-1])
    top = first - _fraction(rows[first], rows[first - 1]) if first > 0 else 0.0
    bottom = last + _fraction(rows[last], rows[last + 1]) if last + 1 < rows.size else float(rows.size - 1)
    return top, bottom


def _middle(pose: Pose, left: Joint, right: Joint) -> Array:
    return (np.array(pose.point(left)) + np.array(pose.point(right))) / 2


def _fraction(inside: float, outside: float) -> float:
    """Where between a pixel inside and its neighbour outside the mask passes one half, 0..1."""
    return (inside - INSIDE) / max(inside - outside, 1e-6)


def _first_exit(values: Array) -> Array:
    """For rows of samples from the axis outwards: where each falls below one half, in samples."""
    outside = values < INSIDE
    outside[:, -1] = True
    index = outside.argmax(axis=1)
    rows = np.arange(len(values))
    before = values[rows, np.maximum(index - 1, 0)]
    after = values[rows, index]
    exits = index - 1 + (before - INSIDE) / np.maximum(before - after, 1e-6)
    result: Array = np.where(index == 0, 0.0, exits)
    return result


def _sample(mask: NDArray[np.float32], places: Array) -> Array:
    """The mask at places (..., 2) in pixels, bilinear; 0 outside the picture."""
    height, width = mask.shape
    x, y = places[..., 0] - 0.5, places[..., 1] - 0.5  # a pixel's value stands for its centre
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    padded = np.pad(mask, 1).astype(np.float64)
    left, right = np.clip(x0 + 1, 0, width + 1), np.clip(x0 + 2, 0, width + 1)
    upper, lower = np.clip(y0 + 1, 0, height + 1), np.clip(y0 + 2, 0, height + 1)
    result: Array = (padded[upper, left] * (1 - fx) + padded[upper, right] * fx) * (1 - fy) + (
        padded[lower, left] * (1 - fx) + padded[lower, right] * fx
    ) * fy
    return result
