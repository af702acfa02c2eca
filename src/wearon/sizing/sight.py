"""What photos show, view by view: who is measured in them, from where, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from wearon.pictures.decode import PictureError, decode
from wearon.pose import Detector, Joint, Pose
from wearon.sizing.coach import SMALLEST_TRUNK, Scene, inspect, second_thoughts
from wearon.sizing.features import features
from wearon.sizing.measure import Front, read_front, read_side
from wearon.sizing.reader import Observation
from wearon.sizing.refusal import NoPerson, RefusalCode
from wearon.sizing.request import EstimateRequest
from wearon.sizing.side import SideSighting, is_side_view, look_from_the_side
from wearon.sizing.silhouette import INSIDE, Pixels
from wearon.sizing.warnings import WarningCode

PHOTO_EDGE = 512
"""Pixels of the longer side. The pose networks look at 256; the silhouette's edges gain nothing from more."""

MOST_LEAN = np.radians(25)
"""From the side: a trunk that leans further is bent."""

_EVERY_ROW = 8
"""Rows between those that are compared: which half is lighter shows in sixty of them."""

_DARK = 90
"""Mean of all pixels below which a picture without a person is looked at once more, lightened."""
_LIGHTENED = 150


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo and the people found in it, the largest first."""

    picture: Image.Image
    pixels: Pixels
    poses: Sequence[Pose]

    @property
    def is_from_the_side(self) -> bool:
        """Whether it shows a person from the side."""
        return bool(self.poses) and is_side_view(self.poses[0])


@dataclass(frozen=True, slots=True)
class FrontView:
    """A person measured from the front."""

    photo: Photo
    scene: Scene
    front: Front
    warnings: tuple[WarningCode, ...]


@dataclass(frozen=True, slots=True)
class SideView:
    """A person measured from the side."""

    photo: Photo
    pose: Pose
    sighting: SideSighting
    said: Observation


def open_photo(detector: Detector, data: bytes) -> Photo:
    """Decode a photo and find the people in it. Raises PictureError when the bytes are not a picture."""
    picture = decode(data, PHOTO_EDGE)
    pixels = np.asarray(picture)
    mirrored = seen_mirrored(pixels)
    poses = people_in(detector, np.asarray(cv2.flip(pixels, 1), dtype=np.uint8) if mirrored else pixels)
    # OpenCV's flip: numpy's copy of reversed pixels takes 1 ms, this one 0.02.
    return Photo(picture, pixels, [pose.mirrored() for pose in poses] if mirrored else poses)


def open_side(detector: Detector, data: bytes) -> Photo | None:
    """The photo from the side, or None when it is no picture: that never costs the answer from the front."""
    try:
        return open_photo(detector, data)
    except PictureError:
        return None


def people_in(detector: Detector, pixels: Pixels) -> list[Pose]:
    """Everybody in a picture; a dark one without anybody is looked at once more, lightened."""
    poses = detector.detect(pixels)
    brightness = float(pixels.mean())
    if poses or brightness > _DARK:
        return poses
    return detector.detect(np.asarray(cv2.convertScaleAbs(pixels, alpha=_LIGHTENED / max(brightness, 1.0)), np.uint8))


def seen_mirrored(pixels: Pixels) -> bool:
    """Whether it is the mirror image of this picture (height, width, 3) that the pose networks are shown.

    They see a picture otherwise than its mirror image, which front cameras make of it. Both readings are as good, and
    of 13 % of people they give another size: so one and the same of the two is always looked at, the one whose right
    half is the lighter.
    """
    middle = pixels.shape[1] // 2
    rows = pixels[::_EVERY_ROW]
    left, right = (sum(cv2.sumElems(half)) for half in (rows[:, :middle], rows[:, -middle:]))
    return left > right


def from_the_front(photo: Photo, request: EstimateRequest) -> FrontView:
    """Measure the person in it. Raises NoPerson when nobody can be measured."""
    scene = inspect(photo.poses, photo.pixels, request)
    values = features(scene.sighting, scene.frame, request.height_cm)
    front = read_front(values, scene.frame, doubt=scene.doubt)
    warnings = dict.fromkeys([*scene.warnings, *second_thoughts(front, scene.warnings)])
    return FrontView(photo, scene, front, tuple(warnings))


def from_the_side(photo: Photo) -> SideView:
    """Measure the person in it. Raises NoPerson when it does not show a whole person from the side."""
    if not photo.poses:
        raise NoPerson(RefusalCode.NO_PERSON)
    pose = photo.poses[0]
    if not is_side_view(pose):
        raise NoPerson(RefusalCode.NOT_UPRIGHT)
    feet = float(pose.landmarks[[Joint.LEFT_TOE, Joint.RIGHT_TOE, Joint.LEFT_HEEL, Joint.RIGHT_HEEL], 1].max())
    if feet >= 1.0 or (pose.mask[[0, 1, -2, -1]] >= INSIDE).any():
        raise NoPerson(RefusalCode.BODY_OUT_OF_FRAME)
    sighting = look_from_the_side(pose, photo.pixels)
    if abs(sighting.axis.tilt) > MOST_LEAN or sighting.axis.length < SMALLEST_TRUNK or not _has_depth(sighting):
        raise NoPerson(RefusalCode.NOT_UPRIGHT)
    return SideView(photo, pose, sighting, read_side(sighting.traits))


def _has_depth(sighting: SideSighting) -> bool:
    trunk = slice(20, 110)
    return bool(((sighting.front + sighting.back)[trunk] > 0).all())


def apart(front: Observation, side: Observation) -> float:
    """Standard errors between what both views say: large when they show different people."""
    off = front.mean - side.mean
    distance = off @ np.linalg.solve(front.covariance + side.covariance, off)
    return float(np.sqrt(distance / len(off)))
