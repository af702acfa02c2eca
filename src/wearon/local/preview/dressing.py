"""A cut-out garment is laid over the person, in the order in which things are in front of each other."""

import numpy as np
from numpy.typing import NDArray

from wearon.local.preview.body import Body
from wearon.local.preview.cutout import Cutout
from wearon.local.preview.fit import Fit
from wearon.local.preview.layers import Layer, bring_back, lay
from wearon.local.preview.shape import shape_of
from wearon.local.preview.skin import Pixels, Skin
from wearon.pose import Pose

Pixels8 = NDArray[np.uint8]
"""(height, width, 3) RGB."""

_BRIGHT = 190.0
"""Of 255: the brightest places of a picture that is not dark are brighter."""


def dress(pose: Pose, rgb: Pixels8, garment: Cutout) -> Pixels8:
    """The person of an RGB picture in the garment. Outside of garment and person the picture is as it was."""
    box = _surroundings(pose)
    result = rgb.copy()
    result[box] = _dressed(_cropped(pose, box), rgb[box].astype(np.float32), garment)
    return result


def _dressed(pose: Pose, rgb: Pixels, garment: Cutout) -> Pixels8:
    body = Body(pose)
    skin = Skin(body, rgb)
    shape = shape_of(garment)
    fit = Fit(body, shape, hidden=skin.head)
    garment = Cutout(_in_the_light_of(rgb, garment.colour), garment.alpha)
    cleared = skin.without_old_sleeves()
    canvas = cleared.copy()
    arms = np.zeros(body.inside.shape, dtype=np.float32)
    in_front: list[Layer] = []
    behind: list[Layer] = []
    for arm, sleeve in zip(body.arms, shape.sleeves, strict=True):
        bare = skin.arm_in_front(arm, sleeve=sleeve is not None).astype(np.float32)
        if sleeve is not None:
            layer = fit.sleeve(garment, sleeve, arm)
            bare *= 1 - layer.alpha
            (in_front if fit.crosses(sleeve, arm) else behind).append(layer)
        arms = np.maximum(arms, bare)
    for layer in (*behind, fit.torso(garment)):
        lay(canvas, layer, body)
    bring_back(canvas, cleared, arms)
    for layer in in_front:
        lay(canvas, layer, body)
    bring_back(canvas, rgb, skin.head.astype(np.float32))
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


def _in_the_light_of(rgb: Pixels, colour: Pixels8) -> Pixels8:
    """The garment as dark as a dark picture is; shops' pictures are bright."""
    brightest = float(np.quantile(rgb[::4, ::4].max(axis=-1), 0.97))
    return np.asarray(colour * np.clip(brightest / _BRIGHT, 0.3, 1.0), dtype=np.uint8)


def _surroundings(pose: Pose) -> tuple[slice, slice]:
    """The part of the picture that a garment can reach."""
    rows, columns = np.flatnonzero(pose.mask.max(axis=1) > 0.5), np.flatnonzero(pose.mask.max(axis=0) > 0.5)
    margin = round(0.2 * (rows[-1] - rows[0]))
    top, left = max(0, rows[0] - 16), max(0, columns[0] - margin)
    return slice(top, rows[-1] + 17), slice(left, columns[-1] + margin)


def _cropped(pose: Pose, box: tuple[slice, slice]) -> Pose:
    mask = pose.mask[box]
    height, width = mask.shape
    landmarks = pose.landmarks.copy()
    landmarks[:, 0] = (landmarks[:, 0] * pose.width - box[1].start) / width
    landmarks[:, 1] = (landmarks[:, 1] * pose.height - box[0].start) / height
    return Pose(landmarks, mask, width, height)
