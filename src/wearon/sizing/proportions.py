"""What a picture from the front and one from the side tell alike: where joints lie, how the camera was held.

Lengths are logarithms of shares of the silhouette's height, so that a scaled picture has the same values.
"""

import math

import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose
from wearon.sizing.silhouette import INSIDE, Array, Axis, middle

LEG_PLACES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Where legs and trousers are looked at, of the way from the hips to the ankles."""

_SMALLEST = 0.003
"""Share of the height below which a length is noise."""

_PAIRS = {
    "shoulder_joints": (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
    "hip_joints_apart": (Joint.LEFT_HIP, Joint.RIGHT_HIP),
    "ears_apart": (Joint.LEFT_EAR, Joint.RIGHT_EAR),
    "eyes_apart": (Joint.LEFT_EYE, Joint.RIGHT_EYE),
    "mouth": (Joint.MOUTH_LEFT, Joint.MOUTH_RIGHT),
}
_HEIGHTS = {
    "eyes": (Joint.LEFT_EYE, Joint.RIGHT_EYE),
    "nose": (Joint.NOSE, Joint.NOSE),
    "shoulders": (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
    "hips": (Joint.LEFT_HIP, Joint.RIGHT_HIP),
    "knees": (Joint.LEFT_KNEE, Joint.RIGHT_KNEE),
    "ankles": (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
    "heels": (Joint.LEFT_HEEL, Joint.RIGHT_HEEL),
    "toes": (Joint.LEFT_TOE, Joint.RIGHT_TOE),
}
_LIMBS = {
    "upper_arms_long": ((Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW), (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW)),
    "forearms_long": ((Joint.LEFT_ELBOW, Joint.LEFT_WRIST), (Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST)),
    "feet_long": ((Joint.LEFT_HEEL, Joint.LEFT_TOE), (Joint.RIGHT_HEEL, Joint.RIGHT_TOE)),
}
_DEPTHS = {
    "nose": (Joint.NOSE, Joint.NOSE),
    "shoulders": (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER),
    "knees": (Joint.LEFT_KNEE, Joint.RIGHT_KNEE),
    "ankles": (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
}


def proportions(pose: Pose, axis: Axis, down: Array, ends: tuple[float, float]) -> dict[str, float]:
    """Places and lengths of joints; `ends` are the silhouette's highest and lowest place along `down`."""
    height = max(ends[1] - ends[0], 1.0)
    places = joint_places(pose, down)
    found = {f"{name}_down": share((place - ends[0]) / height) for name, place in places.items()}
    found["trunk_long"] = share(axis.length / height)
    found["toes_below"] = (places["toes"] - places["heels"]) / height
    for name, (one, other) in _PAIRS.items():
        found[name] = share(distance(pose, one, other) / height)
    for name, limbs in _LIMBS.items():
        found[name] = share(max(distance(pose, *limb) for limb in limbs) / height)
    depths = pose.landmarks[:, 2] * (pose.width / height)
    found |= {f"{name}_deep": float(depths[list(pair)].mean()) for name, pair in _DEPTHS.items()}
    # Where the person stands in the picture, and how large: tells how the camera was tilted.
    found["fills_picture"] = height / pose.height
    found["hips_in_picture"], found["feet_in_picture"] = places["hips"] / pose.height, ends[1] / pose.height
    found["least_visible"] = float(pose.landmarks[Joint.LEFT_SHOULDER :, 3].min())
    inside, nearly = float((pose.mask >= INSIDE).sum()), float(((pose.mask > 0.1) & (pose.mask < 0.9)).sum())
    found["edge_soft"] = math.log(max(nearly, 1.0) / height)
    found["area"] = math.log(max(inside, 1.0) / height**2)
    return {**found, **_skeleton(pose)}


def _skeleton(pose: Pose) -> dict[str, float]:
    """Lengths in the network's own three dimensions, which know about perspective."""
    bones = pose.skeleton
    height = max(float(bones[[Joint.LEFT_HEEL, Joint.RIGHT_HEEL], 1].mean() - bones[Joint.NOSE, 1]), 0.2)
    trunk = (
        bones[Joint.LEFT_SHOULDER] + bones[Joint.RIGHT_SHOULDER] - bones[Joint.LEFT_HIP] - bones[Joint.RIGHT_HIP]
    ) / 2
    lengths = {
        "shoulders": bones[Joint.LEFT_SHOULDER] - bones[Joint.RIGHT_SHOULDER],
        "hips": bones[Joint.LEFT_HIP] - bones[Joint.RIGHT_HIP],
        "ears": bones[Joint.LEFT_EAR] - bones[Joint.RIGHT_EAR],
        "trunk": trunk,
    }
    found = {f"bones_{name}": share(float(np.linalg.norm(bone)) / height) for name, bone in lengths.items()}
    return {**found, "bones_height": math.log(height)}


def leg_breadths(pose: Pose, height: float, reach: float) -> dict[str, float]:
    """How broad the silhouette is, both legs together, down to the ankles; `reach` limits how far to each side."""
    hips = middle(pose, Joint.LEFT_HIP, Joint.RIGHT_HIP)
    way = middle(pose, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE) - hips
    found = {}
    for place in LEG_PLACES:
        x, y = hips + way * place
        row = int(min(max(y, 0), pose.height - 1))
        columns = slice(max(0, int(x - reach * height)), max(1, int(x + reach * height)))
        part: NDArray[np.float32] = pose.mask[max(row - 2, 0) : row + 3, columns]
        found[f"legs_{place * 100:.0f}"] = share(float((part >= INSIDE).sum()) / max(len(part), 1) / height)
    return found


def share(value: float) -> float:
    """Logarithm of a share, held where it becomes noise."""
    return math.log(max(value, _SMALLEST))


def joint_places(pose: Pose, down: Array) -> dict[str, float]:
    """How far along `down` eyes, nose, shoulders, hips, knees, ankles, heels and toes are, in pixels."""
    return {name: float(middle(pose, *pair) @ down) for name, pair in _HEIGHTS.items()}


def distance(pose: Pose, one: Joint, other: Joint) -> float:
    """How far apart two joints are, in pixels."""
    return math.dist(pose.point(one), pose.point(other))
