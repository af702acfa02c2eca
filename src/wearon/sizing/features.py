"""What the fitted model looks at: a dozen lengths and proportions of one person in one picture.

Lengths are shares of the frame's unit: the part of the body in the picture that sets the scale. The model knows how
much of the stature that part is. So a scaled or mirrored picture has the same features, and a stated height that is
1 % more makes every girth 1 % more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from wearon.pose import Joint, Pose
from wearon.sizing.front import front_traits
from wearon.sizing.proportions import distance, joint_places
from wearon.sizing.silhouette import (
    INSIDE,
    Array,
    Axis,
    Pixels,
    Profile,
    extent,
    profile,
    sample,
    trunk_axis,
)

LEVELS = np.round(np.arange(0.0, 1.3, 0.01), 2)
"""Levels of the trunk axis at which the silhouette is looked at: shoulders to the upper thighs."""


MAX_LEAN = np.radians(6.0)
"""Twice what the axis of people who stand upright before a level camera leans, at most, for the joints' errors."""


class Frame(StrEnum):
    """How much of the body the picture shows, and so which part of it sets the scale."""

    FULL = "full"
    """Head top to the ground."""
    TO_KNEES = "to_knees"
    """Head top to knees."""
    TO_THIGHS = "to_thighs"
    """Head top to hips, the knees out of the picture."""
    NO_HEAD = "no_head"
    """Shoulders to ankles."""


BANDS: Mapping[str, tuple[float, float]] = {
    "chest": (0.35, 0.50),
    "ribs": (0.50, 0.55),
    "waist": (0.55, 0.70),
    "hip_joints": (0.90, 1.00),
    "hip": (1.03, 1.12),
    "seat": (1.13, 1.17),
}
"""Levels over which breadths are averaged. At the bust itself (level 0.2) the arms cover the trunk's edge; the chest
band is the highest where they are mostly clear of it."""

NATURAL_WAIST = (0.51, 0.84)
_UPPER_ARMS = (0.05, 0.15)
_DELTOIDS = (0.00, 0.06)
_HEM = (0.75, 1.17)
_ARMPITS = (0.05, 0.90)
_HEM_STEP = 3
"""Levels over which a hem's step is taken: 0.03 of the trunk, about 1.5 cm."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One person measured in pixels: all that features and warnings are made from."""

    axis: Axis
    profile: Profile
    top: float
    """Highest place of the silhouette; hair included."""
    bottom: float
    """Lowest place of the silhouette; shoes included."""
    heights: Mapping[str, float]
    """How far down eyes, nose, shoulders, hips, knees, ankles, heels and toes are, like `top` and `bottom`."""
    shoulder: float
    """Distance of the shoulder joints, as seen."""
    yaw: float
    """Turn of the body about its own axis, in radians; only its size is used."""
    ears: float
    hip_span: float
    """Distances of the ears and of the hip joints, as seen."""
    upper_arm: float
    forearm: float
    """Lengths of the longer one of both sides: an arm that reaches towards the camera only gets shorter."""
    thighs: float
    """Breadth of both thighs together, without what is between them."""
    skirt: float
    """Breadth over the hips' where the thighs end, when nothing shows between them; 0 when legs do."""
    camera_tilt: float
    """How far the toes are below the heels, in units of the axis: grows with the camera's height above the floor."""
    traits: Mapping[str, float]
    """What the model of whole pictures looks at besides (`wearon.sizing.front`)."""


def look(pose: Pose, pixels: Pixels) -> Sighting:
    """Measure the person in pixels. `pixels` is the picture (height, width, 3) that the pose was found in."""
    axis = trunk_axis(pose)
    outline = profile(pose, pixels, axis, LEVELS)
    down = upright(axis)
    top, bottom = extent(pose, down)
    heights = joint_places(pose, down)
    return Sighting(
        axis=axis,
        profile=outline,
        top=top,
        bottom=bottom,
        heights=heights,
        shoulder=distance(pose, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
        yaw=_yaw(pose),
        ears=distance(pose, Joint.LEFT_EAR, Joint.RIGHT_EAR),
        hip_span=distance(pose, Joint.LEFT_HIP, Joint.RIGHT_HIP),
        upper_arm=_longer(pose, (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW), (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW)),
        forearm=_longer(pose, (Joint.LEFT_ELBOW, Joint.LEFT_WRIST), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST)),
        thighs=_thighs(pose, axis, outline),
        skirt=garment_over_hips(pose, axis, _LOWER_THIGHS, max(outline.breadth(*BANDS["hip"]), 1.0)),
        camera_tilt=(heights["toes"] - heights["heels"]) / axis.length,
        traits=front_traits(pose, pixels, axis, outline, down, (top, bottom)),
    )


def upright(axis: Axis) -> Array:
    """The unit vector in which the body's heights are taken: downwards, or along the body when that is tilted.

    A few degrees of tilt of the trunk are a pose; more are a tilted camera.
    """
    if abs(axis.tilt) <= MAX_LEAN:
        return np.array([0.0, 1.0])
    return axis.along


