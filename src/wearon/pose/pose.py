"""What the pose model finds: one person's joints and silhouette."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Joint(IntEnum):
    """Rows of `Pose.landmarks` (BlazePose's 33 points). Left and right are the person's own."""

    NOSE = 0
    LEFT_EYE = 2
    RIGHT_EYE = 5
    LEFT_EAR = 7
    RIGHT_EAR = 8
    MOUTH_LEFT = 9
    MOUTH_RIGHT = 10
    LEFT_SHOULDER = 11
    RIGHT_SHOULDER = 12
    LEFT_ELBOW = 13
    RIGHT_ELBOW = 14
    LEFT_WRIST = 15
    RIGHT_WRIST = 16
    LEFT_PINKY = 17
    RIGHT_PINKY = 18
    LEFT_INDEX = 19
    RIGHT_INDEX = 20
    LEFT_HIP = 23
    RIGHT_HIP = 24
    LEFT_KNEE = 25
    RIGHT_KNEE = 26
    LEFT_ANKLE = 27
    RIGHT_ANKLE = 28
    LEFT_HEEL = 29
    RIGHT_HEEL = 30
    LEFT_TOE = 31
    RIGHT_TOE = 32


_OTHER_SIDE = [0, 4, 5, 6, 1, 2, 3, *(point + 1 if point % 2 else point - 1 for point in range(7, 33))]
"""The counterpart of each of BlazePose's points: left is odd and right is even, but for the eyes."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person in one picture.

    Points outside the picture are guessed by the model: x and y leave 0..1 there and the visibility is low.
    """

    landmarks: "NDArray[np.float32]"
    """(33, 4): x, y in 0..1 of width and height, z (about the scale of x, smaller is nearer), visibility 0..1."""
    mask: "NDArray[np.float32]"
    """(height, width): how surely each pixel belongs to this person, 0..1."""
    width: int
    height: int
    world: "NDArray[np.float32] | None" = None
    """(33, 3): the joints in metres from the middle of the hips, as the model imagines them in space; x to the right of
    the picture, y down. None for a pose that no model found."""

    @property
    def skeleton(self) -> "NDArray[np.float32]":
        """The joints in space (33, 3): in metres, or flat, in heights of the picture, when no model imagined them."""
        if self.world is not None:
            return self.world
        flat = self.landmarks[:, :3].copy()
        flat[:, 0] *= self.width / self.height
        flat[:, 2] = 0
        return flat

    def point(self, joint: Joint) -> tuple[float, float]:
        """The joint's place in pixels (x to the right, y down)."""
        # item: an estimate asks for some eighty points, and a slice of an array costs four times as much.
        return self.landmarks.item(joint, 0) * self.width, self.landmarks.item(joint, 1) * self.height

    def visibility(self, joint: Joint) -> float:
        """How surely the joint can be seen, 0..1."""
        return self.landmarks.item(joint, 3)

    def mirrored(self) -> "Pose":
        """This person as seen in the picture's mirror image."""
        landmarks = self.landmarks[_OTHER_SIDE]
        landmarks[:, 0] = 1 - landmarks[:, 0]
        world = None
        if self.world is not None:
            world = self.world[_OTHER_SIDE]
            world[:, 0] = -world[:, 0]
        return Pose(landmarks, self.mask[:, ::-1].copy(), self.width, self.height, world)
