"""A garment on somebody: a drawn person whose joints are known, without the pose model."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wearon.local.preview.cutout import Cutout
from wearon.local.preview.dressing import dress
from wearon.pose import Joint, Pose

WIDTH, HEIGHT = 400, 640
BACKGROUND, SKIN, OLD, TROUSERS, HAIR = (215, 222, 228), (222, 178, 150), (90, 140, 90), (60, 60, 70), (50, 35, 25)
NEW = (200, 30, 40)

JOINTS = {
    Joint.NOSE: (200, 92),
    Joint.LEFT_EYE: (209, 83), Joint.RIGHT_EYE: (191, 83),
    Joint.LEFT_EAR: (224, 88), Joint.RIGHT_EAR: (176, 88),
    Joint.MOUTH_LEFT: (207, 105), Joint.MOUTH_RIGHT: (193, 105),
    Joint.LEFT_SHOULDER: (252, 170), Joint.RIGHT_SHOULDER: (148, 170),
    Joint.LEFT_ELBOW: (282, 250), Joint.RIGHT_ELBOW: (118, 250),
    Joint.LEFT_WRIST: (300, 325), Joint.RIGHT_WRIST: (100, 325),
    Joint.LEFT_INDEX: (303, 340), Joint.RIGHT_INDEX: (97, 340),
    Joint.LEFT_HIP: (230, 320), Joint.RIGHT_HIP: (170, 320),
    Joint.LEFT_KNEE: (228, 450), Joint.RIGHT_KNEE: (172, 450),
    Joint.LEFT_ANKLE: (226, 580), Joint.RIGHT_ANKLE: (174, 580),
}  # fmt: skip
"""Pixels. Somebody seen from the front has their left on the picture's right."""

Parts = list[tuple[tuple[int, int, int], str, list[tuple[int, int]], int]]


def parts() -> Parts:
    arms: Parts = [
        part
        for side in ("LEFT", "RIGHT")
        for part in (
            (SKIN, "line", [JOINTS[Joint[f"{side}_{j}"]] for j in ("SHOULDER", "ELBOW", "WRIST", "INDEX")], 26),
            (OLD, "line", [JOINTS[Joint[f"{side}_SHOULDER"]], JOINTS[Joint[f"{side}_ELBOW"]]], 30),
        )
    ]
    legs: Parts = [
        (TROUSERS, "line", [JOINTS[Joint[f"{side}_{j}"]] for j in ("HIP", "KNEE", "ANKLE")], 46)
        for side in ("LEFT", "RIGHT")
    ]
    return [
        *legs,
        (SKIN, "line", [(200, 110), (200, 160)], 40),
        (OLD, "polygon", [(148, 156), (252, 156), (246, 345), (154, 345)], 0),
        *arms,
        (HAIR, "ellipse", [(170, 40), (230, 130)], 0),
        (SKIN, "ellipse", [(174, 56), (226, 128)], 0),
    ]


def drawn_person() -> tuple[NDArray[np.uint8], Pose]:
    picture, mask = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND), Image.new("L", (WIDTH, HEIGHT), 0)
    for image in (picture, mask):
        canvas = ImageDraw.Draw(image)
        for colour, kind, points, thickness in parts():
            fill = colour if image is picture else 255
            if kind == "line":
                canvas.line(points, fill=fill, width=thickness, joint="curve")
            else:
                getattr(canvas, kind)(points, fill=fill)
    landmarks = np.zeros((33, 4), np.float32)
    for joint, (x, y) in JOINTS.items():
        landmarks[joint] = (x / WIDTH, y / HEIGHT, 0, 1)
    return np.asarray(picture), Pose(landmarks, np.asarray(mask, np.float32) / np.float32(255), WIDTH, HEIGHT)


def garment(points: list[tuple[float, float]]) -> Cutout:
    width, height = (round(max(values)) + 1 for values in zip(*points, strict=True))
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).polygon(points, fill=255)
    colour = np.broadcast_to(np.array(NEW, np.uint8), (height, width, 3)).copy()
    return Cutout(colour, np.asarray(image, np.float32) / np.float32(255))