def lengths(sighting: Sighting) -> dict[str, float]:
    """Breadths, and the arms' lengths, in pixels."""
    outline = sighting.profile
    found = {name: outline.breadth(*band) for name, band in BANDS.items()}
    narrowest = np.sort(outline.trunk[:, outline.between(*NATURAL_WAIST)].sum(axis=0))[:3]
    found["narrowest"] = float(narrowest.mean())
    found["upper_arms"] = float(outline.outer[:, outline.between(*_UPPER_ARMS)].sum(axis=0).mean())
    found["deltoids"] = float(outline.outer[:, outline.between(*_DELTOIDS)].sum(axis=0).mean())
    found["shoulder"] = sighting.shoulder / float(np.cos(sighting.yaw))
    found["thighs"] = sighting.thighs
    found["ears"], found["hip_span"] = sighting.ears, sighting.hip_span
    found["upper_arm"], found["forearm"] = sighting.upper_arm, sighting.forearm
    return found


def features(sighting: Sighting, frame: Frame, height_cm: float) -> dict[str, float]:
    """Inputs of the model by name: lengths as logarithms of their share of the stature, and pure numbers."""
    start, end = unit(sighting, frame)
    px = max(end - start, 1.0)
    found = {name: math.log(max(value / px, 0.01)) for name, value in lengths(sighting).items()}
    if frame is Frame.TO_THIGHS:
        del found["thighs"]
    for name in _PROPORTIONS[frame]:
        part = (sighting.heights[name] - start) / px
        found[f"{name}_at"] = math.log(min(max(part, 0.02), 2.0))
    found["hem"] = hem_step(sighting.profile) / px * 100
    found["arms_close"] = float(sighting.profile.hidden[:, sighting.profile.between(*_ARMPITS)].mean())
    found["yaw2"] = sighting.yaw**2
    found["height"] = math.log(height_cm)
    if frame in (Frame.FULL, Frame.NO_HEAD):
        found["camera_tilt"] = sighting.camera_tilt
    if frame is Frame.FULL:
        found |= {**sighting.traits, "skirt": sighting.skirt}
    return found


_PROPORTIONS = {
    Frame.FULL: ("nose", "shoulders", "hips", "knees"),
    Frame.TO_KNEES: ("nose", "shoulders", "hips"),
    Frame.TO_THIGHS: ("nose", "shoulders"),
    Frame.NO_HEAD: ("hips", "knees"),
}
"""Where joints lie between the unit's ends: the body's proportions and the camera's height both move them."""


def unit(sighting: Sighting, frame: Frame) -> tuple[float, float]:
    """How far down the two ends are of what sets the scale."""
    heights = sighting.heights
    return {
        Frame.FULL: (sighting.top, sighting.bottom),
        Frame.TO_KNEES: (sighting.top, heights["knees"]),
        Frame.TO_THIGHS: (sighting.top, heights["hips"]),
        Frame.NO_HEAD: (heights["shoulders"], heights["ankles"]),
    }[frame]


def hem_step(outline: Profile) -> float:
    """How far the silhouette steps inwards on both sides at once where a top may end, in pixels.

    A top that hangs off the body ends in a step; one that fits does not.
    """
    around = outline.trunk[:, outline.between(*_HEM)]
    return float((around[:, :-_HEM_STEP] - around[:, _HEM_STEP:]).min(axis=0).max())


def _yaw(pose: Pose) -> float:
    """From the depths that the pose model gives shoulders and hips."""
    turns = []
    for left, right in ((Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER), (Joint.LEFT_HIP, Joint.RIGHT_HIP)):
        across, _, depth, _ = (pose.landmarks[left] - pose.landmarks[right]).tolist()
        turns.append(math.atan2(depth, abs(across) + 1e-6))
    return min(max(sum(turns) / len(turns) * _YAW_PER_DEPTH, -_LARGEST_YAW), _LARGEST_YAW)


_YAW_PER_DEPTH = 0.42
"""The pose model's depths are on a scale of their own: regression on the known turns of the synthetic pictures."""
_LARGEST_YAW = 1.2
"""Radians. Beyond it nothing can be measured anyway, and the cosine stays away from zero."""


def _longer(pose: Pose, left: tuple[Joint, Joint], right: tuple[Joint, Joint]) -> float:
    return max(distance(pose, *left), distance(pose, *right))


def _thighs(pose: Pose, axis: Axis, outline: Profile) -> float:
    """Both thighs half way to the knees: all of the silhouette there that is not far outside the hips."""
    levels = np.arange(1.4, 1.5, 0.02)
    limit = 1.1 * max(outline.breadth(*BANDS["hip"]) / 2, 1.0)
    offsets = np.arange(0.25, limit, 0.5)
    inside: Array = np.clip((sample(pose.mask, axis.places(levels, offsets)) - INSIDE) * 4 + 0.5, 0, 1).astype(float)
    return float(inside.sum(axis=(0, 2)).mean()) * 0.5


def garment_over_hips(pose: Pose, axis: Axis, levels: Array, hips: float) -> float:
    """Breadth over the hips' of what hangs at these levels; 0 when it has a gap, as legs have."""
    offsets = np.arange(0.25, 0.8 * hips, 0.5)
    inside = sample(pose.mask, axis.places(levels, offsets)) >= INSIDE
    if not inside[:, :, offsets < 0.1 * hips].all():
        return 0.0
    ends = np.where(inside.all(axis=2), offsets.size, np.argmin(inside, axis=2)) * 0.5
    return float(np.median(ends.sum(axis=0)) / hips)


_LOWER_THIGHS = np.arange(1.4, 1.66, 0.02)
