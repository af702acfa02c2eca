"""The person's body as a frame to dress: where shoulders, trunk and arms are, in pixels of the picture.

Left and right are the picture's, not the person's: then a person seen from behind is dressed like any other.
A level is a place along the trunk in units of its length: 0 at the shoulder joints, 1 at the hip joints, about 2 at
the knees.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

INSIDE = 0.5
"""A pixel is the person's when the mask says so more likely than not."""

CHEST_LEVEL = 0.45
"""Below the armpits: above it the silhouette is shoulders and upper arms."""

_HIGHEST_SHOULDER, _USUAL_SHOULDER = 0.25, 0.1
"""How far above the joints' level the shoulders' upper side can be, and is."""

_LEFT_ARM = (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_INDEX)
_RIGHT_ARM = (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_INDEX)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """An arm's axis."""

    joints: Floats
    """(4, 2): shoulder, elbow, wrist, index finger."""
    side: int
    """-1 on the picture's left, +1 on its right."""
    behind: bool
    """Whether the hand is behind the body."""

    @property
    def length(self) -> float:
        """From shoulder to wrist."""
        return max(float(np.linalg.norm(np.diff(self.joints[:3], axis=0), axis=1).sum()), 1.0)

    def at(self, distances: Floats) -> Floats:
        """(n, 2): points on the axis, by distance from the shoulder."""
        lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(self.joints, axis=0), axis=1))])
        return np.stack([np.interp(distances, lengths, self.joints[:, axis]) for axis in (0, 1)], axis=-1)

    def outwards(self, distances: Floats) -> Floats:
        """(n, 2): unit vectors to the outer side of the arm: away from the trunk when it hangs."""
        # Over a stretch, so that the elbow bends instead of breaking.
        reach = 0.15 * self.length
        along = self.at(distances + reach) - self.at(np.maximum(distances - reach, 0))
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        return np.asarray(self.side * np.stack([along[:, 1], -along[:, 0]], axis=-1))


