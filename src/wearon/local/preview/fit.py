"""Which place of a garment comes to which place of a body: shoulders to shoulders, hem to hips, cuffs to wrists."""

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.local.preview.body import CHEST_LEVEL, Arm, Body, Floats, Mask
from wearon.local.preview.cutout import Cutout, disc
from wearon.local.preview.layers import Layer, sampled, splat
from wearon.local.preview.shape import Shape, Sleeve, inside_of_back

_EASE = 1.07
"""How much wider than the body clothes are where they must cover it (and what was worn below)."""
_SHOULDER_SEAM = 0.60
"""Of the breadth between the shoulder joints: how far from the axis a sleeve is set in. The joints lie inside."""
_STRAP = 0.47
"""Of that breadth: how far out the outer edge of a strap lies on a garment without sleeves."""
_DRESS_FROM = 1.5
"""Level of the natural hem from which a garment is long: it ends between thigh and ankle, not at the hips."""
_TOP_HEMS = (1.17, 1.4)
"""Levels between which a top ends: it should cover the hem of what is worn below."""
_DRESS_HEMS = (1.6, 2.1)
"""Levels between which a dress ends: from the middle of the thigh to below the knee."""
_LONG_DRESS_FROM = 2.9
"""Level of the natural hem from which a dress is a long one."""
_LONG_DRESS_HEMS = (2.9, 3.1)
"""Ankles are at about 3.3."""
_ARMPITS = (0.2, 0.42)
"""Levels between which an armpit can be; the body's own is at about 0.3."""
_NECK = 0.34
"""Of the breadth between the shoulder joints: from there outwards clothes lie on the shoulders."""
_OVERLAP = 0.015
"""Levels by which they stand off there."""
_MOST_LIFT = 0.12
"""Levels by which its upper edge is moved at most to lie there."""
_LONG_SLEEVE = 0.5
"""Of the garment's length from shoulder to hem: a longer sleeve goes to the wrist."""
_WRIST = 0.98
_SHORTEST_SLEEVE = 0.22
"""Of the arm's length: where long sleeves end, and the shortest."""
_DENSITY = 2.2
"""Samples per pixel in each direction, so that none is missed where a sleeve widens."""


