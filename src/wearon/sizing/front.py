"""What a whole picture from the front shows beside the dozen lengths that every frame has.

The trunk and the whole silhouette at two dozen levels, how much of the trunk the arms hide, legs and trousers, folds.
"""

import math
from functools import cache

import cv2
import numpy as np

from wearon.pose import Joint, Pose
from wearon.sizing.proportions import leg_breadths, proportions, share
from wearon.sizing.silhouette import Array, Axis, Pixels, Profile

LEVELS = tuple(round(0.1 + 0.05 * number, 2) for number in range(25))
"""Places on the trunk's axis, from the shoulders (0) to the upper thighs (1.3)."""

_LABELS = tuple(f"{level * 100:.0f}" for level in LEVELS)
_HALF_BAND = 0.025
_LEG_REACH = 0.225
"""How far to each side legs are looked for, of the height."""
_BODY = 0.9
"""Mask from which a pixel is far inside the body: no edge of it is a fold."""


def front_traits(
    pose: Pose, pixels: Pixels, axis: Axis, outline: Profile, down: Array, ends: tuple[float, float]
) -> dict[str, float]:
    """Features of a whole picture from the front, by name."""
    height = max(ends[1] - ends[0], 1.0)
    found = proportions(pose, axis, down, ends)
    bands = _bands(outline.levels.tobytes())
    for name, line in (("trunk", outline.trunk), ("outer", outline.outer)):
        breadths = bands @ line.sum(axis=0) / height
        found |= {f"{name}_{label}": share(value) for label, value in zip(_LABELS, breadths.tolist(), strict=True)}
    hidden = bands @ outline.hidden.mean(axis=0)
    found |= {f"hidden_{label}": value for label, value in zip(_LABELS, hidden.tolist(), strict=True)}
    waist, hips = outline.between(0.55, 0.70), outline.between(1.03, 1.15)
    found["hidden_waist"] = float(outline.hidden[:, waist].mean())
    found["hidden_hips"] = float(outline.hidden[:, hips].mean())
    found["joined_waist"] = float(outline.joined[:, waist].mean())
    found["bulge"] = outline.bulge
    found |= leg_breadths(pose, height, _LEG_REACH)
    return {**found, **_arms(pose, axis, height), **_folds(pose, pixels, axis)}


@cache
def _bands(levels: bytes) -> Array:
    """(LEVELS, levels): weights that average what lies around each of LEVELS."""
    places = np.frombuffer(levels)
    around = np.abs(places - np.array(LEVELS)[:, None]) <= _HALF_BAND + 1e-6
    weights: Array = around / around.sum(axis=1, keepdims=True)
    return weights


def _arms(pose: Pose, axis: Axis, height: float) -> dict[str, float]:
    found = {}
    for name, joints in (
        ("elbow", (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW)),
        ("wrist", (Joint.LEFT_WRIST, Joint.RIGHT_WRIST)),
    ):
        away = [abs(float((np.array(pose.point(joint)) - axis.start) @ axis.across)) / height for joint in joints]
        found[f"{name}_nearer"], found[f"{name}_farther"] = min(away), max(away)
    return found


def _folds(pose: Pose, pixels: Pixels, axis: Axis) -> dict[str, float]:
    """Mean slope of the brightness on the trunk, across and down: folds and patterns."""
    first = min(max(0, int(axis.at(0.2)[1])), pose.height - 4)
    rows = slice(first, max(first + 3, int(axis.at(1.0)[1])))
    body = pose.mask[rows] >= _BODY
    grey = cv2.cvtColor(pixels[rows], cv2.COLOR_RGB2GRAY)
    if not body.any():
        return {"folds_across": 0.0, "folds_down": 0.0, "brightness": 0.0}
    across, down = (np.abs(cv2.Sobel(grey, cv2.CV_16S, *order))[body].mean() for order in ((1, 0), (0, 1)))
    return {
        "folds_across": math.log1p(float(across)),
        "folds_down": math.log1p(float(down)),
        "brightness": float(np.asarray(grey)[body].mean()) / 255,
    }
