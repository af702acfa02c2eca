"""The outline of a person, seen along the trunk: how far it reaches to both sides of the body's axis.

The axis runs through the middles of the shoulder and hip joints. A level is a place on it in units of that distance:
0 at the shoulders, 1 at the hip joints, about 1.8 at the knees. All lengths are in pixels of the measured picture;
"left" and "right" are the picture's.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose

INSIDE = 0.5
"""A pixel belongs to the person when the mask says so more likely than not."""

GAP = 0.97
"""Where the mask dips below this between trunk and arm there is a gap, though perhaps one narrower than the mask can
show (its network works on 256 x 256 pixels); inside a body the mask is 1.0 throughout."""

NEAREST_GAP = 0.4
"""Of the distance from the axis to the arm's bone: nearer to the axis the trunk never ends."""

MAX_REACH = 1.6
"""How far to both sides the silhouette is followed, in the trunk's lengths: an arm's."""

REFINE_REACH = 5.0
REFINE_SIGMA = 2.5
"""Pixels around the mask's edge within which the picture's own edge is looked for, and how much farther ones are
discounted: one pixel of the mask network is 2 to 3 pixels here."""

LEAK = 0.025
"""Of the trunk's length: how much farther out one side may reach than the other, beyond a body that is off the axis.
Where background of the body's colour is taken for body, one side bulges. Cross-validated, 0.02 to 0.03 read waist and
hip best (0.1 cm better than no limit); below 0.015 it cuts into real bodies, which are turned and stand unevenly."""
_UNEVEN_BETWEEN = (0.3, 1.15)
"""Levels that tell how far the body is off the axis: below the armpits, above the legs' parting."""

BETWEEN_LEGS = (1.03, 1.17)
LEGS_APART = 0.15
"""Levels at which hips and seat are measured though the legs may have parted there, and how far from the axis their
inner sides are at most, of the trunk's length: the body goes on beyond that gap. Further down the trunk ends in it."""

_ARMS = (
    (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_INDEX),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_INDEX),
)
_EDGE_PIXELS = 3
_SIDES = np.array([-1.0, 1.0])

Point = tuple[float, float]
Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axis:
    """The trunk's axis in pixels: from the middle of the shoulders to the middle of the hips."""

    start: Array
    along: Array
    """Unit vector towards the hips."""
    length: float

    @property
    def tilt(self) -> float:
        """How far from upright, in radians: positive when the hips are right of the shoulders."""
        return float(np.arctan2(self.along[0], self.along[1]))

    @property
    def across(self) -> Array:
        """Unit vector to the picture's right (when the person stands upright)."""
        return np.array([self.along[1], -self.along[0]], dtype=np.float64)

    def at(self, level: float, offset: float = 0.0) -> Point:
        """The point `offset` pixels to the right of the axis at a level."""
        x, y = self.start + self.along * (level * self.length) + self.across * offset
        return float(x), float(y)

    def places(self, levels: Array, offsets: Array) -> tuple[Map, Map]:
        """x and y (2, levels, offsets) to the left and the right; `offsets` broadcasts to (2, levels, offsets)."""
        outwards = (_SIDES[:, None, None] * offsets).astype(np.float32)
        downwards = (levels[None, :, None] * self.length).astype(np.float32)
        x, y = (
            np.float32(self.start[i]) + np.float32(self.along[i]) * downwards + np.float32(self.across[i]) * outwards
            for i in (0, 1)
        )
        return x, y


@dataclass(frozen=True, slots=True)
class Profile:
    """The silhouette along the axis. Arrays are (2, levels): left, right; in pixels from the axis, outwards."""

    levels: Array
    trunk: Array
    """Where the trunk ends, arms left out."""
    outer: Array
    """Where the silhouette ends that the axis runs through, with the arms that touch it."""
    joined: NDArray[np.bool_]
    """Whether the arm touches the trunk there, as far as the mask can tell."""
    hidden: NDArray[np.bool_]
    """Where it touches without any gap to be seen: the trunk's edge is then a guess from the arm's thickness."""
    bulge: float
    """How far one side stuck out before that was cut off, on average, of the trunk's length: background that was
    taken for body, or something held before it."""

    def breadth(self, lowest: float, highest: float) -> float:
        """The trunk's mean breadth between two levels."""
        part = self.trunk[:, self.between(lowest, highest)]
        return float(part.sum() / part.shape[1])

    def between(self, lowest: float, highest: float) -> slice:
        """Which levels (they ascend) lie in the closed range."""
        first, end = (int(self.levels.searchsorted(level)) for level in (lowest - 1e-6, highest + 1e-6))
        return slice(first, end)


def trunk_axis(pose: Pose) -> Axis:
    """The axis through the middles of the shoulder and hip joints."""
    shoulders = middle(pose, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER)
    hips = middle(pose, Joint.LEFT_HIP, Joint.RIGHT_HIP)
    length = max(float(np.hypot(*(hips - shoulders))), 1e-6)
    return Axis(shoulders, (hips - shoulders) / length, length)