class Body:
    """The frame of one person's body."""

    def __init__(self, pose: Pose) -> None:
        self.pose = pose
        left_is_left = pose.point(Joint.LEFT_SHOULDER)[0] <= pose.point(Joint.RIGHT_SHOULDER)[0]
        arms = (_LEFT_ARM, _RIGHT_ARM) if left_is_left else (_RIGHT_ARM, _LEFT_ARM)
        hips = (Joint.LEFT_HIP, Joint.RIGHT_HIP) if left_is_left else (Joint.RIGHT_HIP, Joint.LEFT_HIP)
        self.arms = (self._arm(arms[0], -1), self._arm(arms[1], 1))
        self.shoulders = np.array([arm.joints[0] for arm in self.arms])
        self.hips = np.array([pose.point(joint) for joint in hips])
        self._ankles = np.array([pose.point(joint) for joint in (Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE)])
        self.origin = self.shoulders.mean(axis=0)
        trunk = self.hips.mean(axis=0) - self.origin
        self.trunk_length = max(float(np.linalg.norm(trunk)), 1.0)
        self.along = trunk / self.trunk_length
        self.across = np.array([self.along[1], -self.along[0]])
        self._slopes = (self._slope(self.shoulders), self._slope(self.hips))

    @cached_property
    def shoulder_breadth(self) -> float:
        """Between the shoulder joints, in pixels. Of a person turned aside at least what the trunk's length says."""
        return max(float(np.linalg.norm(self.shoulders[1] - self.shoulders[0])), 0.3 * self.trunk_length)

    @cached_property
    def inside(self) -> Mask:
        """The silhouette as a mask."""
        return np.asarray(self.pose.mask > INSIDE)

    @cached_property
    def places(self) -> tuple[Floats, Floats]:
        """(height, width) each: every pixel's place across the trunk and its level."""
        height, width = self.inside.shape
        y, x = np.mgrid[:height, :width].astype(np.float64)
        return self.to_frame(x, y)

    def to_frame(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Pixels to places on the trunk: across (pixels from its axis, to the right) and level.

        The level follows the tilt of the shoulders and of the hips, and goes over from one to the other.
        """
        dx, dy = x - self.origin[0], y - self.origin[1]
        across = dx * self.across[0] + dy * self.across[1]
        straight = (dx * self.along[0] + dy * self.along[1]) / self.trunk_length
        return across, straight - self._slope_at(straight) * across / self.trunk_length

    def to_picture(self, across: Floats, level: Floats) -> Floats:
        """Places on the trunk to pixels (n, 2)."""
        straight = level + self._slope_at(level) * across / self.trunk_length
        return np.asarray(
            self.origin + across[:, None] * self.across + straight[:, None] * self.trunk_length * self.along
        )

    def trunk_edges(self, levels: Floats) -> tuple[Floats, Floats]:
        """How far the trunk reaches left and right of its axis (both positive) at each level, without the arms."""
        usable = np.maximum(levels, CHEST_LEVEL)
        limit = 1.1 * self.shoulder_breadth
        steps = np.arange(0.0, limit, 1.0)
        return tuple(self._reach(self._trunk, sign * steps, usable) for sign in (-1.0, 1.0))  # type: ignore[return-value]

    def shoulder_level(self, across: float, hidden: Mask) -> float:
        """The level of the shoulders' upper side so far from the axis; joints lie under the skin.

        What is `hidden` (by hair) does not count as shoulder.
        """
        levels = np.linspace(0.05, -_HIGHEST_SHOULDER, 60)
        values = self._values(self.inside & ~hidden, np.full(levels.shape, across), levels)
        return -_USUAL_SHOULDER if values.all() or not values[0] else float(levels[np.argmin(values)])

    def arm_radius(self, arm: Arm, distances: Floats) -> Floats:
        """Half the arm's thickness, by distance from the shoulder; seen on its outer side, where no trunk is."""
        usual = 0.16 * self.shoulder_breadth
        steps = np.arange(0.0, 2.2 * usual, 1.0)
        places = arm.at(distances)[:, None] + arm.outwards(distances)[:, None] * steps[:, None]
        values = _sampled(self.inside, places[..., 0], places[..., 1])
        reach = np.where(values.all(axis=1), usual, steps[np.argmin(values, axis=1)])
        return np.clip(reach, 0.5 * usual, 2 * usual)

    def arm_zone(self, arm: Arm, *, start: float = 0.0, end: float | None = None, ease: float = 1.0) -> Mask:
        """The arm between `start` and `end` (of its length; None: the fingertips), `ease` times as thick as it is."""
        canvas = np.zeros(self.inside.shape, dtype=np.uint8)
        hand = float(np.linalg.norm(arm.joints[3] - arm.joints[2]))
        # The model's finger point is the middle of the index finger.
        stop = arm.length + 2.0 * hand if end is None else end * arm.length
        distances = np.arange(start * arm.length, stop, 2.0)
        radius = self.arm_radius(arm, np.minimum(distances, arm.length)) * ease
        beyond = np.maximum(distances - arm.length - hand, 0)[:, None] * self._hand_direction(arm)
        for (x, y), r in zip((arm.at(distances) + beyond).tolist(), radius.tolist(), strict=True):
            cv2.circle(canvas, (round(x), round(y)), max(1, round(r)), (1.0,), -1)
        return np.asarray((canvas > 0) & self.inside)

    @cached_property
    def beside_trunk(self) -> Mask:
        """The part of the silhouette that is left and right of the trunk."""
        across, levels = self.places
        steps = np.linspace(-0.5, 3.0, 140)
        left, right = self.trunk_edges(steps)
        edge = np.where(across < 0, np.interp(levels, steps, left), np.interp(levels, steps, right))
        return np.asarray(self.inside & (np.abs(across) > edge))

    def crosses(self, arm: Arm, distance: float) -> bool:
        """Whether the arm, so far from the shoulder, is in front of the trunk."""
        x, y = arm.at(np.array([distance]))[0]
        across, level = self.to_frame(x, y)
        left, right = self.trunk_edges(np.array([float(level)]))
        edge = float((left if arm.side < 0 else right)[0])
        return not arm.behind and 0 < float(level) < 1.2 and arm.side * float(across) < 0.85 * edge

    @cached_property
    def _trunk(self) -> Mask:
        trunk = self.inside.copy()
        for arm in self.arms:
            trunk &= ~self.arm_zone(arm, start=0.3, ease=1.1)
        # No gap between the legs: what is worn over them spans it.
        corners = np.concatenate([self.hips, self._ankles]).astype(np.int32)
        legs = np.asarray(cv2.convexHull(corners))
        trunk |= cv2.fillConvexPoly(np.zeros(trunk.shape, dtype=np.uint8), legs, (1.0,)) > 0
        return trunk

    def _arm(self, joints: tuple[Joint, ...], side: int) -> Arm:
        points = np.array([self.pose.point(joint) for joint in joints])
        depth = self.pose.landmarks[:, 2]
        hips = float(depth[[Joint.LEFT_HIP, Joint.RIGHT_HIP]].mean())
        # z has about the scale of x: a fifth of the picture's width behind the hips is behind the back.
        return Arm(points, side, behind=bool(depth[joints[2]] > hips + 0.2))

    @staticmethod
    def _hand_direction(arm: Arm) -> Floats:
        hand = arm.joints[3] - arm.joints[2]
        return np.asarray(hand / max(float(np.linalg.norm(hand)), 1e-6))

    def _slope(self, pair: Floats) -> float:
        """How much lower the right one of a pair is, per pixel across."""
        step = pair[1] - pair[0]
        return float(np.clip(step @ self.along / max(abs(float(step @ self.across)), 1.0), -0.5, 0.5))

    def _slope_at(self, level: Floats) -> Floats:
        return np.asarray(np.interp(level, (0.0, 1.0), self._slopes))

    def _reach(self, silhouette: Mask, steps: Floats, levels: Floats) -> Floats:
        across = np.broadcast_to(steps, (len(levels), len(steps)))
        values = self._values(silhouette, across, np.broadcast_to(levels[:, None], across.shape))
        values[:, -1] = False
        return np.asarray(np.abs(steps)[np.argmin(values, axis=1)])

    def _values(self, silhouette: Mask, across: Floats, levels: Floats) -> Mask:
        places = self.to_picture(np.ravel(across), np.ravel(levels)).reshape(*np.shape(across), 2)
        return _sampled(silhouette, places[..., 0], places[..., 1])


def _sampled(silhouette: Mask, x: Floats, y: Floats) -> Mask:
    height, width = silhouette.shape
    columns, rows = np.round(x).astype(int), np.round(y).astype(int)
    there = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return np.asarray(there & silhouette[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)])
