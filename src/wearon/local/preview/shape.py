"""Where a cut-out garment has its shoulders, armpits, hem and sleeves: read off its outline.

A sleeve is what sticks out above a deep dent in the outline (the armpit) and points sideways or down. A skirt flares
*below* its dent, the waist: that is not one.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.local.preview.cutout import Cutout, Mask, disc

Floats = NDArray[np.float64]

_DENT = 0.04
"""Of the garment's height: shallower dents are folds."""
_OVERHANG = 0.08
"""Of the garment's width: what sticks out less is a cap or a fold, and stays with the torso."""
_NECKLINE = 0.28
"""Of the garment's height from the top: where the inside of its back can be seen through the neck's opening."""
_IN_SHADE = 0.72
"""Of the garment's lightness: the inside lies in the shade of the front."""
_COLLAR = 0.016
"""Of the garment's height: half the thickness up to which something dark at the neck is a collar or a seam."""
_STEEPEST = 0.7
"""Sideways per upward pixel from armpit to cuff. A sleeve that is laid out flat points at most a little upwards; from
a waist to the bust it is 0.3."""


@dataclass(frozen=True, slots=True, eq=False)
class Sleeve:
    """One sleeve, as seen along its own axis: `along` pixels from the armhole, `across` to the picture's right."""

    inside: Mask
    shoulder: Floats
    """Where its seam meets the shoulder: x, y in the cut-out."""
    armpit: Floats
    origin: Floats
    """The middle of the armhole."""
    along: Floats
    """Unit vector to the cuff."""
    length: float
    left_edge: Floats
    """Polynomial: how far across the left edge is, by pixels along."""
    right_edge: Floats

    @property
    def across(self) -> Floats:
        """Unit vector at right angles to the axis; to the right when the sleeve hangs down."""
        return np.array([self.along[1], -self.along[0]])

    def half_width(self) -> float:
        """In the middle of its length."""
        middle = self.length / 2
        return float(np.polyval(self.right_edge, middle) - np.polyval(self.left_edge, middle)) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The parts of a garment. Rows and columns are pixels of the cut-out."""

    torso: Mask
    """The garment without its sleeves."""
    left: Floats
    """For each row: where the torso's left edge is."""
    right: Floats
    middle: float
    """The column of its axis."""
    shoulder_row: float
    armpit_row: float
    sleeves: tuple[Sleeve | None, Sleeve | None]
    """The one on the picture's left, the one on its right."""

    @property
    def hem_row(self) -> float:
        """The last row."""
        return float(self.torso.shape[0] - 1)

    def top_row(self, column: float) -> float | None:
        """The first row of the torso in a column; None beside it."""
        inside = self.torso[:, min(max(round(column), 0), self.torso.shape[1] - 1)]
        return float(inside.argmax()) if inside.any() else None

    def half_width(self, row: float) -> float:
        """Half the torso's width in a row."""
        rows = np.arange(len(self.left))
        return float(np.interp(row, rows, self.right) - np.interp(row, rows, self.left)) / 2


def shape_of(cutout: Cutout) -> Shape:
    """Find the parts of a garment."""
    inside = np.asarray(cutout.alpha > 0.5)
    sleeves = (_sleeve(inside, side=-1), _sleeve(inside, side=1))
    torso = inside.copy()
    for sleeve in sleeves:
        if sleeve is not None:
            torso &= ~sleeve.inside
    left, right = _edges(torso)
    found = [sleeve for sleeve in sleeves if sleeve is not None]
    if found:
        shoulder_row = float(np.mean([sleeve.shoulder[1] for sleeve in found]))
        armpit_row = float(np.mean([sleeve.armpit[1] for sleeve in found]))
    else:
        shoulder_row, armpit_row = _strap_rows(right - left)
    below = slice(round(armpit_row), None)
    middle = float(np.mean((left[below] + right[below]) / 2))
    return Shape(torso, left, right, middle, shoulder_row, armpit_row, sleeves)