TSHIRT = garment([
    (120, 0), (190, 20), (250, 20), (320, 0), (440, 135), (380, 185),
    (325, 130), (335, 420), (105, 420), (115, 130), (60, 185), (0, 135),
])  # fmt: skip
PULLOVER = garment([
    (150, 0), (250, 0), (310, 40), (400, 330), (340, 350), (295, 180),
    (300, 420), (100, 420), (105, 180), (60, 350), (0, 330), (90, 40),
])  # fmt: skip
DRESS = garment([
    (60, 0), (90, 0), (110, 70), (190, 70), (210, 0), (240, 0), (240, 60), (270, 110),
    (235, 210), (340, 500), (0, 500), (65, 210), (30, 110), (60, 60),
])  # fmt: skip


def is_new(picture: NDArray[np.uint8], x: float, y: float) -> bool:
    """Whether the garment is there, shaded or not."""
    red, green, blue = (int(value) for value in picture[round(y), round(x)])
    return red > 2 * green and red > 2 * blue


@pytest.fixture(scope="module", params=["upright", "leaning", "mirrored"])
def person(request: pytest.FixtureRequest) -> tuple[NDArray[np.uint8], Pose]:
    """Also leaning to a side, and with the joints named as of somebody seen from behind."""
    picture, pose = drawn_person()
    if request.param == "leaning":
        return leaning(picture, pose, 8)
    if request.param == "mirrored":
        landmarks = pose.landmarks.copy()
        for joint in JOINTS:
            if joint.name.startswith("LEFT"):
                other = Joint[joint.name.replace("LEFT", "RIGHT")]
                landmarks[[joint, other]] = landmarks[[other, joint]]
        return picture, Pose(landmarks, pose.mask, WIDTH, HEIGHT)
    return picture, pose


def leaning(picture: NDArray[np.uint8], pose: Pose, degrees: float) -> tuple[NDArray[np.uint8], Pose]:
    turned = Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC, fillcolor=BACKGROUND)
    mask = Image.fromarray((pose.mask * 255).astype(np.uint8)).rotate(degrees, Image.Resampling.BILINEAR)
    angle = np.deg2rad(degrees)
    offsets = pose.landmarks[:, :2] * (WIDTH, HEIGHT) - (WIDTH / 2, HEIGHT / 2)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    landmarks = pose.landmarks.copy()
    landmarks[:, :2] = (offsets @ matrix.T + (WIDTH / 2, HEIGHT / 2)) / (WIDTH, HEIGHT)
    return np.asarray(turned), Pose(landmarks, np.asarray(mask, np.float32) / np.float32(255), WIDTH, HEIGHT)


def between(pose: Pose, a: Joint, b: Joint, share: float) -> tuple[float, float]:
    (ax, ay), (bx, by) = pose.point(a), pose.point(b)
    return ax + share * (bx - ax), ay + share * (by - ay)


def middle(pose: Pose, level: float) -> tuple[float, float]:
    """A point of the trunk's axis: level 0 between the shoulders, 1 between the hips."""
    top = between(pose, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, 0.5)
    end = between(pose, Joint.LEFT_HIP, Joint.RIGHT_HIP, 0.5)
    return top[0] + level * (end[0] - top[0]), top[1] + level * (end[1] - top[1])


SIDES = ("LEFT", "RIGHT")


def test_a_top_covers_the_trunk_and_ends_at_the_hips(person: tuple[NDArray[np.uint8], Pose]) -> None:
    picture, pose = person
    result = dress(pose, picture, TSHIRT)
    assert all(is_new(result, *middle(pose, level)) for level in np.linspace(0.2, 1.05, 20))
    assert not is_new(result, *middle(pose, 1.5))


def test_nothing_of_what_was_worn_on_the_trunk_shows(person: tuple[NDArray[np.uint8], Pose]) -> None:
    picture, pose = person
    result = dress(pose, picture, TSHIRT).astype(int)
    greenish = (result[..., 1] > result[..., 0] + 25) & (result[..., 1] > result[..., 2] + 25)
    assert greenish.sum() < 0.01 * (np.abs(picture.astype(int) - OLD).sum(axis=-1) < 10).sum()


