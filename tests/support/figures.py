"""Drawn people for the measuring code: a pose and a picture whose every length is known, without any model."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wearon.pose import Joint, Pose


@dataclass(frozen=True, slots=True)
class Figure:
    """A standing figure in units of its own height (1.0 is head top to soles); the defaults are average."""

    trunk: float = 0.185
    """Breadth from armpits to hips."""
    shoulders: float = 0.19
    """Distance of the shoulder joints."""
    arm_angle: float = 20.0
    """Degrees between upper arm and vertical."""
    pixels: float = 420.0
    """Height of the figure in the picture."""
    width: int = 320
    height: int = 512
    top: float = 40.0
    """Pixels from the picture's top to the head's."""
    centre: float = 0.5
    """Of the picture's width."""
    hem: float = 0.0
    """How far a top's hem stands off the hips, each side."""
    crotch: float = 0.56
    """How far down the legs part."""

    def draw(self) -> tuple[Pose, NDArray[np.uint8]]:
        """The pose, and the picture (height, width, 3) it is in."""
        canvas = np.zeros((self.height * 4, self.width * 4), np.uint8)
        self._trunk_and_legs(canvas)
        points = self._joints()
        for shoulder, elbow, wrist, hand in _ARMS:
            chain = np.array([points[joint] for joint in (shoulder, elbow, wrist, hand)])
            cv2.polylines(canvas, [self._pixels(chain)], False, (255,), self._thick(0.045))
        small = cv2.resize(canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)
        mask = small.astype(np.float32) / np.float32(255)
        landmarks = np.zeros((33, 4), np.float32)
        landmarks[:, 3] = 0.99
        for joint, (x, y) in points.items():
            landmarks[joint, 0] = self._x(x) / self.width
            landmarks[joint, 1] = self._y(y) / self.height
        picture = (200 - mask[..., None] * np.array([120, 90, 60])).astype(np.uint8)
        return Pose(landmarks, mask, self.width, self.height, self._skeleton(points)), picture

    def _skeleton(self, points: dict[Joint, tuple[float, float]]) -> NDArray[np.float32]:
        """The joints in metres, flat, as the network imagines an average body of which it sees this one."""
        bones = np.zeros((33, 3), np.float32)
        for joint, (x, y) in points.items():
            bones[joint, :2] = x * _METRES, (y - 0.48) * _METRES
        bones[[Joint.LEFT_HIP, Joint.RIGHT_HIP], 0] = 0.11, -0.11
        bones[[Joint.LEFT_EAR, Joint.RIGHT_EAR], 0] = 0.075, -0.075
        return bones

    def _trunk_and_legs(self, canvas: NDArray[np.uint8]) -> None:
        half, hip = self.trunk / 2, self.trunk / 2 + self.hem
        centre = self._pixels(np.array([[0.0, 0.075]]))[0].tolist()
        cv2.ellipse(canvas, centre, (self._thick(0.05), self._thick(0.075)), 0, 0, 360, (255,), -1)
        neck = [(-0.03, 0.1), (0.03, 0.1), (0.035, 0.16), (0.1, 0.175), (half, 0.25)]
        side = [(half, 0.4), (hip, 0.49), (half, 0.495), (half, 0.53), (half * 0.95, 0.7), (0.06, 0.99)]
        foot = [(0.02, 1.0), (0.015, self.crotch)]
        right = [*neck[2:], *side, *foot]
        outline = [neck[0], neck[1], *right, *[(-x, y) for x, y in reversed(right)]]
        cv2.fillPoly(canvas, [self._pixels(np.array(outline))], (255,))

    def _joints(self) -> dict[Joint, tuple[float, float]]:
        """Places of the joints; a person facing us has the left arm on the picture's right."""
        angle, half = np.radians(self.arm_angle), self.shoulders / 2
        joints: dict[Joint, tuple[float, float]] = {Joint.NOSE: (0.0, 0.09)}
        for sign, side in ((1, "LEFT"), (-1, "RIGHT")):
            places = {
                "EYE": (0.02, 0.07),
                "EAR": (0.042, 0.075),
                "MOUTH": (0.012, 0.105),
                "SHOULDER": (half, 0.19),
                "ELBOW": (half + 0.17 * np.sin(angle), 0.19 + 0.17 * np.cos(angle)),
                "WRIST": (half + 0.31 * np.sin(angle), 0.19 + 0.31 * np.cos(angle)),
                "INDEX": (half + 0.36 * np.sin(angle), 0.19 + 0.36 * np.cos(angle)),
                "HIP": (0.05, 0.48),
                "KNEE": (0.05, 0.71),
                "ANKLE": (0.05, 0.94),
                "HEEL": (0.05, 0.97),
                "TOE": (0.06, 0.985),
            }
            joints |= {_joint(side, name): (sign * x, y) for name, (x, y) in places.items()}
        return joints

    def _x(self, x: float) -> float:
        return self.centre * self.width + x * self.pixels

    def _y(self, y: float) -> float:
        return self.top + y * self.pixels

    def _thick(self, share: float) -> int:
        return round(share * self.pixels * 4)

    def _pixels(self, places: NDArray[np.float64]) -> NDArray[np.int32]:
        scaled = np.array([self.centre * self.width, self.top]) + places * self.pixels
        result: NDArray[np.int32] = np.round(scaled * 4).astype(np.int32)
        return result


_METRES = 1.65


def _joint(side: str, name: str) -> Joint:
    return Joint[f"MOUTH_{side}"] if name == "MOUTH" else Joint[f"{side}_{name}"]


_ARMS = (
    (Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_INDEX),
    (Joint.RIGHT_SHOULDER, Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_INDEX),
)