class Fit:
    """Which place of the garment comes to which place of the body."""

    def __init__(self, body: Body, shape: Shape, hidden: Mask) -> None:
        self._body = body
        self._shape = shape
        seam = (_SHOULDER_SEAM if any(shape.sleeves) else _STRAP) * body.shoulder_breadth
        shoulder = seam / max(shape.half_width(shape.shoulder_row), 1.0)
        left, right = body.trunk_edges(np.array([CHEST_LEVEL]))
        chest = _EASE * float(left[0] + right[0]) / 2 / max(shape.half_width(shape.armpit_row), 1.0)
        self._shoulder_scale = shoulder
        self.scale = float(np.clip(chest, 0.9 * shoulder, 1.3 * shoulder))
        """Pixels of the picture per pixel of the cut-out."""
        shoulder_level = (body.shoulder_level(-seam, hidden) + body.shoulder_level(seam, hidden)) / 2
        self._rows, self._levels = self._lengthwise(shoulder_level)
        self._stretches = self._sideways()
        self._lift = self._onto_shoulders(seam, hidden)

    def _lengthwise(self, shoulder_level: float) -> tuple[Floats, Floats]:
        """Rows of the garment and the levels they come to."""
        shape, per_level = self._shape, self._body.trunk_length
        step = self.scale / per_level
        armpit = float(np.clip(shoulder_level + step * (shape.armpit_row - shape.shoulder_row), *_ARMPITS))
        hem = armpit + step * (shape.hem_row - shape.armpit_row)
        hem = float(np.clip(hem, *_hems_like(hem)))
        top = shoulder_level - step * shape.shoulder_row
        rows = np.array([0.0, shape.shoulder_row, shape.armpit_row, shape.hem_row])
        levels = np.array([top, shoulder_level, armpit, hem])
        keep = np.concatenate([[True], np.diff(rows) > 0])
        return rows[keep], levels[keep]

    def _row_at(self, levels: Floats) -> Floats:
        """Goes on beyond both ends at the scale there, so that soft edges are not smeared out."""
        rows, known = self._rows, self._levels
        step = self._body.trunk_length / self.scale
        return np.asarray(
            np.interp(levels, known, rows)
            + np.minimum(levels - known[0], 0) * step
            + np.maximum(levels - known[-1], 0) * step
        )

    def _level_at(self, row: float) -> float:
        return float(np.interp(row, self._rows, self._levels))

    def _sideways(self) -> tuple[Floats, Floats, Floats]:
        """Levels, and how much the garment is widened left and right of its middle at each."""
        shape, body = self._shape, self._body
        levels = np.linspace(self._levels[0], self._levels[-1], 160)
        # The corners of a hem are round: not what is to be widened.
        rows = np.minimum(self._row_at(levels), 0.93 * shape.hem_row)
        index = np.arange(len(shape.left))
        own = (
            shape.middle - np.interp(rows, index, shape.left),
            np.interp(rows, index, shape.right) - shape.middle,
        )
        shoulder, armpit = self._level_at(shape.shoulder_row), self._level_at(shape.armpit_row)
        plain = np.interp(levels, (shoulder, armpit), (self._shoulder_scale, self.scale))
        # From the chest down the garment must cover the trunk; above it straps and neck keep their cut.
        duty = np.interp(levels, (armpit - 0.05, max(armpit, CHEST_LEVEL)), (0.0, 1.0))
        stretches = []
        for mine, trunk in zip(own, body.trunk_edges(levels), strict=True):
            needed = _EASE * trunk / np.maximum(mine, 1.0)
            wanted = np.clip(np.maximum(plain, needed), plain, 1.7 * plain)
            stretches.append(_smoothed(plain + duty * (wanted - plain), 6.0))
        return levels, stretches[0], stretches[1]

    def _onto_shoulders(self, seam: float, hidden: Mask) -> tuple[Floats, Floats]:
        """Places across, and by how many levels the garment's upper edge is lowered there to lie on the shoulders."""
        shape, body = self._shape, self._body
        places, lifts = [], []
        for across in np.linspace(-0.95, 0.95, 25) * seam:
            row = shape.top_row(shape.middle + across / self._shoulder_scale)
            beside_neck = abs(across) > _NECK * body.shoulder_breadth
            if (
                beside_neck
                and row is not None
                and row < shape.shoulder_row + 0.4 * (shape.armpit_row - shape.shoulder_row)
            ):
                places.append(across)
                lifts.append(body.shoulder_level(across, hidden) - _OVERLAP - self._level_at(row))
        if not places:
            return np.zeros(1), np.zeros(1)
        return np.array(places), np.clip(_smoothed(np.array(lifts), 1.5), -_MOST_LIFT, _MOST_LIFT)

    def _lifted(self, across: Floats, level: Floats) -> Floats:
        armpit = self._level_at(self._shape.armpit_row)
        share = np.clip((armpit - level) / max(armpit - self._levels[0], 1e-6), 0, 1)
        return np.asarray(level - share * np.interp(across, *self._lift))

    def place(self, point: Floats) -> Floats:
        """Where a point of the garment's torso comes to lie in the picture."""
        level = self._level_at(float(point[1]))
        levels, left, right = self._stretches
        across = float(point[0]) - self._shape.middle
        across *= float(np.interp(level, levels, left if across < 0 else right))
        lifted = float(self._lifted(np.array(across), np.array(level)))
        level += level - lifted
        return np.asarray(self._body.to_picture(np.array([across]), np.array([level]))[0])

    def torso(self, garment: Cutout) -> Layer:
        """The garment without its sleeves."""
        across, level = self._body.places
        levels, left, right = self._stretches
        stretch = np.where(across < 0, np.interp(level, levels, left), np.interp(level, levels, right))
        columns = self._shape.middle + across / stretch
        rows = self._row_at(self._lifted(across, level))
        # A little of the sleeves stays on, so that no gap opens at the seams.
        torso = cv2.dilate(self._shape.torso.astype(np.uint8), disc(4)).astype(np.float32)
        neck = cv2.dilate(inside_of_back(garment, self._shape).astype(np.uint8), disc(2)).astype(np.float32)
        alpha = garment.alpha * cv2.GaussianBlur(torso * (1 - neck), (0, 0), 1.0)
        layer = sampled(garment.colour, alpha, columns, rows)
        return Layer(layer.colour * self._roundness(across, level)[..., None], layer.alpha)

    def _roundness(self, across: Floats, level: Floats) -> NDArray[np.float32]:
        """Shade towards both sides, as on something round."""
        levels, *_ = self._stretches
        left, right = self._body.trunk_edges(levels)
        half = np.where(across < 0, np.interp(level, levels, left), np.interp(level, levels, right))
        return np.asarray(1 - 0.22 * np.clip(np.abs(across) / np.maximum(half * _EASE, 1), 0, 1) ** 3, dtype=np.float32)

    def sleeve(self, garment: Cutout, sleeve: Sleeve, arm: Arm) -> Layer:
        """A sleeve, drawn along the arm: both of its edges follow the arm's."""
        end = self._sleeve_end(sleeve, arm)
        # An arm that is guessed to reach far out of the picture is no reason to draw for minutes.
        reach = min(end * arm.length, float(max(self._body.inside.shape)))
        steps = np.linspace(0.0, 1.12, max(2, round(_DENSITY * reach)))
        outer_from, inner_from = self._sleeve_edges(sleeve, arm, steps)
        outer_to, inner_to = self._arm_edges(sleeve, arm, steps * end * arm.length)
        breadth = min(float(np.linalg.norm(outer_to - inner_to, axis=1).max()), self._body.trunk_length)
        t: Floats = np.linspace(-0.15, 1.15, round(1.3 * _DENSITY * breadth))[None, :, None]
        source: Floats = outer_from[:, None] * (1 - t) + inner_from[:, None] * t
        target: Floats = outer_to[:, None] * (1 - t) + inner_to[:, None] * t
        piece = cv2.dilate(sleeve.inside.astype(np.uint8), disc(2)).astype(np.float32)
        alpha = garment.alpha * cv2.GaussianBlur(piece, (0, 0), 1.0)
        strip = sampled(garment.colour, alpha, source[..., 0], source[..., 1])
        shade = (1 - 0.22 * np.abs(2 * t - 1) ** 3).astype(np.float32)
        return splat(Layer(strip.colour * shade, strip.alpha), target, self._body.inside.shape)

    def crosses(self, sleeve: Sleeve, arm: Arm) -> bool:
        """Whether the sleeve's end is in front of the trunk."""
        return self._body.crosses(arm, self._sleeve_end(sleeve, arm) * arm.length)

    def _sleeve_end(self, sleeve: Sleeve, arm: Arm) -> float:
        """Where the sleeve ends, as a share of the arm's length."""
        if sleeve.length > _LONG_SLEEVE * (self._shape.hem_row - self._shape.shoulder_row):
            return _WRIST
        return float(np.clip(self.scale * sleeve.length / arm.length, _SHORTEST_SLEEVE, _WRIST))

    def _sleeve_edges(self, sleeve: Sleeve, arm: Arm, steps: Floats) -> tuple[Floats, Floats]:
        """(n, 2) each: the outer and the inner edge in the cut-out, from the armhole on."""
        outer, inner = (sleeve.left_edge, sleeve.right_edge)[:: -arm.side]
        return (
            self._edge_from(sleeve, outer, sleeve.shoulder, steps),
            self._edge_from(sleeve, inner, sleeve.armpit, steps),
        )

    @staticmethod
    def _edge_from(sleeve: Sleeve, polynomial: Floats, start: Floats, steps: Floats) -> Floats:
        first = float((start - sleeve.origin) @ sleeve.along)
        u = first + steps * (sleeve.length - first)
        points = sleeve.origin + u[:, None] * sleeve.along + np.polyval(polynomial, u)[:, None] * sleeve.across
        return np.asarray(points + _fading(steps)[:, None] * (start - points[0]))

    def _arm_edges(self, sleeve: Sleeve, arm: Arm, distances: Floats) -> tuple[Floats, Floats]:
        """(n, 2) each: where the outer and the inner edge come to lie in the picture."""
        radius = np.maximum(
            _smoothed(self._body.arm_radius(arm, distances), 12.0) * 1.15, 0.8 * self.scale * sleeve.half_width()
        )
        outwards = arm.outwards(distances)
        axis = arm.at(distances)
        result = []
        # On the inner side a little more, which the torso covers: no gap may open between the two.
        for sign, start in ((1.0, sleeve.shoulder), (-1.15, sleeve.armpit)):
            points = axis + sign * radius[:, None] * outwards
            offset = self.place(start) - points[0]
            result.append(points + _fading(distances / max(distances[-1], 1.0))[:, None] * offset)
        return result[0], result[1]


def _hems_like(natural: float) -> tuple[float, float]:
    """The levels between which a garment of that natural hem ends: large sizes are wider, not as much longer."""
    if natural < _DRESS_FROM:
        return _TOP_HEMS
    return _DRESS_HEMS if natural < _LONG_DRESS_FROM else _LONG_DRESS_HEMS


def _fading(steps: Floats) -> Floats:
    """1 at the armhole, 0 from a third of the sleeve on."""
    x = np.clip(1 - steps / 0.4, 0, 1)
    smooth: Floats = x * x * (3 - 2 * x)
    return smooth


def _smoothed(values: Floats, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(values[None].astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred[0], dtype=np.float64)