def inside_of_back(cutout: Cutout, shape: Shape) -> Mask:
    """What shows of the back's inside in the neck's opening, which on a person would be behind the neck.

    Darker than the garment, hanging together with the middle of its upper edge, and not just a seam or a collar.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(cutout.colour, (0, 0), 2.0), cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0].astype(np.float32)
    rows, columns = np.mgrid[: cutout.height, : cutout.width]
    usual = float(np.median(lightness[shape.torso & (rows > shape.armpit_row)]))
    opening = 0.8 * shape.half_width(shape.shoulder_row)
    dark = shape.torso & (lightness < _IN_SHADE * usual)
    dark &= (rows < _NECKLINE * cutout.height) & (np.abs(columns - shape.middle) < opening)
    thickness = max(2, round(_COLLAR * cutout.height))
    # With room above: OpenCV takes the border of a picture for the inside of what touches it.
    roomy = np.pad(dark, ((2 * thickness, 0), (0, 0))).astype(np.uint8)
    opened = cv2.morphologyEx(roomy, cv2.MORPH_OPEN, disc(thickness))[2 * thickness :]
    _, pieces = cv2.connectedComponents(opened)
    column = round(shape.middle)
    first = int(shape.torso[:, column].argmax())
    labels = pieces[first : first + 4 * thickness, column]
    labels = labels[labels > 0]
    core = np.isin(pieces, labels[:1]).astype(np.uint8)
    found = dark & (cv2.dilate(core, disc(2 * thickness)) > 0)  # with the corners that opening rounds off
    # A collar's widest spot is not an opening.
    return found if found.any(axis=0).sum() > 0.6 * opening else np.zeros_like(dark)


def _edges(torso: Mask) -> tuple[Floats, Floats]:
    filled = torso.any(axis=1)
    rows = np.arange(len(torso))
    left = np.interp(rows, rows[filled], torso.argmax(axis=1)[filled])
    right = np.interp(rows, rows[filled], (torso.shape[1] - 1 - torso[:, ::-1].argmax(axis=1))[filled])
    return left, right


def _strap_rows(widths: Floats) -> tuple[float, float]:
    """Shoulder and armpit of a garment without sleeves: where straps are as wide apart as they get, and the bust."""
    top = widths[: max(2, round(0.08 * len(widths)))]
    shoulder = int(np.argmax(top >= 0.9 * top.max()))
    upper = widths[: round(0.35 * len(widths))]
    armpit = int(np.argmax(upper >= 0.97 * upper.max()))
    return float(shoulder), float(max(armpit, shoulder + 1))


def _sleeve(inside: Mask, side: int) -> Sleeve | None:
    """The sleeve on the picture's left (side -1) or right (+1)."""
    dent = _armpit_and_cuff(inside, side)
    if dent is None:
        return None
    armpit, cuff = dent
    column = np.flatnonzero(inside[:, armpit[0]])
    shoulder = np.array([armpit[0], column[0]])
    piece = _cut_off(inside, shoulder, armpit, cuff)
    if piece is None:
        return None
    return _measured(piece, shoulder.astype(float), armpit.astype(float))


def _armpit_and_cuff(inside: Mask, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    defects = cast(
        "NDArray[np.int32] | None",  # which OpenCV's stubs do not say
        cv2.convexityDefects(contour, cv2.convexHull(contour, returnPoints=False)),
    )
    height, width = inside.shape
    best, best_depth = None, _DENT * height
    for start, end, far, depth in () if defects is None else defects.tolist():
        # OpenCV walks the outline from the top over the left side: there a dent starts at its upper end.
        armpit, cuff = contour[far, 0], contour[start if side < 0 else end, 0]
        outwards, upwards = side * (cuff[0] - armpit[0]), armpit[1] - cuff[1]
        on_this_side = side * (armpit[0] - width / 2) > 0
        points_out = outwards > _OVERHANG * width and outwards > _STEEPEST * upwards
        if on_this_side and points_out and depth / 256 > best_depth:
            best, best_depth = (armpit.astype(np.intp), cuff.astype(np.intp)), depth / 256
    return best


def _cut_off(inside: Mask, shoulder: NDArray[np.intp], armpit: NDArray[np.intp], cuff: NDArray[np.intp]) -> Mask | None:
    """What comes off on the cuff's side when the garment is cut from shoulder to armpit."""
    canvas = inside.astype(np.uint8)
    over = 3  # pixels: the cut must leave no bridge at its ends
    cv2.line(canvas, (int(shoulder[0]), int(shoulder[1]) - over), (int(armpit[0]), int(armpit[1]) + over), (0.0,), 2)
    _, pieces = cv2.connectedComponents(canvas, connectivity=4)
    near_cuff = pieces[max(0, cuff[1] - 6) : cuff[1] + 7, max(0, cuff[0] - 6) : cuff[0] + 7]
    labels = near_cuff[near_cuff > 0].astype(np.intp)
    if labels.size == 0:
        return None
    piece = np.asarray(pieces == np.bincount(labels).argmax())
    return piece if piece.sum() < 0.4 * inside.sum() else None


def _measured(piece: Mask, shoulder: Floats, armpit: Floats) -> Sleeve | None:
    origin = (shoulder + armpit) / 2
    rows, columns = np.nonzero(piece)
    offsets = np.stack([columns, rows], axis=-1) - origin
    distances = np.linalg.norm(offsets, axis=1)
    far = offsets[distances >= np.quantile(distances, 0.9)].mean(axis=0)
    along = far / np.linalg.norm(far)
    across = np.array([along[1], -along[0]])
    u, v = offsets @ along, offsets @ across
    length = float(np.quantile(u, 0.995))
    # Where the ends are cut askew only one edge is there: fit both where the sleeve is whole.
    bins = np.linspace(0.15 * length, 0.8 * length, 13)
    slots = np.digitize(u, bins)
    middles, lows, highs = [], [], []
    for slot in range(1, len(bins)):
        here = v[slots == slot]
        if here.size:
            middles.append((bins[slot - 1] + bins[slot]) / 2)
            lows.append(here.min())
            highs.append(here.max())
    if len(middles) < 3:
        return None  # a tip, too short to have edges
    return Sleeve(
        inside=piece,
        shoulder=shoulder,
        armpit=armpit,
        origin=origin,
        along=along,
        length=length,
        left_edge=np.polyfit(middles, lows, 2),
        right_edge=np.polyfit(middles, highs, 2),
    )