def test_short_sleeves_end_on_the_upper_arm_and_bare_the_rest(person: tuple[NDArray[np.uint8], Pose]) -> None:
    picture, pose = person
    result = dress(pose, picture, TSHIRT)
    for side in SIDES:
        shoulder, elbow, wrist = (Joint[f"{side}_{name}"] for name in ("SHOULDER", "ELBOW", "WRIST"))
        assert is_new(result, *between(pose, shoulder, elbow, 0.3))
        assert not is_new(result, *between(pose, elbow, wrist, 0.3))
        x, y = between(pose, shoulder, elbow, 0.93)  # under the old sleeve
        assert np.abs(result[round(y), round(x)].astype(int) - SKIN).max() < 50


def test_long_sleeves_follow_the_arms_to_the_wrists(person: tuple[NDArray[np.uint8], Pose]) -> None:
    picture, pose = person
    result = dress(pose, picture, PULLOVER)
    for side in SIDES:
        shoulder, elbow, wrist = (Joint[f"{side}_{name}"] for name in ("SHOULDER", "ELBOW", "WRIST"))
        assert all(is_new(result, *between(pose, shoulder, elbow, share)) for share in np.linspace(0.2, 1, 8))
        assert all(is_new(result, *between(pose, elbow, wrist, share)) for share in np.linspace(0, 0.85, 8))
        assert not is_new(result, *pose.point(Joint[f"{side}_INDEX"]))


def test_a_dress_hangs_down_to_the_knees_and_leaves_the_arms_bare(person: tuple[NDArray[np.uint8], Pose]) -> None:
    picture, pose = person
    result = dress(pose, picture, DRESS)
    assert all(is_new(result, *middle(pose, level)) for level in np.linspace(0.4, 1.5, 20))
    assert not is_new(result, *middle(pose, 2.4))
    for side in SIDES:
        assert not is_new(result, *between(pose, Joint[f"{side}_SHOULDER"], Joint[f"{side}_ELBOW"], 0.8))
        assert not is_new(result, *pose.point(Joint[f"{side}_WRIST"]))


@pytest.mark.parametrize("worn", [TSHIRT, PULLOVER, DRESS], ids=["T-shirt", "pullover", "dress"])
def test_face_and_surroundings_stay_as_they_are(person: tuple[NDArray[np.uint8], Pose], worn: Cutout) -> None:
    picture, pose = person
    result = dress(pose, picture, worn)
    for joint in (Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.MOUTH_LEFT):
        x, y = (round(value) for value in pose.point(joint))
        assert (result[y - 4 : y + 5, x - 4 : x + 5] == picture[y - 4 : y + 5, x - 4 : x + 5]).all()
    for corner in (np.s_[:60, :60], np.s_[:60, -60:], np.s_[-60:, :60], np.s_[-60:, -60:]):
        assert (result[corner] == picture[corner]).all()


def test_a_garment_in_a_dark_picture_is_dark() -> None:
    picture, pose = drawn_person()
    dark = (picture * 0.25).astype(np.uint8)
    x, y = (round(value) for value in middle(pose, 0.6))
    assert dress(pose, dark, TSHIRT)[y, x, 0] < 0.6 * dress(pose, picture, TSHIRT)[y, x, 0]


def test_the_drawing_does_not_change_what_it_is_given() -> None:
    picture, pose = drawn_person()
    before, colour, landmarks = picture.copy(), TSHIRT.colour.copy(), pose.landmarks.copy()
    dress(pose, picture, TSHIRT)
    assert (picture == before).all()
    assert (TSHIRT.colour == colour).all()
    assert (pose.landmarks == landmarks).all()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_model_guesses_there_is_a_picture(seed: int) -> None:
    """Joints out of the picture, on top of each other, upside down."""
    picture, pose = drawn_person()
    random = np.random.default_rng(seed)
    landmarks = pose.landmarks + random.normal(0, 0.02 * 2 ** (seed % 6), pose.landmarks.shape).astype(np.float32)
    if seed % 3 == 0:
        landmarks[random.integers(0, 33, 12)] = landmarks[Joint.LEFT_HIP]
    wild = Pose(landmarks, pose.mask, WIDTH, HEIGHT)
    assert dress(wild, picture, (TSHIRT, PULLOVER, DRESS)[seed % 3]).shape == picture.shape
