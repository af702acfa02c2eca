"""A garment's picture becomes the garment alone: cut out of its plain background.

    NoCutout   there is nothing in the picture that stands out from a plain background

The background is what the border shows, as a smooth field (lamps and vignettes make it uneven). What resembles it and
can be reached from the border is background; what clearly differs, or lies deep inside, is garment; of the rest (its
shadow, and the blur of the edge) the watershed decides, which draws the line where the picture changes most: a shadow
is soft, an edge is not. Runs in a pose process: it imports OpenCV.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

WORK_EDGE = 640
"""Pixels of the longer side. On a person 1024 pixels high a garment is at most half as large."""

_SMALLEST_EDGE = 16
"""Pixels: with less there is nothing to recognise."""
_BORDER = 0.03
"""Of the shorter side: the frame that is taken for background."""
_NEAR = 4.5
"""CIELAB units (100 from black to white) that noise and JPEG change a plain background by; plus twice its spread."""
_CLEARLY_COLOURED, _OF_ITS_COLOUR = 8.0, 0.3
"""Difference in a and b that no shadow makes: a shadow changes lightness and tints a little, more of a coloured
background: by a part of its colour."""
_CLEARLY_LIGHTER = 1.5
"""Times what is near the background: shadows do not lighten."""
_CLEARLY_DARKER = 42.0
"""Difference in lightness that is deeper than the shadow of something that lies on its background."""
_SENSITIVITIES = (1.0, 3.0)
"""A second, finer look at white on white; finer at once would take the background's own blotches for something."""
_SHREDS = 0.35
"""Solidity below which it is not a garment that was found."""
_SPECK = 0.05
"""Of the largest piece: smaller ones are dirt, price tags and shadows. A pair (shoes, earrings) stays."""
_HOLE = 0.006
"""Of the garment's area: smaller spots of the background's colour are buttons and prints."""


class NoCutout(ValueError):
    """Nothing stands out from the background, or everything does."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A thing without its background, cropped to its outline."""

    colour: NDArray[np.uint8]
    """(height, width, 3) RGB. Goes on a little beyond the outline, so that no background shines through its edge."""
    alpha: Floats
    """(height, width), 0..1."""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.alpha.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.alpha.shape[1])


def cut_out(picture: Image.Image, *, worn: bool = True) -> Cutout:
    """The thing in an RGB picture with a plain background, at most `WORK_EDGE` pixels long.

    Of something `worn` a spot in the middle that looks like background is a print; of other things (a bag's handle)
    every such spot is a hole. Raises NoCutout.
    """
    if min(picture.size) < _SMALLEST_EDGE:
        raise NoCutout("the picture is too small")
    small = picture.copy()
    small.thumbnail((WORK_EDGE, WORK_EDGE), Image.Resampling.LANCZOS)
    rgb = np.asarray(small.convert("RGB"))
    lab = _smooth_lab(rgb)
    for sensitivity in _SENSITIVITIES:
        inside = _inside(lab, sensitivity, worn=worn)
        if 0.01 < inside.mean() < 0.97 and _solidity(inside) > _SHREDS:
            return _cropped(_unstained(rgb, inside), _soft(inside))
    raise NoCutout("nothing stands out from a plain background")


def _inside(lab: Floats, sensitivity: float, *, worn: bool) -> Mask:
    background = _background(lab)
    difference = lab - background
    lightness = difference[..., 0]
    # In shadow a coloured background loses colour as it loses lightness.
    shaded = background[..., 1:] * np.clip(lab[..., :1] / np.maximum(background[..., :1], 1), 0, 1)
    colour = np.linalg.norm(lab[..., 1:] - shaded, axis=-1)
    nearness = _nearness(difference) / sensitivity
    near = np.hypot(lightness, colour) < nearness
    reached = _reached_from_border(near & ~_edges(lab, sensitivity))
    tint = _CLEARLY_COLOURED + _OF_ITS_COLOUR * np.linalg.norm(background[..., 1:], axis=-1)
    clear = (colour > tint) | (lightness < -_CLEARLY_DARKER) | (lightness > _CLEARLY_LIGHTER * nearness)
    inside = _divide(lab, reached, clear)
    filled = _filled(without_specks(inside, _SPECK))
    return filled & ~_holes(filled, near, clear, worn=worn) if filled.any() else filled


def _solidity(inside: Mask) -> float:
    """Its share of the convex outline around it: 0.6 and more for clothes, little for a rim of shadow."""
    if not inside.any():
        return 0.0
    hull = cv2.convexHull(cv2.findNonZero(inside.astype(np.uint8)))
    return float(inside.sum()) / max(cv2.contourArea(hull), 1.0)


def _smooth_lab(rgb: NDArray[np.uint8]) -> Floats:
    # A median takes away noise and JPEG's ringing, and leaves edges where they are.
    lab = cv2.cvtColor(cv2.medianBlur(rgb, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab, dtype=np.float32)


def _background(lab: Floats) -> Floats:
    """The background's colour everywhere: a quadratic surface through the border, without what is not like the rest."""
    height, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)
    border = _border(lab.shape[:2])
    samples, values = terms[border][::3], lab[border][::3]  # neighbours say the same
    # A garment that is cut off by the frame is a part of the border, but the smaller one: start at the median.
    keep = np.linalg.norm(values - np.median(values, axis=0), axis=1) < 15
    surface = np.zeros((terms.shape[-1], 3), dtype=np.float32)
    for _ in range(3):
        surface = np.linalg.lstsq(samples[keep], values[keep], rcond=None)[0].astype(np.float32)
        errors = np.linalg.norm(values - samples @ surface, axis=1)
        keep = errors < max(3.0, 2.5 * float(np.median(errors)))
    return np.asarray(terms @ surface, dtype=np.float32)