def middle(pose: Pose, left: Joint, right: Joint) -> Array:
    """The point half way between two joints, in pixels."""
    (x, y), (other_x, other_y) = pose.point(left), pose.point(right)
    return np.array([(x + other_x) / 2, (y + other_y) / 2])


def profile(pose: Pose, pixels: Pixels, axis: Axis, levels: Array) -> Profile:
    """Follow the silhouette along the axis, and sharpen its edges with those of the picture itself."""
    offsets = np.arange(0.0, min(MAX_REACH * axis.length, _farthest(pose, axis, levels) + 2))
    values = sample(pose.mask, axis.places(levels, offsets))
    _close_legs(values, levels, int(LEGS_APART * axis.length))
    outer = first_below(values, np.full(values.shape[:2], INSIDE))
    bones = _arm_offsets(pose, axis, levels)
    joined = (outer > 0) & (outer >= bones)  # False where there is no arm: bones is NaN
    trunk, unseen = outer.copy(), np.zeros_like(joined)
    trunk[joined], unseen[joined] = _without_arms(values[joined], offsets, outer[joined], bones[joined])
    edges = to_picture_edges(pixels, axis, levels, trunk)
    even = without_leaks(edges, levels, LEAK * axis.length)
    bulge = float((edges - even)[:, _telling(levels)].mean()) / axis.length
    return Profile(levels, even, outer, joined, unseen, bulge)


def _farthest(pose: Pose, axis: Axis, levels: Array) -> float:
    """Pixels from the axis within which all of the silhouette at these levels lies: a box around it tells."""
    reach = MAX_REACH * axis.length
    ends = [axis.at(level, side)[1] for level in (levels[0], levels[-1]) for side in (-reach, reach)]
    top, bottom = (min(max(int(end), 0), pose.height) for end in (min(ends) - 1, max(ends) + 2))
    if top >= bottom:
        return 0.0
    columns = np.flatnonzero(cv2.reduce(pose.mask[top:bottom], 0, cv2.REDUCE_MAX)[0] >= INSIDE)
    if columns.size == 0:
        return 0.0
    corners = [(x, y) for x in (int(columns[0]), int(columns[-1]) + 1) for y in (top, bottom)]
    return float(np.abs((np.array(corners) - axis.start) @ axis.across).max())


def _close_legs(values: NDArray[np.float32], levels: Array, apart: int) -> None:
    """Fill the gap between the legs on the lines (2, levels, offsets) that hips and seat are measured on."""
    parting = (levels >= BETWEEN_LEGS[0] - 1e-6) & (levels <= BETWEEN_LEGS[1] + 1e-6)
    if apart >= values.shape[-1]:
        return
    parting = parting & (values[..., apart] >= INSIDE)
    values[parting, :apart] = np.maximum(values[parting, :apart], INSIDE)


