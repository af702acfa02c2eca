"""The parts of a garment, read off drawn outlines."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from wearon.local.preview.cutout import Cutout
from wearon.local.preview.shape import inside_of_back, shape_of

Points = list[tuple[float, float]]

TSHIRT: Points = [
    (120, 0), (190, 20), (250, 20), (320, 0), (440, 135), (380, 185),
    (325, 130), (335, 420), (105, 420), (115, 130), (60, 185), (0, 135),
]  # fmt: skip
JACKET: Points = [
    (150, 0), (250, 0), (310, 40), (400, 330), (340, 350), (295, 180),
    (300, 420), (100, 420), (105, 180), (60, 350), (0, 330), (90, 40),
]  # fmt: skip
FLAT: Points = [
    (180, 0), (260, 0), (440, 40), (440, 110), (310, 120), (310, 420), (130, 420), (130, 120), (0, 110), (0, 40),
]  # fmt: skip
DRESS: Points = [
    (60, 0), (90, 0), (110, 70), (190, 70), (210, 0), (240, 0), (240, 60), (270, 110),
    (235, 210), (340, 500), (0, 500), (65, 210), (30, 110), (60, 60),
]  # fmt: skip


def drawn(points: Points) -> Cutout:
    width, height = (round(max(values)) + 1 for values in zip(*points, strict=True))
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).polygon(points, fill=255)
    return Cutout(np.full((height, width, 3), 120, np.uint8), np.asarray(image, np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("points", "armpit"),
    [
        pytest.param(TSHIRT, (115, 130), id="T-shirt"),
        pytest.param(JACKET, (105, 180), id="hanging long sleeves"),
        pytest.param(FLAT, (130, 120), id="laid out flat"),
    ],
)
def test_sleeves_are_cut_off_at_the_armpits(points: Points, armpit: tuple[int, int]) -> None:
    garment = drawn(points)
    shape = shape_of(garment)
    left, right = shape.sleeves
    assert left is not None
    assert right is not None
    assert left.armpit == pytest.approx(armpit, abs=6)
    assert right.armpit == pytest.approx((garment.width - 1 - armpit[0], armpit[1]), abs=6)
    assert not shape.torso[:, : armpit[0] - 10].any()
    assert shape.middle == pytest.approx(garment.width / 2, abs=4)


def test_sleeves_know_how_long_they_are() -> None:
    short, long = shape_of(drawn(TSHIRT)).sleeves[0], shape_of(drawn(JACKET)).sleeves[0]
    assert short is not None
    assert long is not None
    assert short.length == pytest.approx(125, abs=25)
    assert long.length == pytest.approx(245, abs=25)


def test_a_dress_that_flares_below_its_waist_has_no_sleeves() -> None:
    shape = shape_of(drawn(DRESS))
    assert shape.sleeves == (None, None)
    assert shape.armpit_row == pytest.approx(110, abs=12)
    assert shape.shoulder_row == pytest.approx(0, abs=12)


def test_the_inside_of_the_back_is_found_in_a_wide_neckline() -> None:
    garment = drawn([(60, 0), (240, 0), (240, 400), (60, 400)])
    garment.colour[:] = (180, 40, 60)
    garment.colour[:50, 90:210] = (60, 10, 20)
    found = inside_of_back(garment, shape_of(garment))
    assert found[10:40, 100:200].all()
    assert not found[70:].any()


def test_a_dark_collar_is_not_the_inside_of_the_back() -> None:
    garment = drawn([(60, 0), (240, 0), (240, 400), (60, 400)])
    garment.colour[:] = (180, 40, 60)
    garment.colour[:9, 90:210] = (60, 10, 20)
    assert not inside_of_back(garment, shape_of(garment)).any()