def _border(shape: tuple[int, ...]) -> Mask:
    depth = max(2, round(_BORDER * min(shape)))
    border = np.ones(shape, dtype=np.bool_)
    border[depth:-depth, depth:-depth] = False
    return border


def _nearness(difference: Floats) -> float:
    errors = np.linalg.norm(difference[_border(difference.shape[:2])], axis=1)
    return _NEAR + 2 * float(np.median(errors))


def _edges(lab: Floats, sensitivity: float) -> Mask:
    """Where something ends, be it as pale as its background: fine lines, with their small gaps closed."""
    lightness = np.clip(lab[..., 0] * 2.55, 0, 255).astype(np.uint8)
    lines = cv2.Canny(cv2.GaussianBlur(lightness, (0, 0), 1.5), 8 / sensitivity, 20 / sensitivity)
    return np.asarray(cv2.morphologyEx(lines, cv2.MORPH_CLOSE, disc(4)) > 0)


def _reached_from_border(free: Mask) -> Mask:
    """The pieces of `free` that touch the frame."""
    _, pieces = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
    frame = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    return np.isin(pieces, np.setdiff1d(frame, [0]))


def _divide(lab: Floats, background: Mask, clear: Mask) -> Mask:
    """Draw the line between garment and background in the zone that is neither for certain."""
    unknown = cv2.morphologyEx((~background).astype(np.uint8), cv2.MORPH_OPEN, disc(2))
    depth = np.asarray(cv2.distanceTransform(unknown, cv2.DIST_L2, 5), dtype=np.float32)
    certain = _eroded(clear & ~background, 2)
    if certain.sum() < 0.4 * unknown.sum():
        certain |= _deep_inside(depth)
    markers = np.zeros(background.shape, dtype=np.int32)
    markers[_eroded(background, 1)] = 1
    markers[_border(background.shape) & ~clear] = 1
    markers[certain] = 2
    image = np.clip(lab * (2.55, 1, 1) + (0, 128, 128), 0, 255).astype(np.uint8)
    divided = cv2.watershed(image, markers)
    return np.asarray(divided == 2)


def _deep_inside(depth: Floats) -> Mask:
    """What is pale or grey all over has its shadow around it, not within: the middle of every part of it is certain.

    `depth`: pixels to the background.
    """
    deepest = float(depth.max())
    around = cv2.dilate(depth, disc(max(1, round(0.35 * deepest))))
    return np.asarray((depth > 0.55 * around) & (depth > 0.18 * deepest))


def without_specks(mask: Mask, share: float) -> Mask:
    """The mask without pieces smaller than that share of the largest one."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc(1))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return np.zeros_like(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(pieces, 1 + np.flatnonzero(areas >= share * areas.max()))


def _filled(inside: Mask) -> Mask:
    return np.asarray(inside | ~_reached_from_border(~inside))


def _holes(filled: Mask, near: Mask, clear: Mask, *, worn: bool) -> Mask:
    """Where one sees through: what looks like background, with something around that clearly does not."""
    holes = np.zeros_like(filled)
    count, pieces, stats, centres = cv2.connectedComponentsWithStats((filled & near).astype(np.uint8))
    columns = np.flatnonzero(filled.any(axis=0))
    middle, width = (columns[0] + columns[-1]) / 2, columns[-1] - columns[0]
    large = stats[:, cv2.CC_STAT_AREA] > _HOLE * filled.sum()
    possible = large & (np.abs(centres[:, 0] - middle) > (width / 5 if worn else -1))
    for piece in range(1, count):
        if possible[piece]:
            here = pieces == piece
            around = cv2.dilate(here.astype(np.uint8), disc(8)) > cv2.dilate(here.astype(np.uint8), disc(3))
            if clear[around].mean() > 0.6:
                holes |= here
    return holes


def _soft(inside: Mask) -> Floats:
    """0..1, falling within the outline: the outermost pixel is half background."""
    blurred = cv2.GaussianBlur(_eroded(inside, 1).astype(np.float32), (0, 0), 1.2)
    return np.asarray(blurred, dtype=np.float32)


def _unstained(rgb: NDArray[np.uint8], inside: Mask) -> NDArray[np.uint8]:
    """The picture with the garment's own colours carried over its edge, where background is mixed in."""
    trusted = _eroded(inside, 3).astype(np.float32)
    weight = cv2.GaussianBlur(trusted, (0, 0), 3)
    spread = (
        cv2.GaussianBlur(rgb.astype(np.float32) * trusted[..., None], (0, 0), 3) / np.maximum(weight, 1e-4)[..., None]
    )
    replace = (trusted == 0) & (weight > 1e-3)
    result = rgb.copy()
    result[replace] = np.clip(np.round(spread[replace]), 0, 255).astype(np.uint8)
    return result


def _cropped(colour: NDArray[np.uint8], alpha: Floats) -> Cutout:
    rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.5), np.flatnonzero(alpha.max(axis=0) > 0.5)
    if rows.size == 0:
        raise NoCutout("nothing stands out from a plain background")
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Cutout(colour[box], alpha[box])


def _eroded(mask: Mask, pixels: int) -> Mask:
    return np.asarray(cv2.erode(mask.astype(np.uint8), disc(pixels)) > 0)


def disc(radius: int) -> NDArray[np.uint8]:
    """A round brush for OpenCV's morphology."""
    size = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)