def _without_arms(
    values: NDArray[np.float32], offsets: Array, outer: Array, bones: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Where the trunk ends on lines (n, offsets) on which an arm touches it, and whether no gap can be seen there."""
    nearest = NEAREST_GAP * bones
    # 1, which is no gap, nearer to the axis than a gap can be, and behind the bone.
    beyond = np.maximum(values, offsets < nearest[:, None])
    deepest = np.maximum(beyond, offsets > bones[:, None]).min(axis=1)
    # A gap's edge is half way down to its deepest place: for a wide one, that is where the mask is one half.
    gap = first_below(beyond, (1 + deepest) / 2)
    unseen = deepest >= GAP
    # Nothing to be seen of it: the arm is as thick inwards of its bone as outwards.
    return np.where(unseen, np.maximum(2 * bones - outer, nearest), gap), unseen


def without_leaks(trunk: Array, levels: Array, tolerance: float) -> Array:
    """The trunk (2, levels) with neither side farther out than the other one mirrored, and `tolerance` pixels.

    The mirror is the body's own middle, which may be off the axis by the joints' errors.
    """
    told = _telling(levels)
    off = _median(trunk[0, told] - trunk[1, told]) / 2
    shift = np.array([[-off], [off]])
    about_middle = trunk + shift
    result: Array = np.minimum(about_middle, about_middle[::-1] + tolerance) - shift
    return np.where(trunk > 0, np.maximum(result, 0.0), 0.0)


def _median(values: Array) -> float:
    """The median; numpy's takes ten times as long for so few."""
    ascending, half = np.sort(values), values.size // 2
    return float(ascending[half] if values.size % 2 else (ascending[half - 1] + ascending[half]) / 2)


def _telling(levels: Array) -> NDArray[np.bool_]:
    told: NDArray[np.bool_] = (levels >= _UNEVEN_BETWEEN[0]) & (levels <= _UNEVEN_BETWEEN[1])
    return told


def extent(pose: Pose, down: Array) -> tuple[float, float]:
    """The silhouette's highest and lowest place along the unit vector `down`, in pixels with fractions."""
    if abs(down[0]) > 1e-6:
        rows, columns = np.nonzero(pose.mask >= INSIDE)
        places = np.sort((columns + 0.5) * down[0] + (rows + 0.5) * down[1])
        if places.size <= 2 * _EDGE_PIXELS:
            return 0.0, 0.0
        return float(places[_EDGE_PIXELS - 1] - 0.5), float(places[-_EDGE_PIXELS] + 0.5)
    # Three pixels of mask in a row make an edge: single specks are the segmentation's noise.
    counts = (pose.mask >= INSIDE).view(np.uint8).sum(axis=1, dtype=np.uint16)
    inside = np.flatnonzero(counts >= _EDGE_PIXELS)
    if inside.size == 0:
        return 0.0, 0.0
    first, last, end = int(inside[0]), int(inside[-1]), pose.mask.shape[0]
    top = first - _edge_fraction(pose.mask[first], pose.mask[first - 1]) if first > 0 else 0.0
    bottom = last + _edge_fraction(pose.mask[last], pose.mask[last + 1]) if last + 1 < end else end - 1.0
    return top, bottom


def sample(image: NDArray[np.float32], places: tuple[Map, Map]) -> Map:
    """An image's values at places in pixels, bilinear; 0 outside it."""
    # A pixel's value stands for its centre. cv2 wants maps of two dimensions.
    x, y = (place.reshape(-1, place.shape[-1]) - np.float32(0.5) for place in places)
    values = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(values, dtype=np.float32).reshape(*places[0].shape, *image.shape[2:])


def _arm_offsets(pose: Pose, axis: Axis, levels: Array) -> Array:
    """How far out the bones of the arms lie at each level, (2, levels); NaN above the shoulder, below the fingers."""
    arms = []
    for joints in _ARMS:
        points = np.array([pose.point(joint) for joint in joints]) - axis.start
        arms.append((points @ axis.along / axis.length, points @ axis.across))
    # Seen from behind, the left arm is on the picture's left; sorted by where shoulder and elbow are.
    arms.sort(key=lambda arm: float(arm[1][:2].sum()))
    result = np.empty((2, len(levels)))
    for row, (places, offsets) in enumerate(arms):
        ascending = np.maximum.accumulate(places + np.arange(places.size) * 1e-6)
        result[row] = np.interp(levels, ascending, _SIDES[row] * offsets, left=np.nan, right=np.nan)
    result[result < 1.0] = np.nan  # crossed over to the other side: it says nothing about this one
    return result


def first_below(values: NDArray[np.float32], thresholds: Array) -> Array:
    """Along the last axis: where the values first fall below the threshold, with a fraction; 0 when at once."""
    below = values < thresholds[..., None]
    below[..., -1] = True
    index = below.argmax(axis=-1)
    places = np.arange(index.size).reshape(index.shape) * values.shape[-1] + index
    flat = values.ravel()
    before, after = flat[places - (index > 0)].astype(np.float64), flat[places].astype(np.float64)
    fraction = np.clip((before - thresholds) / np.maximum(before - after, 1e-6), 0.0, 1.0)
    result: Array = np.where(index == 0, 0.0, index - 1 + fraction)
    return result


def to_picture_edges(pixels: Pixels, axis: Axis, levels: Array, trunk: Array) -> Array:
    """Move each edge to the centre of the strongest change of colour near it."""
    steps = np.arange(-REFINE_REACH - 1, REFINE_REACH + 1.01, 0.5)
    x, y = axis.places(levels, trunk[..., None] + steps)
    # Only what lies around the edges is blurred, and two pixels more, so that the cut changes nothing.
    (left, right), (first, last) = _reach(x, pixels.shape[1]), _reach(y, pixels.shape[0])
    blurred = cv2.GaussianBlur(pixels[first:last, left:right], (3, 3), 0.7).astype(np.float32)
    colours = sample(blurred, (x - np.float32(left), y - np.float32(first)))
    # Over two pixels, around steps[2:-2].
    change = np.abs(colours[:, :, 4:] - colours[:, :, :-4]) @ np.ones(3, np.float32)
    around = steps[2:-2]
    weights = (change * np.exp(-0.5 * (around / REFINE_SIGMA) ** 2)) ** 2
    moved = (weights @ around) / np.maximum(weights.sum(axis=-1), 1e-6)
    result: Array = np.where(trunk > 0, trunk + moved, 0.0)
    return result


def _reach(places: Map, size: int) -> tuple[int, int]:
    """The first pixel that the places touch, and the one behind the last, with two more on both sides."""
    first = min(max(int(places.min() - 3), 0), size - 1)
    return first, min(max(int(places.max() + 4), first + 1), size)


def _edge_fraction(inside: NDArray[np.float32], outside: NDArray[np.float32]) -> float:
    """Where between a row inside and its neighbour outside the mask passes one half, 0..1."""
    within, beyond = (float(np.partition(row, -_EDGE_PIXELS)[-_EDGE_PIXELS]) for row in (inside, outside))
    return (within - INSIDE) / max(within - beyond, 1e-6)
